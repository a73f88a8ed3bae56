"""Sizes and build times of TensorRT engines."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from mcore.common.errors import UserError
from mcore_bench.output import JsonFile, begin_result, finish_result
from mcore_bench.result import Column, Table, Value
from mcore_export.engines.build import build_engines
from mcore_runtime.backends.base import BackendError
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, EngineRecord, GraphSet


@dataclass(frozen=True)
class EnginesArguments(JsonFile):
    """Print sizes and build times of engines.

        mcore-bench engines bundle
        mcore-bench engines bundle --targets sm75 sm89

    With --targets, engines are built only to be measured, and the bundle stays as it is.
    """

    bundle: Annotated[Path, tyro.conf.Positional]
    """The bundle."""
    targets: tuple[str, ...] = ()
    """GPU architectures such as sm89 that TensorRT-RTX builds every precision of the bundle for, only to measure;
    none: the engines that the bundle holds."""


def measure_engines(arguments: EnginesArguments) -> int:
    """Run ``mcore-bench engines``."""
    bundle, result = Bundle.open(arguments.bundle), begin_result("Engines")
    if not arguments.targets and not bundle.manifest.engines:
        raise UserError(
            f"{arguments.bundle} holds no engines. Build some with: mcore-bundle engine {arguments.bundle}; "
            "or measure TensorRT-RTX without a GPU: --targets sm80 sm89 sm120"
        )
    absent: list[str] = []
    if not arguments.targets:
        table = engine_table(bundle.path, bundle.manifest.engines)
    else:
        with tempfile.TemporaryDirectory(prefix="mcore-engines-") as folder:
            table = engine_table(Path(folder), _build(bundle, arguments.targets, Path(folder), absent))
    finish_result(replace(result, tables=(table,), absent=tuple(absent)), arguments.json)
    return 0


def engine_table(folder: Path, records: Sequence[EngineRecord]) -> Table:
    """Return megabytes and seconds of each part of each engine, and of all.

    Args:
        folder: that the records' files lie below.
        records: one row for each.
    """
    rows: list[tuple[Value, ...]] = []
    for record in records:
        megabytes = [(folder / record.files[part]).stat().st_size / 1e6 for part in PARTS]
        seconds = [record.build_s[part] for part in PARTS]
        rows.append((record.name, *megabytes, sum(megabytes), *seconds, sum(seconds)))
    columns = [Column(f"{part}, {unit}", ".1f") for unit in ("MB", "s") for part in (*PARTS, "all three")]
    return Table("sizes and build times of engines", (Column("engine"), *columns), tuple(rows))


def _build(bundle: Bundle, targets: Sequence[str], folder: Path, absent: list[str]) -> list[EngineRecord]:
    """Build every precision for every target; ``absent`` gets what cannot be built."""

    def build(graphs: GraphSet, target: str) -> Iterator[EngineRecord]:
        try:
            yield build_engines(graphs, "tensorrt-rtx", folder, target=target, log=lambda line: None)
        except BackendError as error:
            absent.append(f"{graphs.variant} for {target}: {error}")

    return [record for graphs in bundle.variants.values() for target in targets for record in build(graphs, target)]
