"""A small stand-in for Triton Inference Server: runs a model repository with ONNX Runtime, as its files say.

Configurations are parsed with Triton's real schema. What a Python model may call is what ``python_backend``'s
``pb_stub.cc`` of 2026 offers. Tensors of models that are called lie on a GPU unless the caller asked for the CPU, as on
a server with one.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

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


@dataclass
class TritonError:
    text: str
    code: str = "INTERNAL"
    INTERNAL = "INTERNAL"
    INVALID_ARG = "INVALID_ARG"

    def message(self) -> str:
        return self.text


class Tensor:
    """``pb_utils.Tensor``: made from a name and an array, by position."""

    def __init__(self, name: str, values: NDArray[Any], /, *, on_gpu: bool = False) -> None:
        assert values.dtype.kind != "U"
        self._name, self._values, self._on_gpu = name, np.ascontiguousarray(values), on_gpu

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> NDArray[Any]:
        if self._on_gpu:
            raise RuntimeError("Tensor is stored in GPU and cannot be converted to NumPy.")
        return self._values


class InferenceResponse:
    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self._tensors, self._error = list(output_tensors), error

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


class RefusedError(Exception):
    """Triton would not load or run it."""


class FakeTriton:
    """A server of one thread for each session; ``broken`` holds the errors of models that fail."""

    def __init__(self, repository: Path) -> None:
        self.configs = {folder.name: read_config(folder) for folder in repository.iterdir() if folder.is_dir()}
        self.calls: list[tuple[str, int]] = []
        self.broken: dict[str, str] = {}
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        # So that a batch of one runs the kernels that the bundle's graphs run, see ``mcore_export.parity.batched``.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        self._sessions = {
            name: ort.InferenceSession(str(repository / name / "1" / "model.onnx"), options)
            for name, config in self.configs.items()
            if config.platform == "onnxruntime_onnx"
        }
        self._scorer = self._load(repository / "mcore" / "1" / "model.py", self.configs["mcore"])

    def infer(self, model: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run one request; a model's error becomes a ``RefusedError``."""
        config = self.configs[model]
        if config.backend == "python":
            response = self.infer_together(model, [inputs])[0]
            if (error := response.error()) is not None:
                raise RefusedError(f"{error.code}: {error.text}")
            return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
        size = self._check(config, config.input, inputs)
        self.calls.append((model, size))
        if model in self.broken:
            raise RefusedError(self.broken[model])
        outputs = self._ensemble(config, inputs) if config.platform == "ensemble" else self._graph(config, inputs)
        self._check(config, config.output, outputs)
        return outputs

    def infer_together(self, model: str, requests: Sequence[Arrays]) -> list[InferenceResponse]:
        """Run requests that the dynamic batcher put together through a Python model."""
        config = self.configs[model]
        sizes = [self._check(config, config.input, inputs) for inputs in requests]
        assert config.HasField("dynamic_batching")
        self.calls.append((model, sum(sizes)))
        responses: list[InferenceResponse] = self._scorer.execute([_tensors(inputs) for inputs in requests])
        for response, size in zip(responses, sizes, strict=True):
            if not response.has_error():
                outputs = {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
                assert self._check(config, config.output, outputs) == size
        return responses

    def _graph(self, config: Any, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Triton takes away an axis that a configuration reshapes, and adds it behind."""
        session = self._sessions[config.name]
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, session.run(names, dict(inputs)), strict=True))
        return {name: values if values.ndim > 1 else values[:, None] for name, values in found.items()}

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
            if spec.name in tensors:
                values = tensors[spec.name]
                assert values.dtype == NUMPY[type_name(spec)], (config.name, spec.name, values.dtype)
                assert len(values.shape) == len(spec.dims) + 1, (config.name, spec.name, values.shape)
                assert all(dim in (-1, got) for dim, got in zip(spec.dims, values.shape[1:], strict=True))
                sizes.add(values.shape[0])
        (size,) = sizes
        assert 1 <= size <= config.max_batch_size, config.name
        return int(size)

    def _load(self, path: Path, config: Any) -> Any:
        """Run a Python model's file as the backend's stub does, and initialise the model."""
        from google.protobuf import json_format

        with mock.patch.dict(sys.modules, {"triton_python_backend_utils": self._pb_utils()}):
            model = runpy.run_path(str(path))["TritonPythonModel"]()
        text = json_format.MessageToJson(config, preserving_proto_field_name=True)
        model.initialize({"model_config": text, "model_repository": str(path.parents[1]), "model_version": "1"})
        return model

    def _pb_utils(self) -> ModuleType:
        server = self

        class InferenceRequest:
            def __init__(
                self, *, inputs: list[Tensor], requested_output_names: list[str], model_name: str, preferred_memory: str
            ) -> None:
                self._inputs, self._names, self._model = inputs, requested_output_names, model_name
                self._on_gpu = preferred_memory != "CPU"

            def exec(self) -> InferenceResponse:
                try:
                    outputs = server.infer(self._model, {item.name(): item.as_numpy() for item in self._inputs})
                except RefusedError as error:
                    return InferenceResponse([], TritonError(str(error)))
                return InferenceResponse([Tensor(name, outputs[name], on_gpu=self._on_gpu) for name in self._names])

        module: Any = ModuleType("triton_python_backend_utils")
        module.TritonError, module.Tensor = TritonError, Tensor
        module.InferenceRequest, module.InferenceResponse = InferenceRequest, InferenceResponse
        module.TRITONSERVER_MEMORY_CPU = "CPU"
        module.PreferredMemory = lambda kind, device: kind
        module.get_input_tensor_by_name = lambda request, name: request.get(name)
        module.get_output_tensor_by_name = lambda response, name: {t.name(): t for t in response.output_tensors()}[name]
        return cast_module(module)


def cast_module(module: Any) -> ModuleType:
    assert isinstance(module, ModuleType)
    return module


def _tensors(inputs: Arrays) -> dict[str, Tensor]:
    return {name: Tensor(name, values) for name, values in inputs.items()}


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
    names = {spec.name for spec in config.input}
    steps = config.ensemble_scheduling.step
    rules = {
        "named as its folder": config.name == folder.name,
        "a version": any(path.name.isdecimal() for path in folder.iterdir() if path.is_dir()),
        "a platform or a backend": bool(config.platform) != bool(config.backend),
        "a version policy": config.HasField("version_policy"),
        "dims": all(spec.dims and min(spec.dims) >= -1 for spec in (*config.input, *config.output)),
        "sizes within the batch": all(
            1 <= size <= config.max_batch_size
            for size in (
                *config.dynamic_batching.preferred_batch_size,
                *(sample.batch_size for sample in config.model_warmup),
            )
        ),
        "warm-up of every input": all(set(sample.inputs) == names for sample in config.model_warmup),
        "steps of an ensemble only": (config.platform == "ensemble") == bool(steps),
        "every tensor of an ensemble made before it is used": all(
            set(step.input_map.values()) <= names.union(*(s.output_map.values() for s in steps[:i]))
            for i, step in enumerate(steps)
        ),
    }
    if broken := [rule for rule, holds in rules.items() if not holds]:
        raise RefusedError(f"{folder.name} lacks {', '.join(broken)}")
    return config
