"""Choice of the inference engine by name; ``auto`` takes the best that works here and says which."""

from __future__ import annotations

from typing import Literal, get_args

from mcore.errors import UserError
from mcore_runtime.backends.base import Backend, BackendError
from mcore_runtime.manifest import GraphSet

BackendName = Literal["auto", "onnxruntime", "onnxruntime-cuda"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


def open_backend(graphs: GraphSet, backend: str = "auto", *, threads: int | None = None) -> Backend:
    """Load the graphs into an inference engine.

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
