"""Options of an evaluation, and of an audit. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mcore.common.errors import UserError
from mcore.config import EXEMPLARS_PER_NUMBER, Decoding

MIN_DIVES = 20
"""Dives of an audit: fewer are in order, or out of it, by chance."""
ExemplarChoice = Literal["random", "nearest"]


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation: checkpoint, dives and exemplars."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Checkpoint: ours or the published layout."""
    data: Path
    """List of dives (.jsonl or .csv) with the split and train, whose dives are the exemplars."""
    out: Path | None = None
    """Folder for metrics.json, predictions.csv, scatter.png and boundaries.png; default: one named after the split,
    beside the checkpoint."""
    split: Literal["val", "test"] = "test"
    """Dives to score; those of train are the exemplars."""
    num_exemplars: int | Literal["all"] = EXEMPLARS_PER_NUMBER
    """Exemplars of each dive, fewer where its number has fewer; all takes every training dive of the number."""
    exemplars: ExemplarChoice = "random"
    """Which: random as published, or nearest, those that look most like the dive, as a bundle compares it."""
    decoding: Decoding | None = None
    """How transitions are found: ordered (the most probable pair of the whole clip, the default), published (each in
    its half of the clip), or thirds (not at all; the default for a network trained with --stages thirds)."""
    num_resamples: int = 1000
    """Resamples of each interval."""
    seed: int = 0
    """Seed of the choice of exemplars and of the resampling."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    workers: int = 0
    """Processes that read clips."""
    cache: Path | None = None
    """Folder of decoded clips; default: .clips beside the list of dives."""
    no_cache: bool = False
    """Decode the videos and keep nothing."""

    def __post_init__(self) -> None:
        if self.num_resamples < 1 or (self.num_exemplars != "all" and self.num_exemplars < 1):
            raise UserError("--num-exemplars and --num-resamples must be at least 1")

    @property
    def folder(self) -> Path:
        """Return the folder of the evaluation's files."""
        return self.out or self.checkpoint.parent / self.split


@dataclass(frozen=True)
class AuditOptions:
    """Options of an audit: checkpoint, dives, and how many of them."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Checkpoint: ours or the published layout."""
    data: Path
    """List of dives (.jsonl or .csv) with the split and train, whose dives are the exemplars. Dives are drawn again
    only where the list lies in a folder that mcore-data render wrote."""
    out: Path | None = None
    """Folder for audit.json and audit.md; default: audit, beside the checkpoint."""
    split: Literal["val", "test"] = "test"
    """Dives to audit with."""
    num_dives: int = 60
    """Dives that are hidden in part, spread evenly over the list; each is drawn twice again."""
    num_moved: int = 12
    """Of these, dives whose faults are moved; each is drawn twice again for every fault."""
    no_drawing: bool = False
    """Measure only what needs no new drawings."""
    num_exemplars: int = 10
    """Exemplars of each dive, fewer where its number has fewer."""
    num_resamples: int = 1000
    """Resamples of each interval."""
    seed: int = 0
    """Seed of the choice of exemplars and of the resampling."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    workers: int | None = None
    """Processes that draw; default: one a core."""
    cache: Path | None = None
    """Folder of decoded clips; default: .clips beside the list of dives."""
    no_cache: bool = False
    """Decode the videos and keep nothing."""

    def __post_init__(self) -> None:
        counts = {"--num-dives": (self.num_dives, MIN_DIVES), "--num-moved": (self.num_moved, 2)}
        counts |= {"--num-exemplars": (self.num_exemplars, 1), "--num-resamples": (self.num_resamples, 1)}
        counts["--workers"] = (1 if self.workers is None else self.workers, 1)
        for flag, (given, least) in counts.items():
            if given < least:
                raise UserError(f"{flag} is {given}; at least {least}")

    @property
    def folder(self) -> Path:
        """Return the folder of the audit's files."""
        return self.out or self.checkpoint.parent / "audit"
