"""Choice of the engine and of the precision by name; ``auto`` takes the best that works here and says which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from mcore.errors import UserError
from mcore_runtime.backends.base import Backend, BackendError
from mcore_runtime.manifest import GraphSet, Precision

BackendName = Literal["auto", "onnxruntime", "onnxruntime-cuda"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


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
        backend: one of ``BACKENDS``.
        precision: ``fp32``, ``fp16`` or ``int8``; None: fp32.
        threads: CPU threads of one operator; None: the engine's own choice.

    Returns:
        The backend, and the precision whose exemplars belong to it.

    Raises:
        BackendError: the engine asked for cannot run here, or cannot load the graphs.
        MissingDependencyError: the engine is not installed.
        UserError: no backend or precision of this name, or the bundle was exported without it.
    """
    name = precision or "fp32"
    if name not in variants:
        raise UserError(f"the bundle has no {name} graphs; it has: {', '.join(variants)}")
    return open_backend(variants[name], backend, threads=threads), name


def open_backend(graphs: GraphSet, backend: str = "auto", *, threads: int | None = None) -> Backend:
    """Load one precision's graphs into an inference engine.

    Args:
        graphs: the files; they are loaded as they are, verified or not.
        backend: ``onnxruntime`` (CPU), ``onnxruntime-cuda``, or ``auto``: CUDA where it works, else the CPU.
        threads: CPU threads of one operator; None: the engine's own choice, one for each physical core.

    Raises:
        BackendError: the engine asked for cannot run here, or cannot load the graphs.
        MissingDependencyError: the engine is not installed.
        UserError: no backend of this name, or ``threads`` below 1.
    """
    if backend not in BACKENDS:
        raise UserError(f"no backend {backend!r}; allowed: {', '.join(BACKENDS)}")
    if threads is not None and threads < 1:
        raise UserError(f"threads is {threads}; at least 1")
    # Each engine is imported only when chosen: the base install has none.
    from mcore_runtime.backends.ort import OrtBackend, cuda_is_listed

    if backend == "auto" and cuda_is_listed():
        try:
            return OrtBackend(graphs, "onnxruntime-cuda", threads=threads)
        except BackendError as error:
            # onnxruntime-gpu lists CUDA on machines without a GPU too: only loading the graphs tells.
            return OrtBackend(graphs, "onnxruntime", threads=threads, notes=(f"runs on the CPU: {error}",))
    return OrtBackend(graphs, "onnxruntime" if backend == "auto" else backend, threads=threads)
