"""Choice of the backend and of the precision by name; ``auto`` takes the best that works here and says which."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from mcore.common.errors import UserError, first_line
from mcore_runtime.backends.base import BFLOAT16, Backend, BackendError
from mcore_runtime.bundle.records import GraphSet, Precision

BackendName = Literal[
    "auto", "onnxruntime", "onnxruntime-cuda", "openvino", "openvino-bf16", "tensorrt", "tensorrt-rtx"
]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
ENGINE_BACKENDS = ("tensorrt", "tensorrt-rtx")
"""Backends that run engines built beforehand; the others read the ONNX graphs themselves."""
_ENGINE_PRECISIONS: tuple[Precision, ...] = ("fp16", "fp32", "int8")
"""Order in which engines of several precisions are tried: these devices are fast in half precision; int8 on request."""


def open_variant(
    variants: Mapping[Precision, GraphSet],
    backend: str = "auto",
    precision: Precision | None = None,
    *,
    threads: int | None = None,
) -> tuple[Backend, Precision]:
    """Choose backend and precision together, and load the graphs.

    Args:
        variants: the graphs of a bundle by precision; ``fp32`` is always there.
        backend: one of ``BACKENDS``; ``auto``: an engine that was built for this machine, else CUDA, else the CPU.
        precision: ``fp32``, ``fp16`` or ``int8``; None: that of the engine where one is run, else fp32.
        threads: CPU threads of one operator; None: the library's own choice.

    Returns:
        The backend, and the precision whose exemplars belong to it.

    Raises:
        BackendError: the backend asked for cannot run here, or cannot load the graphs.
        MissingDependencyError: its library is not installed.
        UserError: no backend or precision of this name, or the bundle was exported without it.
    """
    if precision is not None and precision not in variants:
        raise UserError(f"the bundle has no {precision} graphs; it has: {', '.join(variants)}")
    wanted: tuple[Precision, ...] = (precision,) if precision else _ENGINE_PRECISIONS
    built = {name: variants[name] for name in wanted if name in variants and variants[name].engines}
    notes: list[str] = []
    if backend in ENGINE_BACKENDS:
        errors: list[UserError] = []
        for name, graphs in built.items():
            if (found := _open_engine(graphs, (backend,), threads, notes, errors)) is not None:
                return found, name
        if errors:
            raise errors[0]
        # Without an engine any graphs will do: the error says how to build one.
        name = precision or _for_engines(variants)
        return open_backend(variants[name], backend, threads=threads), name
    if backend == "auto":
        for name, graphs in built.items():
            if (found := _open_engine(graphs, ENGINE_BACKENDS, threads, notes, [])) is not None:
                return found, name
        if not built:
            notes += _engines_to_build(variants[wanted[0] if precision else _for_engines(variants)])
    name = precision or "fp32"
    return open_backend(variants[name], backend, threads=threads, notes=tuple(notes)), name


def open_backend(
    graphs: GraphSet,
    backend: str = "auto",
    *,
    threads: int | None = None,
    notes: tuple[str, ...] = (),
    mixed: bool = True,
) -> Backend:
    """Load one precision's graphs into a backend.

    Args:
        graphs: the files; they are loaded as they are, verified or not.
        backend: one of ``BACKENDS``; ``auto``: CUDA where it works, else OpenVINO where it is installed, else ONNX
            Runtime on the CPU.
        threads: CPU threads of one operator; None: the library's own choice, one for each physical core.
        notes: what a person should know about this choice.
        mixed: let OpenVINO leave to ONNX Runtime what that runs faster; without it each backend stands alone.

    Raises:
        BackendError: the backend asked for cannot run here, or cannot load the graphs.
        MissingDependencyError: its library is not installed.
        UserError: no backend of this name, or ``threads`` below 1.
    """
    if backend not in BACKENDS:
        raise UserError(f"no backend {backend!r}; allowed: {', '.join(BACKENDS)}")
    if threads is not None and threads < 1:
        raise UserError(f"threads is {threads}; at least 1")
    # Each library is imported only when chosen: the base install has none.
    if backend in ENGINE_BACKENDS:
        from mcore_runtime.backends.tensorrt.backend import TensorRtBackend

        return TensorRtBackend(graphs, backend, notes=notes)
    if backend == "auto":
        return _open_best(graphs, threads, notes)
    if backend in ("openvino", BFLOAT16):
        from mcore_runtime.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(graphs, threads=threads, notes=notes, bfloat16=backend == BFLOAT16, mixed=mixed)
    from mcore_runtime.backends.ort import OrtBackend

    return OrtBackend(graphs, backend, threads=threads, notes=notes)


def _open_best(graphs: GraphSet, threads: int | None, notes: tuple[str, ...]) -> Backend:
    if importlib.util.find_spec("onnxruntime") is not None:
        from mcore_runtime.backends.ort import cuda_is_listed

        if cuda_is_listed():
            try:
                return open_backend(graphs, "onnxruntime-cuda", threads=threads, notes=notes)
            except BackendError as error:
                # onnxruntime-gpu lists CUDA on machines without a GPU too: only loading the graphs tells.
                notes = (*notes, f"runs on the CPU: {error}")
    on_cpu = "openvino" if importlib.util.find_spec("openvino") is not None else "onnxruntime"
    return open_backend(graphs, on_cpu, threads=threads, notes=notes)


def _open_engine(
    graphs: GraphSet, kinds: Sequence[str], threads: int | None, notes: list[str], errors: list[UserError]
) -> Backend | None:
    """Open the engine of one precision that fits this machine; where none does, add why to notes and errors."""
    for kind in kinds:
        if any(engine.kind == kind for engine in graphs.engines):
            try:
                return open_backend(graphs, kind, threads=threads, notes=tuple(notes))
            except UserError as error:  # not installed, no GPU, or built for another machine
                notes.append(f"no {graphs.variant} {kind} engine used: {first_line(error)}")
                errors.append(error)
    return None


def _engines_to_build(graphs: GraphSet) -> list[str]:
    """Say which engines this machine could run faster than the graphs, had they been built."""
    from mcore_runtime.backends.tensorrt.choose import build_command
    from mcore_runtime.backends.tensorrt.devices import find_gpu
    from mcore_runtime.backends.tensorrt.flavours import load_flavour

    for kind in ENGINE_BACKENDS:
        try:
            flavour, (_, device) = load_flavour(kind), find_gpu("")
        except UserError:  # not installed, or no GPU: nothing is missed
            continue
        return [f"{flavour.title} and {device} are here, but the bundle has no engine. {build_command(graphs, kind)}"]
    return []


def _for_engines(variants: Mapping[Precision, GraphSet]) -> Precision:
    return next(name for name in _ENGINE_PRECISIONS if name in variants)
