"""Command lines of trainings, read without training; and trainings in processes, waited for."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from mcore.network.checkpoint import Checkpoint
from mcore.train import with_options
from mcore.training.config import TrainingOptions
from mcore.training.run import prepare
from mcore.training.trainer import Trainer

Parsed = tuple[TrainingOptions, Checkpoint | None]


def parse(argv: list[str]) -> Parsed:
    """Options and, of a resumed run, its checkpoint; the command line must be right."""
    found: list[Parsed] = []

    def keep(options: TrainingOptions, checkpoint: Checkpoint | None) -> int:
        found.append((options, checkpoint))
        return 0

    assert with_options(argv, keep) == 0
    return found[0]


def prepared(argv: list[str]) -> Trainer:
    """A trainer at the point where its run begins or goes on."""
    return prepare(*parse(argv))


def wait_for_an_epoch(process: subprocess.Popen[str], run: Path) -> None:
    """Wait until a training has saved and logged an epoch, however long that takes, or has ended."""
    log = run / "metrics.csv"  # an epoch's line follows its checkpoint
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") > 1):
        time.sleep(0.02)
