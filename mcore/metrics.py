"""Metrics of predicted scores and transitions (docs/reference/network.md, section 7): SRCC, R-l2, AIoU, errors.

NumPy only. Every function checks what it is given: a metric of nan, or of numbers that do not
belong together, is worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcore.common.errors import UserError
from mcore.diving.judging import COUNTED_AWARDS

_LEAST_GROUP = 5
"""Fewer dives of a group have a rank correlation by chance."""


class MetricError(UserError, ValueError):
    """The values do not allow this metric: shapes differ, nan, too few of them, or all the same."""


@dataclass(frozen=True)
class Interval:
    """A percentile interval of a metric over resampled dives."""

    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    level: float
    """Share of the resamples inside, such as 0.95."""
    num_resamples: int
    """Resamples on which the metric was defined."""


def srcc(predicted: ArrayLike, true: ArrayLike) -> float:
    """Compute Spearman's rank correlation, ties sharing their mean rank.

    Args:
        predicted: (N,) scores, points.
        true: (N,) scores, points.

    Returns:
        Correlation in -1..1.

    Raises:
        MetricError: shapes differ, fewer than two dives, nan, or one side is constant (no ranks to compare).

    Example:
        >>> srcc([60.0, 72.5, 70.0], [61.5, 80.0, 66.0])
        1.0
    """
    predicted, true = _scores(predicted, true, at_least=2)
    for name, values in (("predicted", predicted), ("true", true)):
        if np.ptp(values) == 0:
            raise MetricError(f"SRCC is undefined: all {len(values)} {name} scores are {values[0]:g}")
    ranks = np.column_stack([_mean_ranks(predicted), _mean_ranks(true)])  # (N, 2)
    correlations = np.asarray(np.corrcoef(ranks, rowvar=False))  # (2, 2)
    return float(np.clip(correlations[1, 0], -1.0, 1.0))


def srcc_within(predicted: ArrayLike, true: ArrayLike, groups: ArrayLike) -> float:
    """Compute the mean SRCC within groups, weighted by their dives: how well dives of one dive number are ranked.

    The SRCC over all dives also counts that hard dives score more, which the dive number alone tells.

    Args:
        predicted: (N,) scores, points.
        true: (N,) scores, points.
        groups: (N,) such as dive numbers. Those with fewer than five dives, or with one side constant, do not count.

    Raises:
        MetricError: shapes differ, nan, or no group counts.
    """
    predicted, true = _scores(predicted, true)
    groups = np.asarray(groups)
    if groups.shape != true.shape:
        raise MetricError(f"expected one group for each of {true.shape[0]} dives, got {groups.shape}")
    found = [
        (srcc(predicted[rows], true[rows]), int(rows.sum()))
        for rows in (groups == group for group in np.unique(groups))
        if rows.sum() >= _LEAST_GROUP and np.ptp(predicted[rows]) > 0 and np.ptp(true[rows]) > 0
    ]
    if not found:
        raise MetricError(f"no group has {_LEAST_GROUP} dives that differ")
    values, weights = zip(*found, strict=True)
    return float(np.average(values, weights=weights))


def relative_l2(predicted: ArrayLike, true: ArrayLike, *, score_range: float | None = None) -> float:
    """Compute R-l2, already x100: the mean squared error as a share of the squared range of scores.

    Args:
        predicted: (N,) scores, points.
        true: (N,) scores, points.
        score_range: max - min of the evaluated split's true scores; None takes it from ``true``.

    Raises:
        MetricError: shapes differ, nan, no dives, or a range of zero.
    """
    predicted, true = _scores(predicted, true)
    span = float(np.ptp(true)) if score_range is None else float(score_range)
    if not span > 0:
        raise MetricError(f"R-l2 is undefined: the range of the {len(true)} true scores is {span:g}")
    return float(100 * np.mean(((predicted - true) / span) ** 2))


def mean_absolute_error(predicted: ArrayLike, true: ArrayLike) -> float:
    """Compute the mean absolute error, points.

    Raises:
        MetricError: shapes differ, nan, or no dives.
    """
    predicted, true = _scores(predicted, true)
    return float(np.mean(np.abs(predicted - true)))


def award_error(predicted: ArrayLike, true: ArrayLike, difficulty: ArrayLike) -> float:
    """Compute the mean absolute error of one award, on the judges' scale of 0 to 10.

    Args:
        predicted: (N,) scores, points.
        true: (N,) scores, points.
        difficulty: (N,) degrees of difficulty.

    Raises:
        MetricError: shapes differ, nan, no dives, or a difficulty that is not positive.
    """
    predicted, true = _scores(predicted, true)
    difficulty = np.asarray(difficulty, dtype=np.float64)
    if difficulty.shape != true.shape:
        raise MetricError(f"expected one difficulty for each of {true.shape[0]} dives, got {difficulty.shape}")
    if not np.all(difficulty > 0):
        raise MetricError("an award needs a known, positive difficulty for every dive")
    return float(np.mean(np.abs(predicted - true) / (COUNTED_AWARDS * difficulty)))


def temporal_iou(predicted: ArrayLike, true: ArrayLike) -> NDArray[np.float64]:
    """Compute each dive's temporal intersection over union of the predicted and the true flight.

    Args:
        predicted: (N, 2) first frame of the flight and of the entry: the interval [t1, t2).
        true: (N, 2), in the same frames.

    Returns:
        (N,) in 0..1.

    Raises:
        MetricError: shapes differ or are not (N, 2), nan, or an interval is empty.
    """
    predicted, true = _transitions(predicted, true)
    overlap = np.minimum(predicted[:, 1], true[:, 1]) - np.maximum(predicted[:, 0], true[:, 0])
    overlap = np.maximum(overlap, 0.0)
    union = np.ptp(predicted, axis=1) + np.ptp(true, axis=1) - overlap
    return np.asarray(overlap / union, dtype=np.float64)


def aiou(predicted: ArrayLike, true: ArrayLike, threshold: float = 0.5) -> float:
    """Compute AIoU: the share of dives whose flight is found with an IoU of at least ``threshold``.

    Args:
        predicted: (N, 2) transitions, frames.
        true: (N, 2) transitions, frames.
        threshold: above 0, at most 1.

    Returns:
        Share in 0..1.

    Raises:
        MetricError: see ``temporal_iou``; or the threshold is outside.
    """
    if not 0 < threshold <= 1:
        raise MetricError(f"threshold is {threshold}; allowed: above 0, at most 1")
    return float(np.mean(temporal_iou(predicted, true) >= threshold))


def boundary_error(predicted: ArrayLike, true: ArrayLike, statistic: Literal["mean", "median"] = "mean") -> float:
    """Compute how far predicted transitions are from the true ones, over both transitions of all dives.

    Args:
        predicted: (N, 2) transitions, frames.
        true: (N, 2) transitions, frames.
        statistic: of the absolute differences.

    Returns:
        Frames.

    Raises:
        MetricError: shapes differ or are not (N, 2), nan, or an interval is empty.
    """
    predicted, true = _transitions(predicted, true)
    errors = np.abs(predicted - true)
    return float(errors.mean() if statistic == "mean" else np.median(errors))


def bootstrap_interval(
    metric: Callable[..., float],
    *columns: ArrayLike,
    level: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Estimate a metric's percentile interval by drawing dives with replacement.

    Args:
        metric: takes the resampled columns in order, such as ``srcc``.
        *columns: arrays of equal length N; row i of all of them is dive i.
        level: share of resamples inside.
        num_resamples: draws.
        seed: the same seed gives the same interval.

    Raises:
        MetricError: lengths differ, or the metric is undefined on most resamples (too few different dives).
    """
    arrays = [np.asarray(column) for column in columns]
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise MetricError(f"columns of one length and at least one row are needed, got lengths {sorted(lengths)}")
    if not 0 < level < 1 or num_resamples < 1:
        raise MetricError(f"level {level} must lie in 0..1 and num_resamples {num_resamples} be at least 1")
    (num_dives,) = lengths
    rng = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(num_resamples):
        rows = rng.integers(0, num_dives, num_dives)
        try:
            values.append(metric(*(array[rows] for array in arrays)))
        except MetricError:  # a resample of a few dives can be constant, where ranks do not exist
            continue
    if len(values) < num_resamples / 2:
        raise MetricError(f"the metric is defined on only {len(values)} of {num_resamples} resamples")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, len(values))


