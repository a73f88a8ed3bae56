"""A graph's inputs and outputs as an engine reports them, held against the bundle's contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mcore_runtime.backends.base import BackendError
from mcore_runtime.bundle.records import GraphRecord, TensorSpec


def check_signature(
    record: GraphRecord, path: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Refuse a graph whose inputs or outputs are not those of its record.

    Args:
        record: what the bundle promises.
        path: the graph's file, for the message.
        inputs: what the engine found in it, in its order.
        outputs: likewise.

    Raises:
        BackendError: another name, order, element type or shape.
    """
    for kind, specs, found in (("inputs", record.inputs, inputs), ("outputs", record.outputs, outputs)):
        names = [spec.name for spec in specs]
        if [spec.name for spec in found] != names or not all(map(_fits, specs, found)):
            raise BackendError(
                f"{path.name} has the {kind} {_describe(found)}; the bundle's contract is "
                f"{_describe(specs)}. Export the bundle again"
            )


def _fits(expected: TensorSpec, found: TensorSpec) -> bool:
    """Equal up to the names of axes that vary; an extent that the exporter could not infer fits anything."""
    if expected.dtype != found.dtype or len(expected.shape) != len(found.shape):
        return False
    pairs = zip(expected.shape, found.shape, strict=True)
    return all(isinstance(got, str) or want == got for want, got in pairs)


def _describe(specs: Iterable[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs) or "none"
