"""Metrics of predictions with intervals, beside baselines that never look at the dive. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcore import metrics
from mcore.common.conformal import ConformalInterval, conformal_interval
from mcore.diving.judging import possible_points
from mcore.metrics import MetricError


@dataclass(frozen=True)
class Figure:
    """A metric of one predictor; all None where it is undefined, such as SRCC of a constant."""

    value: float | None
    """Value on the whole split."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    """Upper end of the 95 % interval."""


@dataclass(frozen=True)
class MetricRow:
    """A metric of the network and of the baseline on the same dives."""

    name: str
    """Key in the JSON file, with its unit."""
    title: str
    """Heading in tables, for people."""
    higher_is_better: bool
    """Whether a higher figure is better."""
    model: Figure
    """Figure of the network."""
    baseline: Figure
    """Figure of the baseline: dive-number mean for scores, constant boundaries for transitions."""
    difference: Figure
    """Network minus baseline, on the same resamples: an interval without 0 is a real difference."""


@dataclass(frozen=True)
class Metric:
    """A metric of the tables."""

    name: str
    """Key in the JSON file, with its unit."""
    title: str
    """Heading in tables, for people."""
    higher_is_better: bool
    """Whether a higher figure is better."""
    function: Callable[..., float]
    """Function of predicted and true values that gives the figure."""


SCORE_METRICS = (
    Metric("srcc", "SRCC", True, metrics.srcc),
    Metric("relative_l2_x100", "R-l2 x100", False, metrics.relative_l2),
    Metric("mae_points", "MAE, points", False, metrics.mean_absolute_error),
)
"""Metrics of (N,) scores."""
WITHIN_METRIC = Metric("srcc_within_numbers", "SRCC within numbers", True, metrics.srcc_within)
"""Metric of (N,) scores and dive numbers."""
AWARD_METRIC = Metric("mae_award", "MAE, award (0 to 10)", False, metrics.award_error)
"""Metric of (N,) scores and difficulties."""
TRANSITION_METRICS = (
    Metric("aiou_50", "AIoU@0.5", True, partial(metrics.aiou, threshold=0.5)),
    Metric("aiou_75", "AIoU@0.75", True, partial(metrics.aiou, threshold=0.75)),
    Metric("boundary_error_mean_frames", "boundaries, mean frames", False, metrics.boundary_error),
    Metric(
        "boundary_error_median_frames",
        "boundaries, median frames",
        False,
        partial(metrics.boundary_error, statistic="median"),
    ),
)
"""Metrics of (N, 2) transitions."""


@dataclass(frozen=True)
class Outcome:
    """Predictions and labels of a split, row by row."""

    scores: NDArray[np.float64]
    """(N,) predicted points."""
    true_scores: NDArray[np.float64]
    """(N,) points."""
    baseline_scores: NDArray[np.float64]
    """(N,) mean training score of the same dive number; where two networks are compared, the other one's scores."""
    dive_numbers: NDArray[np.str_]
    """(N,)."""
    difficulties: NDArray[np.float64]
    """(N,) degrees of difficulty with which the true scores were made; nan where unknown."""
    transitions: NDArray[np.int64]
    """(N, 2) predicted, sampled frames."""
    true_transitions: NDArray[np.int64]
    """(N, 2) labelled; -1 where unknown."""
    baseline_transitions: NDArray[np.int64] | None
    """(N, 2) median training transitions, or the other network's; None where none are labelled."""
    exemplar_std: NDArray[np.float64]
    """(N,) points: standard deviation of the predictions from the single exemplars."""

    def rows(self, start: int, stop: int | None) -> Outcome:
        """Return the dives of a range."""
        columns: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        cut: dict[str, Any] = {name: None if rows is None else rows[start:stop] for name, rows in columns.items()}
        return Outcome(**cut)


def split_figures(
    scores: NDArray[np.float64],
    true_scores: NDArray[np.float64],
    transitions: NDArray[np.int64],
    true_transitions: NDArray[np.int64],
) -> dict[str, float | None]:
    """Compute the metrics of scores and transitions on a split, without intervals.

    Args:
        scores: (N,) predicted points.
        true_scores: (N,) points.
        transitions: (N, 2) predicted, sampled frames.
        true_transitions: (N, 2); -1 where unknown.

    Returns:
        Figures by name; None where a metric is undefined, such as SRCC of constant predictions.
    """
    labelled = true_transitions[:, 0] >= 0
    columns = {
        SCORE_METRICS: (scores, true_scores),
        TRANSITION_METRICS: (transitions[labelled], true_transitions[labelled]),
    }
    return {metric.name: _value(metric.function, *pair) for group, pair in columns.items() for metric in group}


@dataclass(frozen=True)
class ConformalIntervals:
    """Intervals around scores, from the errors on other dives than those they are for."""

    model: ConformalInterval
    """Interval around the network's scores."""
    baseline: ConformalInterval
    """Interval around the dive-number means."""

    @classmethod
    def of(cls, validation: Outcome) -> ConformalIntervals | None:
        """Take the errors on validation dives; None where there are too few."""
        true = validation.true_scores
        model, baseline = (
            conformal_interval(validation.scores, true, difficulties=validation.difficulties),
            conformal_interval(validation.baseline_scores, true, difficulties=validation.difficulties),
        )
        return None if model is None or baseline is None else cls(model, baseline)


