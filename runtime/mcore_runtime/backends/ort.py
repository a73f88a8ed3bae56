"""ONNX Runtime on the CPU or on CUDA, with its silent fallbacks turned into errors.

On CUDA inputs and outputs keep their places in the GPU's memory, and a graph of fixed shape is launched as one CUDA
graph where that works: the GPU then waits for nobody between two kernels.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mcore.common.errors import first_line
from mcore.common.optional import install_command, require
from mcore_runtime.backends.base import BackendError, NamedGraphsBackend
from mcore_runtime.backends.bound import BoundSession
from mcore_runtime.backends.signature import check_signature
from mcore_runtime.bundle.records import PARTS, GraphRecord, GraphSet, TensorSpec

PROVIDERS = {"onnxruntime": "CPUExecutionProvider", "onnxruntime-cuda": "CUDAExecutionProvider"}
"""ONNX Runtime's execution provider behind each backend name."""
_EXTRAS = {"onnxruntime": "runtime", "onnxruntime-cuda": "gpu"}
_OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}
"""TF32 is on by default and would make "fp32" untrue: 10 bits of mantissa instead of 23."""
_FOR_CPU = "these graphs are arranged for CPUs: on a GPU, export again without --for-cpu"
_ONLY_ERRORS = 3
"""ONNX Runtime's log level: what its warnings say is checked here instead."""


class OrtBackend(NamedGraphsBackend):
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

    def __init__(
        self,
        graphs: GraphSet,
        name: str,
        *,
        threads: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.precision: Mapping[str, str] = dict(graphs.precision)
        self.provider = PROVIDERS[name]
        records = {part: graphs.records[part] for part in PARTS}
        self._sessions = OrtSessions(graphs.folder, records, name, threads)
        arranged = (_FOR_CPU,) if graphs.for_cpu and name == "onnxruntime-cuda" else ()
        self.notes = (*notes, *arranged, *self._sessions.notes)

    def close(self) -> None:
        """Drop the sessions, and with them ONNX Runtime's memory and threads."""
        self._sessions.close()

    def _run(self, part: str, inputs: dict[str, Any], outputs: Sequence[str]) -> list[Any]:
        return self._sessions.run(part, inputs, outputs)


class OrtSessions:
    """Graphs as sessions of one provider, by part.

    On the CPU a session may be run by several threads at once. On CUDA it refuses all but the one that opened it.

    Args:
        folder: of the bundle.
        records: the graphs.
        name: ``onnxruntime`` (CPU) or ``onnxruntime-cuda``.
        threads: CPU threads of one operator; None: one for each physical core.

    Raises:
        BackendError: see ``OrtBackend``.
    """

    def __init__(
        self,
        folder: Path,
        records: Mapping[str, GraphRecord],
        name: str,
        threads: int | None,
    ) -> None:
        ort, provider = _import(name), PROVIDERS[name]
        available = ort.get_available_providers()
        if provider not in available:
            # Beside the CPU build, which is what answered, the other would overwrite half of it.
            raise BackendError(
                f"backend {name} needs ONNX Runtime's {provider}; this installation has "
                f"{', '.join(available)}. Install it, in an environment of its own or after 'pip uninstall "
                f"onnxruntime', with: {install_command(_EXTRAS[name])}"
            )
        options = _session_options(ort, threads)
        self.notes: tuple[str, ...] = ()
        """What a person should know about how the graphs run."""
        self._sessions: dict[str, Any] = {}
        self._bound: dict[str, BoundSession] = {}
        for part, record in records.items():
            path = folder / record.file
            session = _open(ort, path, provider, options)
            inputs, outputs = map(_spec, session.get_inputs()), map(_spec, session.get_outputs())
            check_signature(record, path.name, list(inputs), list(outputs))
            if provider == "CPUExecutionProvider":
                self._sessions[part] = session
                continue
            plain = BoundSession(ort, session, record, "cuda")
            self._check_runs(plain, name)
            captured = None if plain.is_dynamic else self._capture(ort, path, record, options, plain)
            self._bound[part] = captured or plain  # the other's memory goes with it

    def _check_runs(self, session: BoundSession, name: str) -> None:
        """Run a graph once: a build without kernels for this GPU lists CUDA, loads graphs, and fails only here."""
        try:
            session.run_zeros()
        except Exception as error:  # of ONNX Runtime's own classes
            raise BackendError(
                f"backend {name} loads the graphs, but cannot run them on this GPU: {first_line(error)}"
            ) from error

    def _capture(
        self, ort: Any, path: Path, record: GraphRecord, options: Any, plain: BoundSession
    ) -> BoundSession | None:
        """Load a graph of fixed shape as one CUDA graph, if it then computes the same; else note why not."""
        provider, reason = PROVIDERS["onnxruntime-cuda"], "it computes other values"
        try:
            session = _open(ort, path, provider, options, enable_cuda_graph="1")
            captured = BoundSession(ort, session, record, "cuda")
            if captured.agrees_with(plain):
                return captured
        except Exception as error:  # each with a class of its own: a kernel that cannot be captured, no memory
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            reason = first_line(cause)
        self.notes += (f"{record.file} does not run as one CUDA graph, its kernels are launched one by one: {reason}",)
        return None

    def run(self, part: str, inputs: dict[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Run one graph: arrays by name in, arrays in the order of ``outputs`` out."""
        if (bound := self._bound.get(part)) is not None:
            return bound.run(inputs, outputs)
        try:
            values: list[Any] = self._sessions[part].run(outputs, inputs)
        except KeyError:
            raise RuntimeError("this backend is closed") from None
        return values

    def close(self) -> None:
        """Drop the sessions."""
        self._bound.clear()
        self._sessions.clear()


def cuda_is_listed() -> bool:
    """Tell whether ONNX Runtime was built with CUDA, which does not mean that a GPU is there."""
    return PROVIDERS["onnxruntime-cuda"] in _import("onnxruntime").get_available_providers()


def _import(name: str) -> Any:
    require("onnxruntime", _EXTRAS[name], f"The backend {name}")
    return load_onnxruntime(cuda=name == "onnxruntime-cuda")


def load_onnxruntime(*, cuda: bool) -> Any:
    """Import ONNX Runtime, which has to be installed, with CUDA's libraries where they are Python packages."""
    import onnxruntime as ort

    if cuda and hasattr(ort, "preload_dlls"):  # ONNX Runtime 1.21
        with redirect_stdout(io.StringIO()):  # it prints what it does not find; the system's libraries are taken then
            ort.preload_dlls()
    return ort


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


def _open(ort: Any, path: Path, provider: str, options: Any, **more: str) -> Any:
    """Load one graph, and read back which provider got it: one that fails is dropped with a log line."""
    # The CPU stays behind any other provider: some operators on shapes have no other kernel.
    wanted: list[Any] = [(provider, {**_OPTIONS.get(provider, {}), **more})]
    if provider != "CPUExecutionProvider":
        wanted.append("CPUExecutionProvider")
    try:
        session = ort.InferenceSession(str(path), options, providers=wanted, enable_fallback=0)
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
