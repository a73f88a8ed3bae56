"""Which of a bundle's engines fits this machine; where none does, which command builds one."""

from __future__ import annotations

from mcore_runtime.backends.base import BackendError
from mcore_runtime.bundle.records import EngineRecord, GraphSet


def choose_engine(graphs: GraphSet, kind: str, version: str, target: str) -> EngineRecord:
    """Return the engine that was built for exactly this machine from exactly these graphs.

    Args:
        graphs: one precision's graphs and what was built from them.
        kind: ``tensorrt`` or ``tensorrt-rtx``.
        version: version of the library here.
        target: architecture of the GPU here.

    Raises:
        BackendError: there is none; says what there is, and how to build it.
    """
    built = [engine for engine in graphs.engines if engine.kind == kind and engine.precision == graphs.variant]
    here = f"this machine has {kind} {version} on {target}"
    command = build_command(graphs, kind)
    if not built:
        raise BackendError(f"{graphs.folder} has no {kind} engine of its {graphs.variant} graphs; {here}. {command}")
    fitting = [engine for engine in built if (engine.version, engine.target) == (version, target)]
    if not fitting:
        made_for = "; ".join(f"{engine.name} was built with {engine.version} for {engine.target}" for engine in built)
        raise BackendError(f"no engine in {graphs.folder} fits: {made_for}; {here}. {command}")
    digest = graphs.digest()
    for engine in fitting:
        if engine.graphs_sha256 == digest:
            return engine
    raise BackendError(
        f"{fitting[0].name} was built from other {graphs.variant} graphs than those that are now in {graphs.folder}. "
        f"{command}"
    )


def build_command(graphs: GraphSet, kind: str) -> str:
    """Say which command builds an engine from these graphs."""
    return f"Build it here with: mcore-bundle engine {graphs.folder} --kind {kind} --precision {graphs.variant}"
