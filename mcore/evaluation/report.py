"""Report of an evaluation: metrics.json, predictions.csv, two pictures, and a table on the terminal. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mcore.common.conformal import CONFORMAL_SPLIT, MIN_DIVES, ConformalInterval
from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.typed_json import decode, encode
from mcore.config import DEFAULT_DECODING, Decoding
from mcore.data.manifest import DiveRecord
from mcore.data.trained_on import TrainedOn, caution, describe_training
from mcore.evaluation.assessment import ConformalIntervals, MetricRow, Outcome, interval_ends
from mcore.evaluation.config import EvaluationOptions
from mcore.evaluation.plots import boundary_histogram, scatter_plot
from mcore.evaluation.predictions import DivePrediction, write_predictions
from mcore.evaluation.tables import number, with_arrow, with_interval

METRICS, PREDICTIONS, SCATTER, BOUNDARIES = "metrics.json", "predictions.csv", "scatter.png", "boundaries.png"
EVALUATION_FILES = (METRICS, PREDICTIONS, SCATTER, BOUNDARIES)
"""The last one only where transitions are labelled."""


@dataclass(frozen=True)
class EvaluationSummary:
    """Content of metrics.json: settings of the evaluation, and every metric."""

    checkpoint: str
    checkpoint_sha256: str
    data: str
    data_sha256: str
    split: str
    num_exemplars: int | str
    """Exemplars of each dive, or ``all``."""
    exemplars: str
    decoding: Decoding
    seed: int
    num_resamples: int
    interval_level: float
    """Share of the resamples within each metric's interval."""
    checkpoint_epoch: int | None
    """Epochs behind the checkpoint; None where it does not say."""
    num_dives: int
    num_skipped: int
    """Dives without a training dive of their number."""
    conformal_interval: ConformalInterval | None
    """Around the network's scores; None: too few validation dives, or they are the dives that were scored."""
    metrics: dict[str, MetricRow]
    """Metrics by name, such as ``srcc``."""
    trained_on: TrainedOn | None = None
    """Dives that the network was trained on; None: not recorded."""


@dataclass(frozen=True)
class Report:
    """An evaluation's figures."""

    summary: EvaluationSummary
    """Settings and metrics of the evaluation."""
    dives: list[DiveRecord]
    """Dives that were scored."""
    names: list[str]
    """Names of these dives, no two alike."""
    skipped: list[DiveRecord]
    """Dives that were not scored, for want of a training dive of its number."""
    outcome: Outcome
    """Predictions and labels, by dive."""
    intervals: ConformalIntervals | None
    """Conformal intervals from the errors on the validation dives."""


def read_summary(path: Path) -> EvaluationSummary:
    """Read a metrics.json.

    Raises:
        UserError: there is none, or it is damaged or of an earlier version.
    """
    advice = (
        f"{path} cannot be read, or is of an earlier version; evaluate the run again (python -m mcore.evaluate), "
        "or leave it out"
    )
    try:
        return decode(EvaluationSummary, path.read_bytes(), advice)
    except OSError as error:
        raise UserError(f"{advice} ({error.strerror})") from error


def write_evaluation(report: Report, out: Path) -> None:
    """Write metrics.json, predictions.csv, scatter.png and, where transitions are labelled, boundaries.png.

    Args:
        report: the figures.
        out: folder, made where it is missing.
    """
    summary, outcome = report.summary, report.outcome
    write_text(out / METRICS, encode(summary, indent=2) + "\n")
    write_predictions(out / PREDICTIONS, _predictions(report))
    srcc = summary.metrics["srcc"]
    scatter_plot(
        out / SCATTER,
        outcome.scores,
        outcome.true_scores,
        outcome.exemplar_std,
        [record.dive_number for record in report.dives],
        f"{summary.num_dives} {summary.split} dives, SRCC {number(srcc.model.value)} "
        f"(dive-number mean {number(srcc.baseline.value)})",
    )
    (out / BOUNDARIES).unlink(missing_ok=True)
    labelled = outcome.true_transitions[:, 0] >= 0
    if labelled.any():
        title = f"{labelled.sum()} {summary.split} dives, {summary.decoding} decoding"
        boundary_histogram(out / BOUNDARIES, outcome.transitions[labelled], outcome.true_transitions[labelled], title)


def print_report(report: Report, options: EvaluationOptions) -> None:
    """Print the table of an evaluation; 80 columns hold it."""
    summary = report.summary
    epoch = "" if summary.checkpoint_epoch is None else f", epoch {summary.checkpoint_epoch}"
    table = Table(title=f"{options.checkpoint.name}{epoch}: {summary.num_dives} {summary.split} dives")
    table.add_column("↑ higher, ↓ lower is better", no_wrap=True)
    table.add_column("network [95 %]", justify="right", no_wrap=True)
    table.add_column("baseline [95 %]", justify="right", no_wrap=True)
    for row in summary.metrics.values():
        title = with_arrow(row.title, row.higher_is_better)
        table.add_row(title, with_interval(row.model), with_interval(row.baseline))
    Console().print(table)
    if (summary.exemplars, summary.decoding) != ("random", DEFAULT_DECODING):
        print(f"exemplars: {summary.exemplars}; transitions: {summary.decoding}")
    print("baselines: mean training score of the dive number; median training transitions")
    if report.intervals is not None:
        print(f"intervals: conformal, by the errors on {report.intervals.model.num_dives} {CONFORMAL_SPLIT} dives")
    elif summary.split != CONFORMAL_SPLIT:
        print(f"no conformal interval: that takes {MIN_DIVES} {CONFORMAL_SPLIT} dives")
    print(f"network minus baseline, SRCC: {with_interval(summary.metrics['srcc'].difference)}")
    print(caution(summary.trained_on) or describe_training(summary.trained_on))
    if report.skipped:
        names = ", ".join(sorted({record.dive_number for record in report.skipped}))
        print(f"skipped {len(report.skipped)} dives of numbers without a training dive: {names}")
    for name in EVALUATION_FILES:
        if (options.folder / name).exists():
            print(options.folder / name)


def _predictions(report: Report) -> list[DivePrediction]:
    outcome, dives = report.outcome, []
    ends = None
    if report.intervals is not None:
        ends = interval_ends(report.intervals.model, outcome.scores, outcome.difficulties)
    for i, (name, record) in enumerate(zip(report.names, report.dives, strict=True)):
        score = float(outcome.scores[i])
        flight, entry = outcome.transitions[i].tolist()
        true_flight, true_entry = (None if frame < 0 else frame for frame in outcome.true_transitions[i].tolist())
        dive = DivePrediction(
            dive=name,
            path=str(record.path),
            dive_number=record.dive_number,
            difficulty=record.difficulty,
            true_score=record.score,
            predicted_score=score,
            low=None if ends is None else float(ends[0, i]),
            high=None if ends is None else float(ends[1, i]),
            exemplar_std=float(outcome.exemplar_std[i]),
            dive_number_mean=float(outcome.baseline_scores[i]),
            flight_frame=flight,
            entry_frame=entry,
            true_flight_frame=true_flight,
            true_entry_frame=true_entry,
        )
        dives.append(dive)
    return dives
