"""What the commands share that measure a bundle on labelled dives: options, the dives, and what becomes of figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.data.cache_folder import check_folder
from mcore.data.manifest import DiveRecord, Split, dive_names, read_manifest, select_split
from mcore.data.trained_dives import check_new
from mcore.data.trained_on import caution, describe_training
from mcore_runtime.backends import BackendName
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import Bundle

if TYPE_CHECKING:
    from mcore_export.accuracy import BundleAccuracy
    from mcore_export.numbers.measure import NumberFigures

MIN_DIVES = 2
WIDTH = 150
"""Columns of the tables, also where the output is a file."""


@dataclass(frozen=True)
class MeasuringOptions:
    """Bundle, dives, and the file of the figures."""

    bundle: Annotated[Path, tyro.conf.Positional]
    """Folder made by mcore-export, with exemplars."""
    data: Path
    """List of labelled dives (.jsonl or .csv) that the bundle does not know: no exemplars, and none that it was trained
    on."""
    split: Split = "test"
    """Part of the list."""
    backend: BackendName = "auto"
    """Backend; auto: the best that the bundle and this machine have."""
    num_resamples: int = 1000
    """Bootstrap resamples of each interval."""
    json: Path | None = None
    """Write all figures to this .json file."""

    def __post_init__(self) -> None:
        if self.num_resamples < 1:
            raise UserError(f"{self.num_resamples} resamples; at least 1")
        if self.json is not None:
            if self.json.suffix != ".json":
                raise UserError(f"--json writes to a file that ends in .json, got {str(self.json)!r}")
            check_folder(self.json.parent, "the folder of --json", "choose another place")


def dives_to_measure(bundle: Bundle, bank: ExemplarBank, options: MeasuringOptions) -> list[DiveRecord]:
    """Read the dives of a split, and say what has changed in their list since the training.

    Raises:
        UserError: too few dives, or the bundle knows some of them: exemplars, by file, number and score, those of its
            intervals, and those that it was trained on.
    """
    data, split = options.data, options.split
    records = select_split(read_manifest(data), split)
    if len(records) < MIN_DIVES:
        raise UserError(f"{data} has {len(records)} {split} dives; at least {MIN_DIVES}")

    def key(name: str, number: str, score: float) -> tuple[str, str, float]:
        return PurePosixPath(name).name, number, score

    exemplars = set(map(key, bank.names.tolist(), bank.dive_numbers.tolist(), bank.scores.tolist()))
    names = dive_names(records, data)
    dives = ((n, key(n, r.dive_number, r.score)) for n, r in zip(names, records, strict=True))
    if shared := sorted(name for name, dive in dives if dive in exemplars):
        raise UserError(
            f"{len(shared)} of these dives are exemplars of the bundle, such as {shared[0]}: that would flatter it. "
            "Give dives that it does not hold"
        )
    for variant in bundle.manifest.variants.values():
        known = None if variant.exemplars is None else variant.exemplars.conformal
        if known is not None and (known.source, known.split) == (data.name, split):
            raise UserError(
                f"the bundle's intervals come from the {known.split} dives of {known.source}: that would "
                "flatter them. Give another --split or list"
            )
    if split != "train" and (remark := check_new(bundle.trained_dives(), records, data, options.bundle)):
        print(f"note: {remark}", file=sys.stderr)
    return records


def show_figures(tables: Iterable[Table], found: BundleAccuracy | NumberFigures, file: Path | None) -> int:
    """Print tables, and what the network was trained on; write all figures where that is asked for; returns 0."""
    console = Console(width=max(Console().width, WIDTH), soft_wrap=True)
    for table in tables:
        console.print(table)
    print(caution(found.trained_on) or describe_training(found.trained_on))
    if file is not None:
        write_text(file, json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")
    return 0
