"""ONNX Runtime on the CPU or on CUDA, with its silent fallbacks turned into errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcore._optional import require
from mcore.errors import first_line
from mcore_runtime.backends.base import BackendError, FloatArray, IntArray
from mcore_runtime.backends.signature import check_signature
from mcore_runtime.records import PARTS, GraphRecord, GraphSet, TensorSpec

PROVIDERS = {"onnxruntime": "CPUExecutionProvider", "onnxruntime-cuda": "CUDAExecutionProvider"}
"""ONNX Runtime's execution provider behind each backend name."""
_EXTRAS = {"onnxruntime": "runtime", "onnxruntime-cuda": "gpu"}
_OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}
"""TF32 is on by default and would make "fp32" untrue: 10 bits of mantissa instead of 23."""
_ONLY_ERRORS = 3
"""ONNX Runtime's log level: what its warnings say is checked here instead."""


class OrtBackend:
    """The three graphs as ONNX Runtime sessions; see ``Backend`` for the calls.

    Args:
        graphs: files to load.
        name: ``onnxruntime`` (CPU) or ``onnxruntime-cuda``.
        threads: CPU threads of one operator; None: one for each physical core.
        notes: what a person should know about this choice.

    Raises:
        BackendError: the provider is not there, was not used, or cannot load a graph; or a graph's inputs and
            outputs are not those of its record.
    """

    def __init__(self, graphs: GraphSet, name: str, *, threads: int | None = None, notes: tuple[str, ...] = ()) -> None:
        self.name = name
        self.notes = notes
        self.precision: Mapping[str, str] = dict(graphs.precision)
        self.provider = PROVIDERS[name]
        self._sessions = OrtSessions(graphs.folder, {part: graphs.records[part] for part in PARTS}, name, threads)

    def backbone(self, clip: FloatArray) -> FloatArray:
        """Turn a clip (1, 3, T, c, c) into features (1, T, D)."""
        features: FloatArray = self._sessions.run("backbone", {"clip": clip}, ["features"])[0]
        return features

    def segmenter(self, features: FloatArray) -> tuple[FloatArray, IntArray, FloatArray]:
        """Turn features (1, T, D) into logits (1, T, 2), transitions (1, 2) and tokens (1, 3K, D)."""
        logits, transitions, tokens = self._sessions.run(
            "segmenter", {"features": features}, ["logits", "transitions", "tokens"]
        )
        return logits, transitions, tokens

    def regressor(self, query: FloatArray, exemplars: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compare tokens (1, 3K, D) with (E, 3K, D): delta (E,) and its shares by stage (E, 3), points."""
        delta, stage_deltas = self._sessions.run(
            "regressor", {"query": query, "exemplars": exemplars}, ["delta", "stage_deltas"]
        )
        return delta, stage_deltas

    def close(self) -> None:
        """Drop the sessions, and with them ONNX Runtime's memory and threads."""
        self._sessions.close()


class OrtSessions:
    """Graphs as sessions of one provider, by part.

    Args:
        folder: of the bundle.
        records: the graphs.
        name: ``onnxruntime`` (CPU) or ``onnxruntime-cuda``.
        threads: CPU threads of one operator; None: one for each physical core.

    Raises:
        BackendError: see ``OrtBackend``.
    """

    def __init__(self, folder: Path, records: Mapping[str, GraphRecord], name: str, threads: int | None) -> None:
        ort, provider = _import(name), PROVIDERS[name]
        available = ort.get_available_providers()
        if provider not in available:
            # Beside the CPU build, which is what answered, the other would overwrite half of it.
            raise BackendError(
                f"backend {name} needs ONNX Runtime's {provider}; this installation has "
                f"{', '.join(available)}. Install it, in an environment of its own or after 'pip uninstall "
                f"onnxruntime', with: pip install 'mcore-edge[{_EXTRAS[name]}]'"
            )
        options = _session_options(ort, threads)
        self._sessions = {}
        for part, record in records.items():
            path = folder / record.file
            session = _open(ort, path, provider, options)
            inputs, outputs = map(_spec, session.get_inputs()), map(_spec, session.get_outputs())
            check_signature(record, path, list(inputs), list(outputs))
            self._sessions[part] = session

    def run(self, part: str, inputs: dict[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Run one graph: arrays by name in, arrays in the order of ``outputs`` out."""
        try:
            values: list[Any] = self._sessions[part].run(outputs, inputs)
        except KeyError:
            raise RuntimeError("this backend is closed") from None
        return values

    def close(self) -> None:
        """Drop the sessions."""
        self._sessions.clear()


def cuda_is_listed() -> bool:
    """Tell whether ONNX Runtime was built with CUDA, which does not mean that a GPU is there."""
    return PROVIDERS["onnxruntime-cuda"] in _import("onnxruntime").get_available_providers()


def _import(name: str) -> Any:
    return require("onnxruntime", _EXTRAS[name], f"The backend {name}")


def _session_options(ort: Any, threads: int | None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = _ONLY_ERRORS
    options.inter_op_num_threads = 1
    # Each graph has its own threads, which go on spinning when it is done and take cores from the next graph and
    # from the decoder: on two busy cores that made a dive up to three times slower.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _open(ort: Any, path: Path, provider: str, options: Any) -> Any:
    """Load one graph, and read back which provider got it: one that fails is dropped with a log line."""
    # The CPU stays behind any other provider: some operators on shapes have no other kernel.
    wanted: list[Any] = [(provider, _OPTIONS.get(provider, {}))]
    if provider != "CPUExecutionProvider":
        wanted.append("CPUExecutionProvider")
    try:
        session = ort.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise BackendError(
            f"ONNX Runtime {ort.__version__} cannot load {path.name} on {provider}: {first_line(error)}. "
            "Upgrade it with: pip install --upgrade onnxruntime, or export the bundle again"
        ) from error
    session.disable_fallback()  # or a failing run would silently go on elsewhere
    got = session.get_providers()
    if got[0] != provider:
        raise BackendError(
            f"asked ONNX Runtime for {provider}, got {', '.join(got)} for {path.name}: no usable "
            "device or driver. Run on the CPU with: --backend onnxruntime"
        )
    return session


def _spec(node: Any) -> TensorSpec:
    dtypes = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64"}
    shape = tuple(axis if isinstance(axis, int) else str(axis) for axis in node.shape)
    return TensorSpec(node.name, dtypes.get(node.type, node.type), shape)
