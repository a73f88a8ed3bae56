"""TensorRT and TensorRT-RTX as modules whose engines run ONNX Runtime on the graph they were built from.

They refuse what the real ones refuse, and in the same manner: None or False and a line in the log, never an exception.
An engine fits one version and one architecture; addresses must be memory of the fake GPU; a shape that varies must be
set, within the profile; a capture needs an earlier run.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.runtime.fake_gpu import FakeGpu, FakeStream
from tests.runtime.fake_tensorrt_build import Config, Network, Profile, RtxConfig
from tests.runtime.fake_tensorrt_types import (
    BuilderFlag,
    ComputeCapability,
    CudaGraphStrategy,
    DataType,
    Dims,
    NetworkDefinitionCreationFlag,
    Severity,
    TensorIOMode,
    tensors_of,
)

MAGIC = b"fake engine "


class FakeTensorRt:
    """The module ``tensorrt`` or ``tensorrt_rtx``.

    Args:
        gpu: where it finds itself.
        version: its ``__version__``.
        rtx: whether it is TensorRT-RTX.
    """

    def __init__(self, gpu: FakeGpu | None, version: str, *, rtx: bool = False) -> None:
        self.__name__ = f"fake_{'tensorrt_rtx' if rtx else 'tensorrt'}_{id(self)}"
        self.__version__ = version
        self.gpu, self.rtx = gpu, rtx
        self.loads = 0
        self.live: set[str] = set()
        self.complaint = ""
        self.run_complaint = ""
        self.refuses_capture = False
        self.capturable = True
        self.stale_capture = False
        self.capture_strategies: list[Any] = []
        self.created_flags: list[int] = []
        self.tf32_left_on = 0
        self.timing_caches: list[bytes] = []
        fake = self

        class ILogger:
            Severity = Severity

            def __init__(self) -> None:
                self.initialised = True

            def log(self, severity: Any, msg: str) -> None:
                raise NotImplementedError

        class Logging:
            def __init__(self, logger: ILogger) -> None:
                assert logger.initialised, "ILogger.__init__ was not called"
                self._logger = logger

            def _log(self, level: str, text: str) -> None:
                self._logger.log(Severity[level], text)

        class Runtime(Logging):
            def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
                fake.loads += 1
                assert fake.gpu is not None
                fake.gpu.require_context()
                if not serialized_engine.startswith(MAGIC):
                    self._log("ERROR", "Serialization assertion header.magicTag failed")
                    return None
                plan = json.loads(serialized_engine[len(MAGIC) :])
                if (plan["version"], plan["target"]) != (fake.__version__, fake.gpu.target):
                    self._log("ERROR", f"The engine plan was made by {plan['version']} for {plan['target']}")
                    return None
                return _Engine(fake, plan, self._log)

        class Builder(Logging):
            def create_network(self, flags: int = 0) -> Any:
                fake.created_flags.append(flags)
                return Network(is_strongly_typed=rtx or bool(flags & 2))

            def create_builder_config(self) -> Any:
                return RtxConfig(fake) if rtx else Config(fake)

            def create_optimization_profile(self) -> Any:
                return Profile()

            def build_serialized_network(self, network: Any, config: Any) -> Any:
                self._log("INFO", "Detected the inputs")
                fake.tf32_left_on += "TF32" in config.flags
                if fake.complaint:
                    self._log("ERROR", fake.complaint)
                    return None
                return config.build(network)

        class OnnxParser(Logging):
            def __init__(self, network: Any, logger: ILogger) -> None:
                super().__init__(logger)
                self._network, self._errors = network, list[Any]()

            @property
            def num_errors(self) -> int:
                return len(self._errors)

            def get_error(self, index: int) -> Any:
                return self._errors[index]

            def parse_from_file(self, model: str) -> bool:
                import onnx

                graph = onnx.load(model)
                for index, node in enumerate(graph.graph.node):
                    if node.domain:
                        self._log("ERROR", f"While parsing node number {index}")
                        self._errors.append(
                            SimpleNamespace(
                                desc=lambda: "Plugin not found",
                                node_name=lambda node=node: node.name,
                                node_operator=lambda node=node: node.op_type,
                                local_function_stack=lambda: [],
                            )
                        )
                self._log("WARNING", "Make sure output transitions has Int64 binding.")
                self._network.read(Path(model).read_bytes())
                return not self._errors

        self.ILogger, self.Runtime, self.Builder, self.OnnxParser = ILogger, Runtime, Builder, OnnxParser
        self.TensorIOMode, self.DataType, self.Dims = TensorIOMode, DataType, Dims
        self.BuilderFlag = BuilderFlag
        if rtx:
            self.ComputeCapability, self.CudaGraphStrategy = ComputeCapability, CudaGraphStrategy
        else:
            self.NetworkDefinitionCreationFlag = NetworkDefinitionCreationFlag

    def engine(self, onnx: bytes, *, target: str, most: int, **changes: Any) -> bytes:
        """An engine as this version writes it."""
        plan = {"version": self.__version__, "target": target, "most": most, "typed": True}
        plan |= {"onnx": base64.b64encode(onnx).decode()} | changes
        return MAGIC + json.dumps(plan).encode()


def _require_context_to_free(fake: FakeTensorRt, what: str) -> None:
    """Freed without a context, a thing stays in ``live``: an assertion in ``__del__`` would be a warning only."""
    if fake.gpu is not None and fake.gpu.has_context():
        fake.live.discard(what)


class _Engine:
    def __init__(self, fake: FakeTensorRt, plan: dict[str, Any], log: Any) -> None:
        self.fake, self.plan, self.log = fake, plan, log
        self.onnx = base64.b64decode(plan["onnx"])
        self.tensors = tensors_of(self.onnx)
        self._names = list(self.tensors)[::-1]  # the real one promises no order
        assert plan["typed"], "a weakly typed engine may choose other types than were proven"
        fake.live.add(f"engine {id(self)}")

    def __del__(self) -> None:
        _require_context_to_free(self.fake, f"engine {id(self)}")

    @property
    def num_io_tensors(self) -> int:
        return len(self._names)

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        mode: TensorIOMode = self.tensors[name].mode
        return mode

    def get_tensor_dtype(self, name: str) -> DataType:
        dtype: DataType = self.tensors[name].dtype
        return dtype

    def get_tensor_shape(self, name: str) -> Dims:
        shape: Dims = self.tensors[name].shape
        return shape

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Dims]:
        assert profile_index == 0
        shape = self.tensors[name].shape
        return [Dims(count if axis < 0 else axis for axis in shape) for count in (1, 2, self.plan["most"])]

    def create_runtime_config(self) -> Any:
        assert self.fake.rtx, "TensorRT 10.3 has none"
        return SimpleNamespace(cuda_graph_strategy=None)

    def create_execution_context(self, runtime_config: Any = None) -> Any:
        if runtime_config is not None:
            self.fake.capture_strategies.append(runtime_config.cuda_graph_strategy)
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(engine.onnx, options, providers=["CPUExecutionProvider"])
        self._engine, self._fake = engine, engine.fake
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._has_run = False
        self._fake.live.add(f"context {id(self)}")

    def __del__(self) -> None:
        _require_context_to_free(self._fake, f"context {id(self)}")

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self._engine.tensors or memory % 256:
            return False
        self._addresses[name] = memory
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        declared = self._engine.tensors[name].shape
        fits = len(shape) == len(declared) and all(
            1 <= got <= self._engine.plan["most"] if want < 0 else got == want
            for want, got in zip(declared, shape, strict=True)
        )
        if not fits:
            self._engine.log("ERROR", f"{name}: {shape} is outside the profile")
            return False
        self._shapes[name] = tuple(shape)
        return True

    def infer_shapes(self) -> list[str]:
        return [
            name
            for name, tensor in self._engine.tensors.items()
            if tensor.mode is TensorIOMode.INPUT and -1 in tensor.shape and name not in self._shapes
        ]

    def execute_async_v3(self, stream_handle: int) -> bool:
        gpu = self._fake.gpu
        assert gpu is not None
        gpu.require_context()
        stream: FakeStream = gpu.streams[stream_handle]
        assert stream_handle, "the default stream makes TensorRT wait for the whole device"
        if missing := [*self.infer_shapes(), *(name for name in self._engine.tensors if name not in self._addresses)]:
            self._engine.log("ERROR", f"not set: {missing}")
            return False
        if self._fake.run_complaint:
            self._engine.log("ERROR", self._fake.run_complaint)
            return False
        if stream.captured is not None and not (self._fake.capturable and self._has_run):
            stream.is_capture_valid = False
            self._engine.log("ERROR", "operation not permitted when stream is capturing")
            return False
        if stream.captured is not None and self._fake.refuses_capture:
            return False
        if stream.captured is not None and self._fake.stale_capture:
            stale = {name: array.copy() for name, array in self._read().items()}
            stream.put(lambda: self._compute(stale))
            return True
        self._has_run = True
        stream.put(lambda: self._compute(self._read()))
        return True

    def _read(self) -> dict[str, NDArray[Any]]:
        inputs = {}
        for name, tensor in self._engine.tensors.items():
            if tensor.mode is TensorIOMode.INPUT:
                inputs[name] = self._on_gpu(name, self._shapes.get(name, tensor.shape), tensor.dtype.value)
        return inputs

    def _compute(self, inputs: dict[str, NDArray[Any]]) -> None:
        names = [name for name, tensor in self._engine.tensors.items() if tensor.mode is TensorIOMode.OUTPUT]
        for name, value in zip(names, self._session.run(names, inputs), strict=True):
            np.copyto(self._on_gpu(name, value.shape, value.dtype), value)

    def _on_gpu(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        assert self._fake.gpu is not None
        num_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory: NDArray[Any] = self._fake.gpu.device_bytes(self._addresses[name], num_bytes).view(dtype)
        return memory.reshape(shape)
