"""What an evaluation leaves in its folder: figures, a line for each dive, and pictures. Torch-free."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mcore.common.files import write_text
from mcore.data.manifest import DiveRecord
from mcore.evaluation.assessment import Calibrations, Figure, MetricRow, Outcome
from mcore.evaluation.plots import boundary_histogram, scatter_plot

if TYPE_CHECKING:  # the module needs torch
    from mcore.network.decoding import Decoding

METRICS, PREDICTIONS, SCATTER, BOUNDARIES = "metrics.json", "predictions.csv", "scatter.png", "boundaries.png"
EVALUATION_FILES = (METRICS, PREDICTIONS, SCATTER, BOUNDARIES)
"""The last one only where transitions are labelled."""
PREDICTION_COLUMNS = (
    "dive",
    "path",
    "dive_number",
    "difficulty",
    "true_score",
    "predicted_score",
    "low",
    "high",
    "exemplar_spread",
    "dive_number_mean",
    "flight_frame",
    "entry_frame",
    "true_flight_frame",
    "true_entry_frame",
)
"""Columns of predictions.csv: ``dive`` is the name by which runs are compared, ``low`` to ``high`` is the calibrated
interval, frames are sampled frames; empty where something is not known or not labelled."""


@dataclass(frozen=True)
class Report:
    """An evaluation's figures."""

    rows: list[MetricRow]
    """Metrics of network and yardstick."""
    dives: list[DiveRecord]
    """What was scored."""
    names: list[str]
    """Of these dives, no two alike."""
    skipped: list[DiveRecord]
    """What was not, for want of a training dive of its number."""
    outcome: Outcome
    """Predictions and labels, by dive."""
    calibrations: Calibrations | None
    """Intervals by the validation dives; None: too few of them, or they are the dives that were scored."""
    checkpoint_epoch: int | None
    """Epochs behind the checkpoint; None where it does not say."""
    decoding: Decoding
    """How transitions were found."""

    def value(self, name: str) -> float | None:
        """The network's figure by its name, such as ``srcc``."""
        return next(row.model.value for row in self.rows if row.name == name)


def write_evaluation(report: Report, out: Path, split: str, settings: Mapping[str, Any]) -> None:
    """Write metrics.json, predictions.csv, scatter.png and boundaries.png.

    Args:
        report: the figures.
        out: folder, made where it is missing.
        split: name of the dives, for titles.
        settings: what else metrics.json says.
    """
    intervals = report.calibrations
    summary = {
        **settings,
        "checkpoint_epoch": report.checkpoint_epoch,
        "num_dives": len(report.dives),
        "num_skipped": len(report.skipped),
        "calibration": None if intervals is None else dataclasses.asdict(intervals.model),
        "metrics": {row.name: dataclasses.asdict(row) for row in report.rows},
    }
    write_text(out / METRICS, json.dumps(summary, indent=2) + "\n")
    write_text(out / PREDICTIONS, _predictions(report))
    outcome, srcc = report.outcome, report.rows[0]
    scatter_plot(
        out / SCATTER,
        outcome.scores,
        outcome.true_scores,
        outcome.spread,
        [record.dive_number for record in report.dives],
        f"{len(report.dives)} {split} dives, SRCC {number(srcc.model.value)} "
        f"(dive-number mean {number(srcc.yardstick.value)})",
    )
    (out / BOUNDARIES).unlink(missing_ok=True)
    labelled = outcome.true_transitions[:, 0] >= 0
    if labelled.any():
        title = f"{labelled.sum()} {split} dives, {report.decoding} decoding"
        boundary_histogram(out / BOUNDARIES, outcome.transitions[labelled], outcome.true_transitions[labelled], title)


def number(value: float | None) -> str:
    """Three digits after the point for shares, fewer for points."""
    if value is None:
        return "undefined"
    return f"{value:.{3 if abs(value) < 1 else 2 if abs(value) < 10 else 1}f}"


def with_interval(figure: Figure) -> str:
    """A figure with its 95 % interval behind it."""
    if figure.low is None or figure.high is None:
        return number(figure.value)
    return f"{number(figure.value)} [{number(figure.low)}, {number(figure.high)}]"


def _predictions(report: Report) -> str:
    """One line a dive."""
    outcome, intervals = report.outcome, report.calibrations
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PREDICTION_COLUMNS)
    for i, (name, record) in enumerate(zip(report.names, report.dives, strict=True)):
        score = float(outcome.scores[i])
        ends = [np.nan, np.nan] if intervals is None else intervals.model.interval(score)
        points = (score, *ends, outcome.spread[i], outcome.yardstick_scores[i])
        texts = ["" if np.isnan(value) else f"{value:.4f}" for value in points]
        true = ["" if frame < 0 else int(frame) for frame in outcome.true_transitions[i]]
        frames = [*outcome.transitions[i].tolist(), *true]
        difficulty = "" if record.difficulty is None else record.difficulty
        writer.writerow([name, record.path, record.dive_number, difficulty, record.score, *texts, *frames])
    return text.getvalue()
