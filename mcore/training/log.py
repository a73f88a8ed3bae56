"""Log of a training: a progress bar or lines, a CSV file, TensorBoard.

The CSV holds only what seed, data and configuration decide, so that two runs of the same training can be
compared byte by byte; times go to the terminal and to TensorBoard.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mcore.common.files import write_text
from mcore.common.optional import require
from mcore.training.losses import LOSSES, TOTAL

Row = dict[str, float | int | None]
"""An epoch's figures; None where it was not validated."""

VALIDATION_COLUMNS = {
    "val_srcc": "srcc",
    "val_relative_l2": "relative_l2_x100",
    "val_mae_points": "mae_points",
    "val_aiou_50": "aiou_50",
    "val_aiou_75": "aiou_75",
    "val_boundary_error_frames": "boundary_error_mean_frames",
}
"""Columns of a validation and the metrics they hold (``mcore.evaluation.assessment``)."""


def columns() -> list[str]:
    """Columns of metrics.csv: a ``loss_`` for each loss that is registered."""
    losses = [f"loss_{name}" for name in (TOTAL, *LOSSES)]
    return ["epoch", "learning_rate", *losses, *VALIDATION_COLUMNS]


class TrainLog:
    """Log of a training; a context manager, because it owns a progress bar and an open event file.

    Of several processes only the first writes: the log of the others is silent.
    """

    def __init__(
        self, run_dir: Path, *, total_steps: int, done_steps: int, first_epoch: int, silent: bool = False
    ) -> None:
        self._csv_path, self._silent = run_dir / "metrics.csv", silent
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=silent or not self._console.is_terminal,
        )
        self._steps = self._progress.add_task("training", total=total_steps, completed=done_steps)
        self._clips = self._progress.add_task("validating", visible=False)
        self._epoch_started = time.monotonic()
        self._events: Any = None
        if not silent:
            tensorboard = require("torch.utils.tensorboard", "train", "Training")
            self._events = tensorboard.SummaryWriter(str(run_dir / "tensorboard"), purge_step=first_epoch)

    def __enter__(self) -> TrainLog:
        self._progress.start()
        self._epoch_started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._events is not None:
            self._events.close()

    def step(self, epoch: int, epochs: int, losses: Mapping[str, float]) -> None:
        """Show one step: the epoch's mean losses so far."""
        parts = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
        self._progress.update(self._steps, advance=1, description=f"epoch {epoch + 1}/{epochs}  {parts}")

    def validating(self, num_batches: int) -> None:
        """Show that a validation begins."""
        self._progress.reset(self._clips, total=num_batches, visible=True)

    def validation_batch(self) -> None:
        """Show one batch of a validation."""
        self._progress.advance(self._clips)

    def warn(self, text: str) -> None:
        """Say what is wrong, above the progress bars."""
        if not self._silent:
            self._progress.print(f"warning: {text}", soft_wrap=True, highlight=False, markup=False)

    def epoch(self, history: Sequence[Row], epochs: int) -> None:
        """Write the last epoch of a history: CSV, TensorBoard and, away from a terminal, one line."""
        self._progress.update(self._clips, visible=False)
        seconds = time.monotonic() - self._epoch_started
        self._epoch_started = time.monotonic()
        if self._silent:
            return
        self.write_csv(history)
        row = history[-1]
        for name, value in row.items():
            if name != "epoch" and value is not None:
                self._events.add_scalar(name.replace("_", "/", 1), value, row["epoch"])
        self._events.add_scalar("time/epoch_s", seconds, row["epoch"])
        self._events.flush()
        if not self._console.is_terminal or row["val_srcc"] is not None:
            self._progress.print(_line(row, epochs, seconds), soft_wrap=True, highlight=False)

    def write_csv(self, history: Sequence[Row]) -> None:
        """Write the whole history, atomically: what an interrupted run wrote too much is gone."""
        if self._silent:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, columns(), lineterminator="\n")  # empty where a run began without a loss
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in history)
        write_text(self._csv_path, text.getvalue())


def _line(row: Row, epochs: int, seconds: float) -> str:
    """An epoch in one line."""
    losses = "  ".join(f"{name} {row[f'loss_{name}']:.3g}" for name in LOSSES)
    text = f"epoch {row['epoch']}/{epochs}  {seconds:.1f} s  loss {row[f'loss_{TOTAL}']:.4g} ({losses})"
    if row["val_mae_points"] is not None:
        srcc = "undefined" if row["val_srcc"] is None else f"{row['val_srcc']:.3f}"
        text += f"  val SRCC {srcc}, {row['val_mae_points']:.2f} points"
        if row["val_boundary_error_frames"] is not None:
            text += f", boundaries {row['val_boundary_error_frames']:.2f} frames"
    return text