def share_interval(count: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the share ``count / total``."""
    z, share = 1.96, count / total
    middle, half = share + z**2 / (2 * total), z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    low, high = ((middle + side) / (1 + z**2 / total) for side in (-half, half))
    return max(low, 0.0), min(high, 1.0)  # rounding leads beyond


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1 of (N,) values; equal values share the mean of their ranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # (distinct values,): the highest rank of each
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[which]
    return ranks


def _scores(
    predicted: ArrayLike, true: ArrayLike, at_least: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as (N,) float64, checked."""
    predicted, true = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if predicted.ndim != 1 or predicted.shape != true.shape:
        raise MetricError(f"expected two (N,) arrays of scores, got {predicted.shape} and {true.shape}")
    if len(true) < at_least:
        raise MetricError(f"at least {at_least} dive(s) are needed, got {len(true)}")
    for name, values in (("predicted", predicted), ("true", true)):
        if bad := int(np.sum(~np.isfinite(values))):
            raise MetricError(f"{bad} of {len(values)} {name} scores are not finite numbers")
    return predicted, true


def _transitions(predicted: ArrayLike, true: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as (N, 2) float64 with t1 < t2 in every row, checked."""
    arrays = []
    for name, values in (("predicted", predicted), ("true", true)):
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != 2 or not len(array):
            raise MetricError(f"expected {name} transitions of shape (N, 2), N at least 1, got {array.shape}")
        if not np.all(array[:, 0] < array[:, 1]):  # also catches nan
            row = int(np.argmin(array[:, 0] < array[:, 1]))
            raise MetricError(f"{name} transitions of dive {row} are {tuple(array[row])}; the first must come first")
        arrays.append(array)
    if len(arrays[0]) != len(arrays[1]):
        raise MetricError(f"{len(arrays[0])} predicted and {len(arrays[1])} true pairs of transitions")
    return arrays[0], arrays[1]
