"""A small stand-in for Triton Inference Server: runs a model repository with ONNX Runtime, as its files say.

What it checks and refuses was compared with the sources of 2026: configurations are parsed with the real schema
and held to the rules of ``core``'s ``ValidateModelConfig`` and ``ValidateEnsembleSchedulingConfig``; what a Python
model may call is what ``python_backend``'s ``pb_stub.cc`` offers, with its names, positions and refusals. Tensors of
models that are called lie on a GPU unless the caller asked for the CPU, as on a server with one.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

NUMPY = {
    "TYPE_BOOL": np.bool_,
    "TYPE_INT64": np.int64,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
    "TYPE_STRING": np.object_,
}


class TritonError:
    INTERNAL, INVALID_ARG = "INTERNAL", "INVALID_ARG"

    def __init__(self, message: str, code: str = INTERNAL) -> None:
        if not isinstance(message, str):
            raise TypeError(message)
        self._message, self._code = message, code

    def message(self) -> str:
        return self._message

    def code(self) -> str:
        return self._code


class Tensor:
    """``pb_utils.Tensor``: made from a name and an array, by position."""

    def __init__(self, name: str, values: NDArray[Any], /, *, on_gpu: bool = False) -> None:
        if not name or not isinstance(values, np.ndarray) or values.dtype.kind == "U":
            raise TypeError(f"no tensor from {name!r} and {type(values)}")
        self._name, self._on_gpu = name, on_gpu
        self._values = np.ascontiguousarray(values)

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> NDArray[Any]:
        if self._on_gpu:
            raise RuntimeError("Tensor is stored in GPU and cannot be converted to NumPy.")
        return self._values


class PreferredMemory:
    def __init__(self, preferred_memory_type: str, preferred_device_id: int = 0) -> None:
        self.kind = preferred_memory_type


class InferenceResponse:
    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self._tensors, self._error = list(output_tensors), error

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


class Request:
    """A request as a Python model gets it."""

    def __init__(self, inputs: Arrays) -> None:
        self._inputs = [Tensor(name, values) for name, values in inputs.items()]

    def inputs(self) -> list[Tensor]:
        return self._inputs


class RefusedError(Exception):
    """Triton would not load or run it."""


def by_name(tensors: Sequence[Tensor], name: str) -> Tensor | None:
    return next((tensor for tensor in tensors if tensor.name() == name), None)


class FakeTriton:
    """A server.

    Args:
        repository: folder of models.
        threads: of each session.
    """

    def __init__(self, repository: Path, threads: int = 1) -> None:
        self.configs = {folder.name: read_config(folder) for folder in repository.iterdir() if folder.is_dir()}
        self.calls: list[tuple[str, int]] = []
        self.broken: dict[str, Any] = {}
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # So that a batch of one runs the kernels that the bundle's graphs run, see ``batched_proof``.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        self._sessions = {
            name: ort.InferenceSession(str(repository / name / "1" / "model.onnx"), options)
            for name, config in self.configs.items()
            if config.platform == "onnxruntime_onnx"
        }
        self._python = {
            name: self._load(repository / name / "1" / "model.py", config)
            for name, config in self.configs.items()
            if config.backend == "python"
        }

    def infer(self, model: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run one request; a model's error becomes a ``RefusedError``."""
        if model in self._python:
            response = self.infer_together(model, [inputs])[0]
            if response.has_error():
                error = response.error()
                assert error is not None
                raise RefusedError(f"{error.code()}: {error.message()}")
            return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
        config = self.configs[model]
        size = self._check(config, config.input, inputs)
        self.calls.append((model, size))
        if model in self.broken:
            raise RefusedError(self.broken[model])
        if config.platform == "ensemble":
            outputs = self._ensemble(config, inputs)
        else:
            session = self._sessions[model]
            names = [output.name for output in session.get_outputs()]
            found = session.run(names, {name: self._bare(config, name, values) for name, values in inputs.items()})
            outputs = dict(zip(names, found, strict=True))
            for spec in config.output:
                outputs[spec.name] = outputs[spec.name].reshape(size, *outputs[spec.name].shape[1:] or (1,))
        self._check(config, config.output, outputs)
        return outputs

    def infer_together(self, model: str, requests: Sequence[Arrays]) -> list[InferenceResponse]:
        """Run requests that the dynamic batcher put together through a Python model."""
        config = self.configs[model]
        sizes = [self._check(config, config.input, inputs) for inputs in requests]
        if len(requests) > 1 and (not config.HasField("dynamic_batching") or len({frozenset(r) for r in requests}) > 1):
            raise AssertionError("Triton batches only requests with the same inputs, and only if told so")
        assert sum(sizes) <= config.max_batch_size
        self.calls.append((model, sum(sizes)))
        responses = self._python[model].execute([Request(inputs) for inputs in requests])
        if not isinstance(responses, list) or len(responses) != len(requests):
            raise RefusedError("Expected a list of one response for each request")
        for response, size in zip(responses, sizes, strict=True):
            assert isinstance(response, InferenceResponse)
            if not response.has_error():
                outputs = {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
                assert self._check(config, config.output, outputs) == size
        return responses

    def _ensemble(self, config: Any, inputs: Arrays) -> dict[str, NDArray[Any]]:
        tensors = dict(inputs)
        for step in config.ensemble_scheduling.step:
            found = self.infer(step.model_name, {name: tensors[tensor] for name, tensor in step.input_map.items()})
            tensors |= {tensor: found[name] for name, tensor in step.output_map.items()}
        return {spec.name: tensors[spec.name] for spec in config.output}

    def _check(self, config: Any, specs: Any, tensors: Arrays) -> int:
        """Names, types and shapes as configured; returns the batch size."""
        required = {spec.name for spec in specs if not getattr(spec, "optional", False)}
        assert required <= set(tensors) <= {spec.name for spec in specs}, (config.name, set(tensors))
        sizes = set()
        for spec in specs:
            if spec.name not in tensors:
                continue
            values = tensors[spec.name]
            assert values.dtype == NUMPY[type_name(spec)], (config.name, spec.name, values.dtype)
            assert len(values.shape) == len(spec.dims) + 1, (config.name, spec.name, values.shape)
            assert all(dim in (-1, got) for dim, got in zip(spec.dims, values.shape[1:], strict=True))
            sizes.add(values.shape[0])
        (size,) = sizes
        if not 1 <= size <= config.max_batch_size:
            raise RefusedError(f"inference request batch-size must be <= {config.max_batch_size} for '{config.name}'")
        return int(size)

    def _bare(self, config: Any, name: str, values: NDArray[Any]) -> NDArray[Any]:
        spec = next(spec for spec in config.input if spec.name == name)
        return values.reshape(len(values), *spec.reshape.shape) if spec.HasField("reshape") else values

    def _load(self, path: Path, config: Any) -> Any:
        """Import a Python model as the backend's stub does, and initialise it."""
        with self._pb_utils():
            spec = importlib.util.spec_from_file_location("served_model", path)
            assert spec is not None
            assert spec.loader is not None
            module = sys.modules["served_model"] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        model = module.TritonPythonModel()
        from google.protobuf import json_format

        text = json_format.MessageToJson(config, preserving_proto_field_name=True)
        assert json.loads(text)["name"] == path.parents[1].name
        model.initialize({"model_config": text, "model_repository": str(path.parents[1]), "model_version": "1"})
        return model

    @contextmanager
    def _pb_utils(self) -> Iterator[None]:
        server = self

        class InferenceRequest:
            def __init__(
                self,
                *,
                inputs: list[Tensor],
                requested_output_names: list[str],
                model_name: str,
                preferred_memory: PreferredMemory | None = None,
            ) -> None:
                self._inputs, self._names, self._model = inputs, requested_output_names, model_name
                self._on_gpu = preferred_memory is None or preferred_memory.kind != "CPU"

            def exec(self) -> InferenceResponse:
                try:
                    outputs = server.infer(self._model, {item.name(): item.as_numpy() for item in self._inputs})
                except RefusedError as error:
                    return InferenceResponse([], TritonError(str(error)))
                tensors = [Tensor(name, outputs[name], on_gpu=self._on_gpu) for name in self._names]
                return InferenceResponse(tensors)

        module: Any = ModuleType("triton_python_backend_utils")
        module.TritonError, module.Tensor, module.PreferredMemory = TritonError, Tensor, PreferredMemory
        module.InferenceRequest, module.InferenceResponse = InferenceRequest, InferenceResponse
        module.TRITONSERVER_MEMORY_CPU, module.TRITONSERVER_MEMORY_GPU = "CPU", "GPU"
        module.get_input_tensor_by_name = lambda request, name: by_name(request.inputs(), name)
        module.get_output_tensor_by_name = lambda response, name: by_name(response.output_tensors(), name)
        sys.modules[module.__name__] = module
        try:
            yield
        finally:
            del sys.modules[module.__name__]


def type_name(spec: Any) -> str:
    """Return a tensor's type by name, such as ``TYPE_FP32``."""
    name: str = spec.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[spec.data_type].name
    return name


def read_config(folder: Path) -> Any:
    """Parse a model's configuration with the real schema, and hold it to the rules that the server has.

    Raises:
        RefusedError: the server would not load it.
    """
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())
    rules = {
        "named as its folder": config.name == folder.name,
        "a version": any(path.name.isdecimal() for path in folder.iterdir() if path.is_dir()),
        "a platform or a backend": bool(config.platform) != bool(config.backend),
        "a version policy": config.HasField("version_policy"),
        "a batch": config.max_batch_size >= 1,
        "preferred sizes within it": all(
            1 <= size <= config.max_batch_size for size in config.dynamic_batching.preferred_batch_size
        ),
        "dims": all(
            spec.dims and all(d >= 1 or d == -1 for d in spec.dims) for spec in (*config.input, *config.output)
        ),
        "warm-up of known size": all(
            1 <= sample.batch_size <= config.max_batch_size
            and set(sample.inputs) == {spec.name for spec in config.input}
            and all(list(sample.inputs[s.name].dims) == list(s.dims) for s in config.input)
            and all(sample.inputs[s.name].data_type == s.data_type for s in config.input)
            for sample in config.model_warmup
        ),
    }
    if config.platform == "ensemble":
        rules["nothing of an ensemble's own"] = not (
            config.instance_group or config.HasField("optimization") or config.model_warmup
        )
        rules["steps"] = len(config.ensemble_scheduling.step) > 0
        rules["every tensor made and used"] = _flows(config)
    if broken := [rule for rule, holds in rules.items() if not holds]:
        raise RefusedError(f"{folder.name} lacks {', '.join(broken)}")
    return config


def _flows(config: Any) -> bool:
    made, used = {spec.name for spec in config.input}, {spec.name for spec in config.output}
    for step in config.ensemble_scheduling.step:
        if not set(step.input_map.values()) <= made:
            return False
        made |= set(step.output_map.values())
        used |= set(step.input_map.values())
    return made == used
