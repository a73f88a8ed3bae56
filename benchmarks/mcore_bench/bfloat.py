"""A bundle's backbone in bfloat16 on OpenVINO: eight bits of mantissa, no graphs of its own. Measured, not offered."""

from __future__ import annotations

from mcore_runtime.backends import Backend, BackendError
from mcore_runtime.backends.base import FloatArray, IntArray
from mcore_runtime.backends.openvino import OpenVinoModels
from mcore_runtime.records import GraphSet

BFLOAT = "openvino bf16"


class BfloatBackend:
    """Another backend whose backbone is computed in bfloat16; see ``Backend`` for the calls.

    Args:
        graphs: the float32 graphs.
        other: runs segmenter and regressor, and belongs to the caller.
        threads: CPU threads.

    Raises:
        BackendError: this processor has no bfloat16.
    """

    name = "openvino"
    notes: tuple[str, ...] = ()

    def __init__(self, graphs: GraphSet, other: Backend, threads: int) -> None:
        self._other = other
        records = {"backbone": graphs.records["backbone"]}
        self._models = OpenVinoModels(graphs.folder, records, threads, "bfloat16", precision="bf16")
        self.provider = f"{self._models.provider}; segmenter and regressor on {other.name}"
        self.precision = {**other.precision, "backbone": "bf16"}

    def backbone(self, clip: FloatArray) -> FloatArray:
        """Turn a clip (1, 3, T, c, c) into features (1, T, D)."""
        features: FloatArray = self._models.run("backbone", {"clip": clip}, ["features"])[0]
        return features

    def segmenter(self, features: FloatArray) -> tuple[FloatArray, IntArray, FloatArray]:
        """Turn features (1, T, D) into logits (1, T, 2), transitions (1, 2) and tokens (1, 3K, D)."""
        return self._other.segmenter(features)

    def regressor(self, query: FloatArray, exemplars: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compare tokens (1, 3K, D) with (E, 3K, D): delta (E,) and its shares by stage (E, 3), points."""
        return self._other.regressor(query, exemplars)

    def close(self) -> None:
        """Drop the compiled backbone."""
        self._models.close()


def open_bfloat(graphs: GraphSet, backends: dict[str, Backend], threads: int) -> BfloatBackend | None:
    """Open it where OpenVINO runs the bundle and the processor has bfloat16.

    Segmenter and regressor run on ONNX Runtime where it is there: its GRU was nearly twice as fast.
    """
    if "openvino fp32" not in backends:
        return None
    other = backends.get("onnxruntime fp32", backends["openvino fp32"])
    try:
        return BfloatBackend(graphs, other, threads)
    except BackendError:
        return None
