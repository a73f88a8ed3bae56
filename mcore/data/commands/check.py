"""Subcommands ``mcore-data check``, ``convert`` and ``labels``."""

from __future__ import annotations

import hashlib
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
from mcore.data.finediving_labels import write_finediving_labels
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
    """A list of dives (.jsonl, .csv), FineDiving's or MTL-AQA's folder, or FineDiving's labels (JSON lines, or
    E2E-Spot's folder)."""
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
    """The data set's folder, or FineDiving's labels (JSON lines, or E2E-Spot's folder)."""
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


@dataclass(frozen=True)
class Labels:
    """Write FineDiving's labels, without its videos, as one file of JSON lines.

    From E2E-Spot's repository, whose folder data/finediving holds them, or from FineDiving's own folder of pickles.

    mcore-data labels spot/data/finediving --out finediving_labels.jsonl
    """

    source: Annotated[Path, tyro.conf.Positional]
    """E2E-Spot's folder (train.json, val.json, test.json), or FineDiving's (Annotations/*.pkl)."""
    out: Path
    """The file to write, ending in .jsonl."""

    def run(self) -> int:
        """Read, write, and say what was left out."""
        if self.out.suffix != ".jsonl":
            raise UserError(f"--out {self.out}: labels end in .jsonl")
        source = read_source(self.source)
        if source.kind not in ("e2e-spot", "finediving", "finediving-labels"):
            raise UserError(f"{self.source} is {source.kind}; allowed: E2E-Spot's or FineDiving's folder of labels")
        left_out = write_finediving_labels(self.out, source.dives)
        print_left_out(left_out)
        names = {left.name for left in left_out}
        written = [dive.record for dive in source.dives if dive.record is not None and dive.name not in names]
        digest = hashlib.sha256(self.out.read_bytes()).hexdigest()
        print(f"{self.out}: {split_counts(written)} from {source.kind}, {len(left_out)} left out, sha256 {digest[:16]}")
        return 1 if left_out else 0