def assess(
    outcome: Outcome, *, intervals: ConformalIntervals | None = None, num_resamples: int = 1000, seed: int = 0
) -> list[MetricRow]:
    """Compute every metric that the labels allow.

    Args:
        outcome: predictions and labels.
        intervals: those whose coverage is to be measured.
        num_resamples: resamples of each interval.
        seed: of the resampling.

    Returns:
        Rows for a table: SRCC, over all and within dive numbers, R-l2, errors in points and in award, AIoU at two
        thresholds, boundary error; coverage and half width of the conformal intervals.
    """
    true = outcome.true_scores
    span = float(np.ptp(true)) or float("nan")  # the split's range, not the resample's

    def row(metric: Metric, ours: ArrayLike, theirs: ArrayLike, *labels: ArrayLike) -> MetricRow:
        function = metric.function
        if function is metrics.relative_l2:
            function = partial(metrics.relative_l2, score_range=span)

        def both(a: ArrayLike, b: ArrayLike, *rest: ArrayLike) -> float:
            return function(a, *rest) - function(b, *rest)

        def figure(function: Callable[..., float], *columns: ArrayLike) -> Figure:
            return bootstrap_figure(function, columns, num_resamples, seed)

        return MetricRow(
            metric.name,
            metric.title,
            metric.higher_is_better,
            figure(function, ours, *labels),
            figure(function, theirs, *labels),
            figure(both, ours, theirs, *labels),
        )

    scores, mean = outcome.scores, outcome.baseline_scores
    rows = [row(metric, scores, mean, true) for metric in SCORE_METRICS]
    rows.insert(1, row(WITHIN_METRIC, scores, mean, true, outcome.dive_numbers))
    known = np.isfinite(outcome.difficulties)
    if known.any():
        rows.append(row(AWARD_METRIC, scores[known], mean[known], true[known], outcome.difficulties[known]))
    labelled = outcome.true_transitions[:, 0] >= 0
    if labelled.any() and outcome.baseline_transitions is not None:
        every = (outcome.transitions, outcome.baseline_transitions, outcome.true_transitions)
        rows += [row(metric, *(each[labelled] for each in every)) for metric in TRANSITION_METRICS]
    if intervals is not None:
        widths = [each.half_widths(outcome.difficulties) for each in (intervals.model, intervals.baseline)]
        ends = [interval_ends(intervals.model, scores, outcome.difficulties)]
        ends.append(interval_ends(intervals.baseline, mean, outcome.difficulties))
        held = [(low <= true) & (true <= high) for low, high in ends]
        title = f"in the {100 * intervals.model.level:.0f} % interval"
        rows += [row(Metric("interval_coverage", title, True, _mean), *held), row(_HALF_WIDTH_METRIC, *widths)]
    return rows


def interval_ends(
    interval: ConformalInterval, scores: NDArray[np.float64], difficulties: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the lower and the upper ends (2, N) around scores (N,), within what a dive of its difficulty can get."""
    widths = interval.half_widths(difficulties)
    known = [each if each > 0 else None for each in difficulties.tolist()]
    return np.array(
        [
            [possible_points(end, each) for end, each in zip(ends.tolist(), known, strict=True)]
            for ends in (scores - widths, scores + widths)
        ]
    )


def _mean(values: ArrayLike) -> float:
    return float(np.mean(np.asarray(values, np.float64)))


_HALF_WIDTH_METRIC = Metric("interval_half_width_points", "its mean half width, points", False, _mean)


def _value(metric: Callable[..., float], *columns: ArrayLike) -> float | None:
    try:
        return metric(*columns)
    except MetricError:
        return None


def bootstrap_share(held: ArrayLike, num_resamples: int) -> Figure:
    """Return the share of dives (N,) of which something holds, with its 95 % interval over dives."""
    return bootstrap_figure(_mean, (held,), num_resamples, 0)


def score_figures(
    predicted: NDArray[np.float64], true: NDArray[np.float64], num_resamples: int
) -> tuple[Figure, Figure, Figure]:
    """Return SRCC, R-l2 x100 and mean absolute error of scores (N,), points, with their 95 % intervals over dives."""
    span = float(np.ptp(true)) or float("nan")  # of all dives, not of the resample's
    functions = (metrics.srcc, partial(metrics.relative_l2, score_range=span), metrics.mean_absolute_error)
    srcc, relative_l2, error = (bootstrap_figure(each, (predicted, true), num_resamples, 0) for each in functions)
    return srcc, relative_l2, error


def bootstrap_figure(
    metric: Callable[..., float], columns: Sequence[ArrayLike], num_resamples: int, seed: int
) -> Figure:
    """Compute a metric of columns (N, ...) with its 95 % interval over dives, as far as both are defined."""
    value = _value(metric, *columns)
    if value is None:
        return Figure(None, None, None)
    try:
        interval = metrics.bootstrap_interval(metric, *columns, num_resamples=num_resamples, seed=seed)
    except MetricError:
        return Figure(value, None, None)
    return Figure(value, interval.low, interval.high)
