"""A session of ONNX Runtime whose inputs and outputs keep their places in a device's memory.

Without it every run takes memory for the inputs, copies them, and gives it back. A CUDA graph needs the same places in
every run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.backends.replay import agree
from mcore_runtime.bundle.records import GraphRecord


class BoundSession:
    """One session, for the thread that made it: ONNX Runtime keeps CUDA graphs by thread, and places are written to.

    Args:
        ort: the module ``onnxruntime``.
        session: of a graph.
        record: its inputs and outputs; an axis that varies is the first.
        device: whose memory, such as ``cuda``; the session's provider runs there.
    """

    def __init__(self, ort: Any, session: Any, record: GraphRecord, device: str) -> None:
        self._ort, self._session, self._record, self._device = ort, session, record, device
        self.is_dynamic = any(spec.is_dynamic for spec in (*record.inputs, *record.outputs))
        """Whether an axis varies from run to run."""
        self._thread = threading.get_ident()
        self._places: dict[int, tuple[Any, dict[str, Any]]] = {}

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[Any]:
        """Copy arrays by name to the device, run, and copy the outputs back, in the order of ``outputs``."""
        binding, values = self._places_for(inputs)
        self._upload(values, inputs)
        self._compute(binding)
        return [values[name].numpy() for name in outputs]

    def run_zeros(self) -> None:
        """Run once on zeros."""
        inputs = {spec.name: np.zeros(spec.extent(1), spec.dtype) for spec in self._record.inputs}
        self.run(inputs, [spec.name for spec in self._record.outputs])

    def agrees_with(self, other: BoundSession) -> bool:
        """Return whether both compute the same from two inputs in turns; for graphs of fixed shape."""
        generator = np.random.default_rng(0)
        first, second = (
            {spec.name: generator.standard_normal(spec.extent(1)).astype(spec.dtype) for spec in self._record.inputs}
            for _ in range(2)
        )
        names = [spec.name for spec in self._record.outputs]
        return all(
            agree(own, wanted)
            for inputs in (first, second, first)  # a replay that ignores its input repeats the one before
            for own, wanted in zip(self.run(inputs, names), other.run(inputs, names), strict=True)
        )

    def _places_for(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Any, dict[str, Any]]:
        """Binding and values for this extent of the axis that varies; each extent has places of its own."""
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                f"{self._record.file} was opened on {self._device} in another thread; use it there, or open one in each"
            )
        varying = [spec for spec in self._record.inputs if spec.is_dynamic]
        count = len(inputs[varying[0].name]) if varying else 1
        if count not in self._places:
            binding, values = self._session.io_binding(), {}
            for spec in (*self._record.inputs, *self._record.outputs):
                values[spec.name] = self._ort.OrtValue.ortvalue_from_shape_and_type(
                    spec.extent(count), np.dtype(spec.dtype).type, self._device, 0
                )
            for spec in self._record.inputs:
                binding.bind_ortvalue_input(spec.name, values[spec.name])
            for spec in self._record.outputs:
                binding.bind_ortvalue_output(spec.name, values[spec.name])
            self._places[count] = binding, values
        return self._places[count]

    def _upload(self, values: Mapping[str, Any], inputs: Mapping[str, NDArray[Any]]) -> None:
        for spec in self._record.inputs:
            array = inputs[spec.name]
            wanted = list(values[spec.name].shape())
            if list(array.shape) != wanted or array.dtype != spec.dtype:  # the copy itself checks neither
                raise ValueError(f"{spec.name} is {array.dtype} {list(array.shape)}, expected {spec.dtype} {wanted}")
            values[spec.name].update_inplace(np.ascontiguousarray(array))

    def _compute(self, binding: Any) -> None:
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
