"""The streaming backbone on a backend: its prefix runs before a clip is over, its suffix afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mcore.common.errors import UserError
from mcore_runtime.backends.base import BFLOAT16, BackendError, FloatArray
from mcore_runtime.bundle.records import STREAMING_PARTS, GraphRecord, GraphSet

STREAMING_BACKENDS = ("onnxruntime", "onnxruntime-cuda", "openvino", BFLOAT16)
"""Backends that can run it: TensorRT would need engines of both parts, and takes milliseconds for a whole pass."""


class LoadedGraphs(Protocol):
    """Loaded graphs, by part."""

    def run(self, part: str, inputs: dict[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Run one graph: arrays by name in, arrays in the order of ``outputs`` out."""

    def close(self) -> None:
        """Free the backend's memory; no call may follow."""


class StreamingBackbone:
    """Runs prefix and suffix of a backbone; threads may share it as they may a ``Backend``: it keeps nothing between.

    Shapes: T frames of a clip, H of them in the prefix, D features, N numbers handed over, c pixels.

    Args:
        graphs: both, loaded.
        prefix_frames: H.
    """

    def __init__(self, graphs: LoadedGraphs, prefix_frames: int) -> None:
        self._graphs = graphs
        self.prefix_frames = prefix_frames
        """Sampled frames that the prefix takes."""

    def prefix(self, first: FloatArray) -> FloatArray:
        """Turn a clip's first frames (1, 3, H, c, c), normalised RGB, into what the suffix needs (1, N)."""
        state: FloatArray = self._graphs.run(STREAMING_PARTS[0], {"first": first}, ["state"])[0]
        return state

    def suffix(self, last: FloatArray, state: FloatArray) -> FloatArray:
        """Turn the last frames (1, 3, T - H, c, c) and the prefix's result (1, N) into features (1, T, D)."""
        features: FloatArray = self._graphs.run(STREAMING_PARTS[1], {"last": last, "state": state}, ["features"])[0]
        return features

    def close(self) -> None:
        """Free the backend's memory; no call may follow."""
        self._graphs.close()


def open_streaming(graphs: GraphSet, backend: str, *, threads: int | None = None) -> StreamingBackbone:
    """Load a streaming backbone.

    Args:
        graphs: one precision's graphs.
        backend: what runs the others of them, as ``Backend.name`` says.
        threads: CPU threads of one operator; None: the backend's own choice.

    Raises:
        UserError: it was not exported, or this engine does not run it.
        BackendError: the backend cannot load it.
    """
    record = graphs.streaming
    if record is None:
        raise UserError(
            f"the bundle has no {graphs.variant} streaming backbone; export it again, without --no-streaming"
        )
    if backend not in STREAMING_BACKENDS:
        raise BackendError(
            f"{backend} does not run a streaming backbone, only {', '.join(STREAMING_BACKENDS)} do; whole clips it does"
        )
    return StreamingBackbone(open_graphs(graphs.folder, record.graphs, backend, threads), record.prefix_frames)


def open_graphs(folder: Path, records: Mapping[str, GraphRecord], backend: str, threads: int | None) -> LoadedGraphs:
    """Load graphs by part, whichever they are.

    Args:
        folder: that the records' file names start from.
        records: the graphs.
        backend: one of ``STREAMING_BACKENDS``.
        threads: CPU threads of one operator; None: the backend's own choice.

    Raises:
        BackendError: the backend cannot load them.
    """
    if backend in ("openvino", BFLOAT16):
        from mcore_runtime.backends.openvino import INFERENCE_PRECISION, OpenVinoModels

        precision = "bf16" if backend == BFLOAT16 else INFERENCE_PRECISION
        return OpenVinoModels(folder, records, threads, f"The backend {backend}", precision=precision)
    from mcore_runtime.backends.ort import OrtSessions

    return OrtSessions(folder, records, backend, threads)
