"""Subcommands ``mcore-data check`` and ``mcore-data convert``."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.progress import progress_bar
from mcore.data.check import check_source
from mcore.data.commands import print_left_out, split_counts
from mcore.data.findings import print_report
from mcore.data.labels import VALIDATION_SHARE
from mcore.data.manifest import write_manifest
from mcore.data.sources import read_source, usable_records
from mcore.diving import NEWEST_YEAR, EditionYear, edition_of


@dataclass(frozen=True)
class Check:
    """Check a data set of dives: counts, labels, splits, rules, images.

    Errors make a dive wrong or unusable, and the exit code is 1. Warnings are worth knowing.

        mcore-data check FineDiving --decode --json report.json
    """

    dataset: Annotated[Path, tyro.conf.Positional]
    """A list of dives (.jsonl, .csv), FineDiving's or MTL-AQA's folder, or FineDiving's labels as JSON lines."""
    frames: Path | None = None
    """Folder of the images, if not where the data set has them."""
    json: Path | None = None
    """Also write everything found to this file."""
    decode: bool = False
    """Also decode every image and video."""
    workers: int | None = None
    """Threads; default: one a core."""
    edition: EditionYear = NEWEST_YEAR
    """Year of the diving rules with which difficulties are compared."""

    def run(self) -> int:
        """Check, print, and save."""
        source = read_source(self.dataset, self.frames)
        workers = self.workers or os.cpu_count() or 1
        with progress_bar("checking clips", len(source.dives)) as on_clip:
            edition = edition_of(self.edition)
            report = check_source(source, decode=self.decode, workers=workers, on_clip=on_clip, edition=edition)
        print_report(report, Console())
        if self.json is not None:
            write_text(self.json, json.dumps(report.to_dict(), indent=1) + "\n")
        return 1 if report.errors else 0


@dataclass(frozen=True)
class Convert:
    """Write a list of dives that training takes, from FineDiving, MTL-AQA, or FineDiving's labels.

    The test split stays as it is; a validation split is taken from the training dives where there is none.

    mcore-data convert FineDiving --out finediving.jsonl
    """

    source: Annotated[Path, tyro.conf.Positional]
    """The data set's folder, or FineDiving's labels as JSON lines."""
    out: Path
    """The list to write, ending in .jsonl."""
    frames: Path | None = None
    """Folder of the images, if not where the data set has them; it need not exist yet."""
    validation_share: float = VALIDATION_SHARE
    """Part of the training dives of each number that becomes the validation split; the test split stays as it is."""
    seed: int = 0
    """Seed of the choice of validation dives."""

    def run(self) -> int:
        """Convert, and say what was left out."""
        if self.out.suffix != ".jsonl":
            raise UserError(f"--out {self.out}: a list of dives ends in .jsonl")
        if not 0 <= self.validation_share < 1:
            raise UserError(f"--validation-share {self.validation_share}; allowed: 0 up to, not including, 1")
        source = read_source(self.source, self.frames)
        if source.kind == "manifest":
            raise UserError(f"{self.source} is a list of dives already; use it as it is")
        records, left_out = usable_records(source.dives, self.validation_share, self.seed)
        if not records:
            raise UserError(f"no dive of {self.source} can be used: {left_out[0].name}: {left_out[0].reason}")
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(self.out, records)
        print_left_out(left_out)
        absent = sum(not record.path.exists() for record in records)
        if absent:
            print(
                f"{absent} of {len(records)} clips are not on the disk yet, such as {records[0].path}", file=sys.stderr
            )
        if all(record.transition_frames is None for record in records):
            print("no dive has transitions: evaluation takes this list, training does not", file=sys.stderr)
        print(f"{self.out}: {split_counts(records)} from {source.kind}, {len(left_out)} left out")
        return 0
