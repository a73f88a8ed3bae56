"""Metrics against published figures, hand-made cases and laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore import metrics
from mcore.metrics import MetricError

FIGURE_TOLERANCE = 5e-6
"""Published figures are given to five decimals."""


@pytest.mark.reference
def test_published_predictions_give_the_published_figures(reference_dir: Path) -> None:
    with np.load(reference_dir / "published_predictions.npz") as file:
        predicted, true = file["predicted"], file["true"]
    assert len(true) == 749
    assert metrics.srcc(predicted, true) == pytest.approx(0.92701, abs=FIGURE_TOLERANCE)
    assert metrics.relative_l2(predicted, true) == pytest.approx(0.32757, abs=FIGURE_TOLERANCE)


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([3, 2, 1], [10, 20, 30], -1.0),
        ([1, 3, 2], [1, 2, 3], 0.5),
        ([1, 1, 2], [1, 2, 3], np.sqrt(3) / 2),  # ties share rank 1.5
    ],
)
def test_srcc_by_hand(predicted: list[float], true: list[float], expected: float) -> None:
    assert metrics.srcc(predicted, true) == pytest.approx(expected)


def test_srcc_within_groups_is_their_mean_by_dives() -> None:
    groups = ["a"] * 5 + ["b"] * 10 + ["few"] * 4 + ["same"] * 6
    true = [*range(5), *range(10, 20), *range(4), *[7.0] * 6]
    predicted = [*range(5), *range(20, 10, -1), *range(4), *range(6)]
    assert metrics.srcc_within(predicted, true, groups) == pytest.approx((5 * 1 + 10 * -1) / 15)
    assert metrics.srcc(predicted, true) > 0.5  # over all dives the groups themselves are in order
    with pytest.raises(metrics.MetricError, match="no group has 5 dives that differ"):
        metrics.srcc_within(predicted[:4], true[:4], groups[:4])
    with pytest.raises(metrics.MetricError, match="one group for each of 5 dives"):
        metrics.srcc_within(predicted[:5], true[:5], groups[:4])


@given(st.lists(st.floats(0, 100), min_size=3, max_size=20, unique=True), st.integers(0, 100))
def test_srcc_only_sees_ranks(scores: list[float], seed: int) -> None:
    true = np.array(scores)
    predicted = np.random.default_rng(seed).permutation(len(true)).astype(float)
    ranks = true.argsort().argsort()
    assert metrics.srcc(predicted, true) == pytest.approx(metrics.srcc(np.exp(predicted / 9), ranks))


def test_errors_in_points_by_hand() -> None:
    predicted, true = [50.0, 70.0, 96.0], [60.0, 70.0, 100.0]
    assert metrics.mean_absolute_error(predicted, true) == pytest.approx(14 / 3)
    assert metrics.relative_l2(predicted, true) == pytest.approx(100 * (100 + 0 + 16) / 1600 / 3)
    assert metrics.relative_l2(predicted, true, score_range=80) == pytest.approx(100 * 116 / 6400 / 3)
    assert metrics.award_error(predicted, true, [2.0, 3.0, 4.0]) == pytest.approx((10 / 6 + 4 / 12) / 3)


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ((10, 20), (10, 20), 1.0),
        ((10, 20), (20, 30), 0.0),
        ((10, 20), (40, 50), 0.0),
        ((10, 20), (15, 25), 5 / 15),
        ((10, 30), (15, 20), 5 / 20),
    ],
)
def test_temporal_iou_by_hand(predicted: tuple[int, int], true: tuple[int, int], expected: float) -> None:
    assert metrics.temporal_iou([predicted], [true]) == pytest.approx([expected])


def test_aiou_counts_dives_at_the_threshold() -> None:
    predicted, true = [(10, 20), (10, 20), (0, 5)], [(10, 20), (10, 30), (9, 12)]  # IoU 1, 1/2, 0
    assert metrics.aiou(predicted, true) == pytest.approx(2 / 3)
    assert metrics.aiou(predicted, true, threshold=0.75) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.srcc([1, 2], [1, 2, 3]), "(2,) and (3,)"),
        (lambda: metrics.srcc([[1, 2]], [[1, 2]]), "(N,)"),
        (lambda: metrics.srcc([1], [1]), "at least 2"),
        (lambda: metrics.srcc([1, np.nan], [1, 2]), "1 of 2 predicted"),
        (lambda: metrics.srcc([5, 5, 5], [1, 2, 3]), "all 3 predicted scores are 5"),
        (lambda: metrics.srcc([1, 2, 3], [7, 7, 7]), "true"),
        (lambda: metrics.relative_l2([1, 2], [3, 3]), "range"),
        (lambda: metrics.relative_l2([], []), "at least 1"),
        (lambda: metrics.mean_absolute_error([np.inf], [1]), "not finite"),
        (lambda: metrics.award_error([1, 2], [1, 2], [1]), "difficulty for each of 2"),
        (lambda: metrics.award_error([1, 2], [1, 2], [1, np.nan]), "positive difficulty"),
        (lambda: metrics.aiou([[1, 2, 3]], [[1, 2, 3]]), "(N, 2)"),
        (lambda: metrics.aiou([[5, 5]], [[1, 2]]), "predicted transitions of dive 0"),
        (lambda: metrics.aiou([[1, 2]], [[1, 2], [1, 2]]), "1 predicted and 2 true"),
        (lambda: metrics.aiou([[1, 2]], [[1, 2]], threshold=0), "threshold"),
        (lambda: metrics.bootstrap_interval(metrics.srcc, [1, 2], [1, 2, 3]), "lengths"),
        (lambda: metrics.bootstrap_interval(metrics.srcc, [1, 1, 1], [1, 2, 3]), "0 of 1000"),
    ],
)
def test_values_without_a_metric_are_refused(call, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MetricError) as caught:
        call()
    assert words in str(caught.value)


def test_bootstrap_interval_covers_a_known_mean() -> None:
    """The interval of a mean is known from theory: +- 1.96 sigma / sqrt(N)."""
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    interval = metrics.bootstrap_interval(lambda x: float(np.mean(x)), values, num_resamples=2000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)
    again = metrics.bootstrap_interval(lambda x: float(np.mean(x)), values, num_resamples=2000)
    assert again == interval


def test_bootstrap_keeps_rows_together_and_drops_constant_resamples() -> None:
    few = metrics.bootstrap_interval(metrics.srcc, [1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert (few.low, few.high) == (1.0, 1.0)
    assert few.num_resamples < 1000


def test_boundary_error_is_over_both_transitions() -> None:
    predicted, true = [[10, 20], [10, 30]], [[12, 20], [10, 21]]
    assert metrics.boundary_error(predicted, true) == 2.75
    assert metrics.boundary_error(predicted, true, statistic="median") == 1.0
    assert type(metrics.boundary_error(predicted, true)) is type(metrics.aiou(predicted, true)) is float


@pytest.mark.parametrize(
    ("count", "total", "low", "high"), [(100, 100, 0.963, 1.0), (0, 60, 0.0, 0.060), (8, 24, 0.180, 0.533)]
)
def test_the_interval_of_a_share_is_wilsons(count: int, total: int, low: float, high: float) -> None:
    assert metrics.share_interval(count, total) == pytest.approx((low, high), abs=1e-3)
