"""The three graphs of a bundle as TensorRT engines.

Example:
    >>> backend = TensorRtBackend(Bundle.open("bundle").graphs("fp16"), "tensorrt")
    >>> backend.provider
    'TensorRT 10.3.0 on Orin (sm87)'
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from mcore.common.errors import first_line
from mcore_runtime.backends.base import BackendError, FloatArray, IntArray
from mcore_runtime.backends.tensorrt.choose import choose_engine
from mcore_runtime.backends.tensorrt.devices import Cuda, open_cuda
from mcore_runtime.backends.tensorrt.engine import EngineRunner, load_engine
from mcore_runtime.backends.tensorrt.flavours import Flavour, load_flavour
from mcore_runtime.bundle.records import PARTS, EngineRecord, GraphSet


class TensorRtBackend:
    """The three graphs as engines; see ``Backend`` for the calls.

    Belongs to the thread that made it, as CUDA contexts and TensorRT's execution contexts do. All memory is
    reserved at the start. The backbone and the segmenter are launched as one CUDA graph each, where that can be done;
    ``notes`` says where not.

    Args:
        graphs: one precision's graphs, and the engines that were built from them.
        kind: ``tensorrt`` or ``tensorrt-rtx``.
        notes: what a person should know about this choice.

    Raises:
        BackendError: no GPU, no engine that was built for this machine from these graphs, or one that TensorRT
            refuses; says how to build one.
        MissingDependencyError: TensorRT, or what reaches the GPU, is not installed.
    """

    def __init__(self, graphs: GraphSet, kind: str, *, notes: tuple[str, ...] = ()) -> None:
        flavour = load_flavour(kind)
        self.name = kind
        self.precision: Mapping[str, str] = dict(graphs.precision)
        self._thread = threading.get_ident()
        self._runners: dict[str, EngineRunner] = {}
        self._cuda: Cuda | None = (cuda := open_cuda("Run on the CPU with: --backend onnxruntime"))
        try:
            self.provider = f"{flavour.title} on {cuda.device} ({cuda.target})"
            record = choose_engine(graphs, kind, flavour.version, cuda.target)
            self._max_exemplars = record.max_exemplars
            with cuda.active():
                self._load(flavour, graphs, record, cuda)
                self.notes = (*notes, *_capture(flavour, self._runners))
        except BaseException as error:
            with cuda.active():  # engines that the error's frames still hold must go before the context does
                traceback.clear_frames(error.__traceback__)
            self.close()
            if isinstance(error, cuda.errors):
                raise BackendError(f"{flavour.title} cannot run {graphs.folder} here: {first_line(error)}") from error
            raise

    def backbone(self, clip: FloatArray) -> FloatArray:
        """Turn a clip (1, 3, T, c, c) into features (1, T, D)."""
        with self._running():
            features: FloatArray = self._runners["backbone"].run(clip)[0]
        return features

    def segmenter(self, features: FloatArray) -> tuple[FloatArray, IntArray, FloatArray]:
        """Turn features (1, T, D) into logits (1, T, 2), transitions (1, 2) and tokens (1, 3K, D)."""
        with self._running():
            logits, transitions, tokens = self._runners["segmenter"].run(features)
        return logits, transitions, tokens

    def regressor(self, query: FloatArray, exemplars: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compare tokens (1, 3K, D) with (E, 3K, D): delta (E,) and its shares by stage (E, 3), points.

        More exemplars than the engine takes at once are compared in several runs: they do not see each other.
        """
        if not len(exemplars):
            raise ValueError("there are no exemplars to compare with")
        most = self._max_exemplars
        with self._running():
            runs = [
                self._runners["regressor"].run(query, part, count=len(part))
                for part in (exemplars[start : start + most] for start in range(0, len(exemplars), most))
            ]
        delta, stage_deltas = (np.concatenate(arrays) for arrays in zip(*runs, strict=True))
        return delta, stage_deltas

    def close(self) -> None:
        """Free the engines, then the memory, then the context; doing so twice is harmless."""
        if self._cuda is None:
            return
        self._check_thread()
        cuda, self._cuda = self._cuda, None
        try:
            with cuda.active():
                while self._runners:
                    self._runners.popitem()[1].close()
        finally:
            cuda.close()

    def _load(self, flavour: Flavour, graphs: GraphSet, record: EngineRecord, cuda: Cuda) -> None:
        runtime = flavour.new_runtime()
        for part in PARTS:
            graph = graphs.records[part]
            engine = load_engine(flavour, runtime, graphs.folder / record.files[part], graph, record.max_exemplars)
            options: tuple[Any, ...] = ()
            if flavour.api.own_cuda_graphs:
                config: Any = engine.create_runtime_config()
                config.cuda_graph_strategy = flavour.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
                options = (config,)
            self._runners[part] = EngineRunner(engine, graph, cuda, flavour.journal, options)
            self._runners[part].reserve(record.max_exemplars)

    @contextmanager
    def _running(self) -> Iterator[None]:
        if self._cuda is None:
            raise RuntimeError("this backend is closed")
        self._check_thread()
        try:
            with self._cuda.active():
                yield
        except self._cuda.errors as error:
            raise BackendError(
                f"the GPU failed while running {self.provider}: {first_line(error)}. Close this backend and open it "
                "again; if it fails again, look at the memory that is left and at the driver's log"
            ) from error

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                f"the backend {self.name} belongs to the thread that opened it; use and close it there, or open one "
                "in each thread"
            )


def _capture(flavour: Flavour, runners: Mapping[str, EngineRunner]) -> tuple[str, ...]:
    """Capture the graphs of fixed shape from outside, unless the library does it; returns what did not work."""
    if flavour.api.own_cuda_graphs:
        return ()
    reasons = (runner.capture() for runner in runners.values() if not runner.is_dynamic)
    return tuple(reason for reason in reasons if reason is not None)
