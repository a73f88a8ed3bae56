"""How good predictions are, with intervals, beside yardsticks that never look at the dive. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcore import metrics
from mcore.metrics import MetricError


@dataclass(frozen=True)
class Figure:
    """A metric of one predictor; all None where it is undefined, such as SRCC of a constant."""

    value: float | None
    """On the whole split."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    """Upper end."""


@dataclass(frozen=True)
class MetricRow:
    """A metric of the network and of the yardstick on the same dives."""

    name: str
    """Key in the JSON file, with its unit."""
    title: str
    """What a person reads."""
    higher_is_better: bool
    """Direction."""
    model: Figure
    """The network."""
    yardstick: Figure
    """Dive-number mean for scores, constant boundaries for transitions."""
    difference: Figure
    """Network minus yardstick, on the same resamples: an interval without 0 is a real difference."""


@dataclass(frozen=True)
class Outcome:
    """Predictions and labels of a split, row by row."""

    scores: NDArray[np.float64]
    """(N,) predicted points."""
    true_scores: NDArray[np.float64]
    """(N,) points."""
    yardstick_scores: NDArray[np.float64]
    """(N,) mean training score of the same dive number."""
    difficulties: NDArray[np.float64]
    """(N,) degrees of difficulty; nan where unknown."""
    transitions: NDArray[np.int64]
    """(N, 2) predicted, sampled frames."""
    true_transitions: NDArray[np.int64]
    """(N, 2) labelled; -1 where unknown."""
    yardstick_transitions: NDArray[np.int64] | None
    """(2,) median training transitions; None where none are labelled."""


def assess(outcome: Outcome, *, num_resamples: int = 1000, seed: int = 0) -> list[MetricRow]:
    """Compute every metric that the labels allow.

    Args:
        outcome: predictions and labels.
        num_resamples: resamples of each interval.
        seed: of the resampling.

    Returns:
        Rows for a table: SRCC, R-l2, errors in points and judge points, AIoU at two thresholds, boundary error.
    """
    true = outcome.true_scores
    span = float(np.ptp(true)) or float("nan")

    def row(
        name: str, title: str, higher: bool, metric: Callable[..., float], ours: ArrayLike, theirs: ArrayLike,
        *labels: ArrayLike,
    ) -> MetricRow:  # fmt: skip
        def both(a: ArrayLike, b: ArrayLike, *rest: ArrayLike) -> float:
            return metric(a, *rest) - metric(b, *rest)

        def figure(function: Callable[..., float], *columns: ArrayLike) -> Figure:
            return _figure(function, columns, num_resamples, seed)

        return MetricRow(
            name,
            title,
            higher,
            figure(metric, ours, *labels),
            figure(metric, theirs, *labels),
            figure(both, ours, theirs, *labels),
        )

    def relative_l2(predicted: ArrayLike, wanted: ArrayLike) -> float:
        return metrics.relative_l2(predicted, wanted, score_range=span)  # the split's range, not the resample's

    scores, mean = outcome.scores, outcome.yardstick_scores
    rows = [
        row("srcc", "SRCC", True, metrics.srcc, scores, mean, true),
        row("relative_l2_x100", "R-l2 x100", False, relative_l2, scores, mean, true),
        row("mae_points", "MAE, points", False, metrics.mean_absolute_error, scores, mean, true),
    ]
    known = np.isfinite(outcome.difficulties)
    if known.any():
        title = "MAE, judge points"
        columns = (scores[known], mean[known], true[known], outcome.difficulties[known])
        rows.append(row("mae_judge_points", title, False, metrics.judge_point_error, *columns))
    labelled = outcome.true_transitions[:, 0] >= 0
    if labelled.any() and outcome.yardstick_transitions is not None:
        wanted = outcome.true_transitions[labelled]
        frames = (
            outcome.transitions[labelled],
            np.broadcast_to(outcome.yardstick_transitions, wanted.shape),
            wanted,
        )
        for threshold in (0.5, 0.75):
            name = f"aiou_{threshold * 100:.0f}"
            rows.append(row(name, f"AIoU@{threshold}", True, _aiou_at(threshold), *frames))
        for name, title, error in (
            ("boundary_error_mean_frames", "boundaries, mean frames", _mean_boundary_error),
            ("boundary_error_median_frames", "boundaries, median frames", _median_boundary_error),
        ):
            rows.append(row(name, title, False, error, *frames))
    return rows


def _figure(metric: Callable[..., float], columns: tuple[ArrayLike, ...], num_resamples: int, seed: int) -> Figure:
    try:
        value = metric(*columns)
    except MetricError:
        return Figure(None, None, None)
    try:
        interval = metrics.bootstrap_interval(metric, *columns, num_resamples=num_resamples, seed=seed)
    except MetricError:
        return Figure(value, None, None)
    return Figure(value, interval.low, interval.high)


def _aiou_at(threshold: float) -> Callable[..., float]:
    return lambda predicted, true: metrics.aiou(predicted, true, threshold)


def _mean_boundary_error(predicted: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    return float(np.abs(predicted - true).mean())


def _median_boundary_error(predicted: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    return float(np.median(np.abs(predicted - true)))
