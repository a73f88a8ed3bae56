"""A graph's inputs and outputs as a backend reports them, compared with the bundle's contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mcore_runtime.backends.base import BackendError
from mcore_runtime.bundle.records import GraphRecord, TensorSpec


def check_signature(
    record: GraphRecord,
    source: Path | str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    is_engine: bool = False,
) -> None:
    """Refuse a graph whose inputs or outputs are not those of its record.

    Args:
        record: what the bundle promises.
        source: the graph's file, for the message.
        inputs: what the backend found in it.
        outputs: likewise.
        is_engine: TensorRT reports it. Then the order is TensorRT's own, and it knows the extent of every axis.

    Raises:
        BackendError: another name, order, element type or shape.
    """
    for kind, specs, found in (("inputs", record.inputs, inputs), ("outputs", record.outputs, outputs)):
        if is_engine:
            place = {spec.name: index for index, spec in enumerate(specs)}
            found = sorted(found, key=lambda spec: place.get(spec.name, len(place)))
        names = [spec.name for spec in specs]
        if [spec.name for spec in found] != names or not all(
            _fits(*pair, is_engine) for pair in zip(specs, found, strict=True)
        ):
            raise BackendError(
                f"{source} has the {kind} {_describe(found)}; the bundle's contract is {_describe(specs)}. "
                f"{'Build the engine again, or export' if is_engine else 'Export'} the bundle again"
            )


def _fits(expected: TensorSpec, found: TensorSpec, is_exact: bool) -> bool:
    """Equal up to the names of axes that vary; unless exact, an extent that the exporter could not infer fits too."""
    if expected.dtype != found.dtype or len(expected.shape) != len(found.shape):
        return False
    return all(
        isinstance(want, str) or not is_exact if isinstance(got, str) else want == got
        for want, got in zip(expected.shape, found.shape, strict=True)
    )


def _describe(specs: Iterable[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs) or "none"
