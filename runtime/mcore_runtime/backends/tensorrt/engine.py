"""TensorRT engines: loaded with every check that can be made, and run in memory that was reserved once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.backends.base import BackendError
from mcore_runtime.backends.replay import agree
from mcore_runtime.backends.signature import check_signature
from mcore_runtime.backends.tensorrt.devices import Cuda
from mcore_runtime.backends.tensorrt.flavours import Flavour
from mcore_runtime.backends.tensorrt.messages import Journal, describe_errors
from mcore_runtime.bundle.records import GraphRecord, TensorSpec

if TYPE_CHECKING:
    import tensorrt as trt

Array = NDArray[Any]

_VARYING = -1
"""TensorRT's extent of an axis that varies."""
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT32": "int32", "INT64": "int64"}


def tensor_spec(name: str, dtype: Any, shape: Any) -> TensorSpec:
    """Write a tensor of TensorRT as the manifest does, varying axes as ``?``.

    Args:
        name: of the tensor.
        dtype: TensorRT's ``DataType``.
        shape: TensorRT's ``Dims``.
    """
    axes = tuple("?" if axis == _VARYING else int(axis) for axis in shape)
    return TensorSpec(name, _DTYPES.get(dtype.name, dtype.name), axes)


def load_engine(flavour: Flavour, runtime: trt.Runtime, path: Path, record: GraphRecord, most: int) -> trt.ICudaEngine:
    """Read an engine that was built for this machine, and compare it with its graph's contract.

    Args:
        flavour: the library that built it.
        runtime: made with the library's logger; has to outlive the engine.
        path: the engine's file.
        record: the graph it was built from.
        most: largest extent of the axes that vary; it has to take every one from 1 on.

    Raises:
        BackendError: the library refuses it, or it computes something else than the graph.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BackendError(
            f"cannot read the engine {path}: {error.strerror or error}; copy the bundle again"
        ) from error
    with flavour.journal.listen() as messages:
        engine: trt.ICudaEngine | None = runtime.deserialize_cuda_engine(content)
    if engine is None:  # it raises nothing
        raise BackendError(
            f"{flavour.title} cannot load {path}: {describe_errors(messages)}. Build the engine again on this machine"
        )
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    specs: dict[bool, list[TensorSpec]] = {True: [], False: []}
    for name in names:
        is_input = engine.get_tensor_mode(name) == flavour.module.TensorIOMode.INPUT
        specs[is_input].append(tensor_spec(name, engine.get_tensor_dtype(name), engine.get_tensor_shape(name)))
    check_signature(record, path, specs[True], specs[False], is_engine=True)
    for spec in record.inputs:
        if spec.is_dynamic:
            _check_profile(path, spec, engine.get_tensor_profile_shape(spec.name, 0), most)
    return engine


def _check_profile(path: Path, spec: TensorSpec, shapes: Sequence[Any], most: int) -> None:
    least, _, largest = (tuple(int(axis) for axis in shape) for shape in shapes)
    if least != spec.extent(1) or largest != spec.extent(most):
        raise BackendError(
            f"{path} takes {spec.name} from {list(least)} to {list(largest)}; the bundle's manifest says from "
            f"{list(spec.extent(1))} to {list(spec.extent(most))}. Build the engine again"
        )


@dataclass(frozen=True, eq=False)
class _Buffer:
    """One input or output: its memory on both sides, large enough for the largest extent."""

    spec: TensorSpec
    host: Array
    address: int

    def view(self, count: int) -> Array:
        """The part of the pinned array that a run with ``count`` exemplars uses; the varying axis is the first."""
        return self.host[:count] if self.spec.is_dynamic else self.host


class EngineRunner:
    """Runs one engine, always at the same addresses; ``reserve`` comes first.

    Args:
        engine: from ``load_engine``.
        record: its graph.
        cuda: opened, and active in this call and every later one.
        journal: the library's log.
        context_options: arguments of ``create_execution_context``.

    Raises:
        BackendError: the engine's execution context could not be made.
    """

    def __init__(
        self,
        engine: trt.ICudaEngine,
        record: GraphRecord,
        cuda: Cuda,
        journal: Journal,
        context_options: Sequence[Any] = (),
    ) -> None:
        context: trt.IExecutionContext | None = engine.create_execution_context(*context_options)
        if context is None:
            raise BackendError(f"no memory on the GPU ({cuda.device}) to run {record.file}; free some, or take fp16")
        self._context = context
        self._context_options = context_options  # alive for as long as the context that was made with them
        self._cuda, self._journal = cuda, journal
        self._file = record.file
        self._record = record
        self._inputs: list[_Buffer] = []
        self._outputs: list[_Buffer] = []
        self.is_dynamic = any(spec.is_dynamic for spec in record.inputs)
        self._count = _VARYING
        self._replay: Any = None

    def reserve(self, most: int) -> None:
        """Take all the memory that runs need, where the axes that vary are at most ``most`` long.

        Raises:
            BackendError: the engine refuses an address.
        """
        self._inputs = [self._reserve(spec, most) for spec in self._record.inputs]
        self._outputs = [self._reserve(spec, most) for spec in self._record.outputs]

    def close(self) -> None:
        """Drop the execution context; the memory is ``cuda``'s to free."""
        self._replay = None
        del self._context

    def run(self, *arrays: Array, count: int = 1) -> list[Array]:
        """Run the engine once.

        Args:
            arrays: one for each input, in the record's order and shape.
            count: extent of the axes that vary, at least 1 and at most what was reserved.

        Returns:
            One new array for each output.

        Raises:
            BackendError: the engine failed.
            ValueError: an array of another type or shape.
        """
        self._upload(arrays, count)
        self._set_count(count)
        self._launch()
        self._download(count)
        self._cuda.synchronise()
        return [buffer.view(count).copy() for buffer in self._outputs]

    def capture(self) -> str | None:
        """Turn the launches of a graph without varying axes into one CUDA graph, if it then computes the same.

        Returns:
            Why it did not work, in which case runs go on as before; None: it did.
        """
        generator = np.random.default_rng(0)
        first, second = (
            [generator.standard_normal(buffer.host.shape).astype(buffer.host.dtype) for buffer in self._inputs]
            for _ in range(2)
        )
        expected = self.run(*first)  # also what TensorRT needs before a capture: one run at these shapes
        self.run(*second)  # so that a graph that computes nothing finds other values than those expected
        self._replay = self._cuda.capture(self._enqueue)
        if self._replay is None:
            return f"{self._file} cannot be captured as a CUDA graph, so its kernels are launched one by one"
        if all(agree(*pair) for pair in zip(self.run(*first), expected, strict=True)):
            return None
        self._replay = None
        return f"the CUDA graph of {self._file} computes other values, so its kernels are launched one by one"

    def _upload(self, arrays: Sequence[Array], count: int) -> None:
        for buffer, array in zip(self._inputs, arrays, strict=True):
            pinned = buffer.view(count)
            if array.shape != pinned.shape or array.dtype != pinned.dtype:
                raise ValueError(
                    f"{buffer.spec.name} is {array.dtype} {list(array.shape)}, expected {pinned.dtype} "
                    f"{list(pinned.shape)}"
                )
            np.copyto(pinned, array)
            self._cuda.upload(buffer.address, pinned)

    def _download(self, count: int) -> None:
        for buffer in self._outputs:
            self._cuda.download(buffer.view(count), buffer.address)

    def _reserve(self, spec: TensorSpec, most: int) -> _Buffer:
        host = self._cuda.pinned(spec.extent(most), spec.dtype)
        address = self._cuda.allocate(host.nbytes)
        if not self._context.set_tensor_address(spec.name, address):
            raise BackendError(f"TensorRT refuses the memory of {spec.name} in {self._file}; build the engine again")
        return _Buffer(spec, host, address)

    def _set_count(self, count: int) -> None:
        if not self.is_dynamic or count == self._count:
            return
        self._count = _VARYING
        for buffer in self._inputs:
            shape = buffer.spec.extent(count)
            if buffer.spec.is_dynamic and not self._context.set_input_shape(buffer.spec.name, shape):
                raise BackendError(f"the engine of {self._file} refuses {buffer.spec.name} of shape {list(shape)}")
        if missing := self._context.infer_shapes():
            raise BackendError(f"the engine of {self._file} lacks the shapes of {', '.join(missing)}")
        self._count = count

    def _launch(self) -> None:
        if self._replay is not None:
            self._replay()
            return
        with self._journal.listen() as messages:
            launched = self._enqueue()
        if not launched:  # it raises nothing
            raise BackendError(f"the engine of {self._file} did not run: {describe_errors(messages)}")

    def _enqueue(self) -> bool:
        return bool(self._context.execute_async_v3(self._cuda.stream))
