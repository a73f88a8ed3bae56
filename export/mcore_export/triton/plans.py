"""Engines of TensorRT for Triton, which calls them plans: built from the graphs with a batch axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcore_export.engines.build import EngineBuilder
from mcore_export.engines.targets import resolve_target
from mcore_export.log import Log
from mcore_runtime.backends.tensorrt.flavours import load_flavour
from mcore_runtime.bundle.records import GraphRecord


@dataclass(frozen=True)
class PlanBuilder:
    """Something that builds plans."""

    title: str
    """Library and GPU that built them, such as ``TensorRT 10.3.0 for sm89``: a server needs the same."""
    build: Callable[[str, Path, GraphRecord, int], bytes]
    """Part, graph, its record, and the largest batch, to the plan's content."""


def plan_builder(log: Log) -> PlanBuilder:
    """Make what builds plans for this machine's GPU; Triton has no backend for TensorRT-RTX.

    Args:
        log: gets what the library says.

    Raises:
        BackendError: there is no GPU here.
        MissingDependencyError: TensorRT is not installed.
    """
    flavour = load_flavour("tensorrt")
    target, capability = resolve_target(flavour, None)

    def build(part: str, graph: Path, record: GraphRecord, largest_batch: int) -> bytes:
        return EngineBuilder(flavour, part, capability, log).build(graph, record, largest_batch, b"")[0]

    return PlanBuilder(f"{flavour.title} for {target}", build)
