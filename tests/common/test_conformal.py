"""Conformal intervals: by hand, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from mcore.common.conformal import MIN_DIVES, ConformalInterval, conformal_interval

SLACK = 0.012
"""Four standard errors of a mean coverage over 1000 draws (0.002 to 0.003 each)."""


@pytest.mark.parametrize(
    ("num_dives", "level", "half_width"),
    [(24, 0.8, 20.0), (20, 0.8, 17.0), (39, 0.9, 36.0), (99, 0.95, 95.0), (20, 0.96, None), (19, 0.8, None)],
)
def test_half_width_by_hand(num_dives: int, level: float, half_width: float | None) -> None:
    errors = np.random.default_rng(0).permutation(np.arange(1.0, num_dives + 1))
    true = np.full(num_dives, 60.0)
    found = conformal_interval(true + errors * np.where(errors % 2, 1, -1), true, level)
    assert found == (None if half_width is None else ConformalInterval(level, half_width, num_dives))


@pytest.mark.parametrize(("broken", "half_width"), [(2, 25.0), (8, None)])
def test_scores_that_are_not_numbers_are_errors_without_end(broken: int, half_width: float | None) -> None:
    errors = np.arange(1.0, 31)
    errors[-broken:] = np.nan
    found = conformal_interval(errors, np.zeros(30))
    assert (None if found is None else found.half_width_points) == half_width


def test_the_width_follows_the_difficulty_where_it_is_known() -> None:
    interval = ConformalInterval(0.8, 4.5, 30, 1.5)
    assert interval.half_width(3.2) == pytest.approx(4.8)
    assert interval.half_width(None) == 4.5
    assert interval.half_widths(np.array([2.0, np.nan])).tolist() == [3.0, 4.5]
    assert ConformalInterval(0.8, 4.5, 30).half_width(3.2) == 4.5  # as in older bundles


@pytest.mark.parametrize(("known", "per_difficulty"), [(30, 25 / 5), (MIN_DIVES, 17 / 5), (MIN_DIVES - 1, None)])
def test_errors_over_the_difficulty_set_that_width(known: int, per_difficulty: float | None) -> None:
    errors, difficulties = np.arange(1.0, 31), np.full(30, 5.0)
    difficulties[known:] = np.nan
    found = conformal_interval(errors, np.zeros(30), difficulties=difficulties)
    assert found is not None
    assert (found.half_width_points, found.half_width_per_difficulty) == (25.0, per_difficulty)


@pytest.mark.parametrize("num_dives", [MIN_DIVES, 73])
def test_new_dives_are_held_as_often_as_promised_whatever_the_errors(num_dives: int) -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(1000):
        errors = rng.standard_t(2, num_dives + 50) * rng.uniform(1, 5, num_dives + 50) + 3  # skewed, heavy-tailed
        found = conformal_interval(errors[:num_dives], np.zeros(num_dives))
        assert found is not None
        held.append(np.mean(np.abs(errors[num_dives:]) <= found.half_width_points))
    assert 0.8 - SLACK <= np.mean(held) <= 0.8 + 1 / (num_dives + 1) + SLACK


@pytest.mark.parametrize("level", [0.0, 1.0, float("nan")])
def test_impossible_levels_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        conformal_interval([1.0] * 30, [0.0] * 30, level)
    with pytest.raises(ValueError, match="level"):
        ConformalInterval(level, 1.0, 30)


@pytest.mark.parametrize(("half_width", "num_dives"), [(-1.0, 30), (float("nan"), 30), (float("inf"), 30), (1.0, 0)])
def test_impossible_intervals_are_refused(half_width: float, num_dives: int) -> None:
    with pytest.raises(ValueError, match="interval of level"):
        ConformalInterval(0.8, half_width, num_dives)
