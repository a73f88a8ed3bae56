"""Sampling: the published rule, its counterpart in time, and transitions carried over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore.common.errors import UserError
from mcore.video import sample_indices, sample_indices_by_time, sampled_transitions
from mcore.video.sampling import has_constant_rate

COUNTS = st.integers(1, 2_000)
SAMPLES = st.integers(2, 200)


@pytest.mark.parametrize(
    ("source", "sampled", "expected"),
    [
        (7, 4, [0, 2, 4, 6]),
        (4, 4, [0, 1, 2, 3]),
        (2, 5, [0, 0, 0, 0, 1]),  # frames repeat
        (1, 3, [0, 0, 0]),
        (103, 5, [0, 25, 51, 76, 102]),  # 25.5 and 76.5 are truncated, not rounded
    ],
)
def test_published_rule(source: int, sampled: int, expected: list[int]) -> None:
    assert sample_indices(source, sampled).tolist() == expected


@given(COUNTS, SAMPLES)
def test_from_first_to_last_and_never_back(source: int, sampled: int) -> None:
    indices = sample_indices(source, sampled)
    assert indices.shape == (sampled,)
    assert indices.dtype == np.int64
    assert indices[0] == 0
    assert indices[-1] == source - 1
    assert (np.diff(indices) >= 0).all()


@given(COUNTS, SAMPLES, st.floats(5, 480), st.floats(0, 1e5), st.sampled_from([0, 1_000, 15_360, 90_000]))
def test_constant_rate_is_the_published_rule(
    source: int, sampled: int, fps: float, start_s: float, ticks_per_second: int
) -> None:
    pts_seconds = start_s + np.arange(source) / fps
    if ticks_per_second:  # containers round times to ticks; Matroska's are milliseconds
        pts_seconds = np.round(pts_seconds * ticks_per_second) / ticks_per_second
    np.testing.assert_array_equal(sample_indices_by_time(pts_seconds, sampled), sample_indices(source, sampled))


@given(st.lists(st.integers(1, 12), min_size=2, max_size=300), SAMPLES)
def test_variable_rate_shows_the_frame_of_the_moment(gaps: list[int], sampled: int) -> None:
    pts_seconds = np.cumsum([0, *gaps]) / 60
    indices = sample_indices_by_time(pts_seconds, sampled)
    assert indices[0] == 0
    assert indices[-1] == len(gaps)
    assert (np.diff(indices) >= 0).all()
    if not has_constant_rate(pts_seconds):
        grid = np.linspace(0, pts_seconds[-1], sampled)
        expected = [max(k for k, pts in enumerate(pts_seconds) if pts <= t + 1e-7) for t in grid]
        assert indices.tolist() == expected


def test_variable_rate_equals_a_conversion_to_constant_rate() -> None:
    """Frames held for 1, 3 and 2 ticks: sampling in time is the index rule on the frames repeated that often."""
    held = [1, 3, 2] * 10
    pts_seconds = np.cumsum([0, *held]) / 30  # one more frame ends the last hold
    constant = np.repeat(np.arange(len(held) + 1), [*held, 1])
    assert not has_constant_rate(pts_seconds)
    expected = constant[sample_indices(len(constant), 96)]
    np.testing.assert_array_equal(sample_indices_by_time(pts_seconds, 96), expected)


def test_a_long_pause_is_no_constant_rate() -> None:
    pts_seconds = np.concatenate([np.arange(50), 200 + np.arange(50)]) / 30
    indices = sample_indices_by_time(pts_seconds, 250)
    assert (indices == 49).sum() == 151  # from 49 to 199 ticks the same picture stands


@pytest.mark.parametrize("pts", [[], [0.0, 2.0, 1.0], [0.0, float("nan"), 1.0], [0.0, 1.0, float("inf")]])
def test_impossible_times(pts: list[float]) -> None:
    with pytest.raises(UserError):
        sample_indices_by_time(np.array(pts), 4)


@pytest.mark.parametrize(("source", "sampled"), [(0, 4), (4, 0)])
def test_nothing_to_sample(source: int, sampled: int) -> None:
    with pytest.raises(UserError, match="at least 1"):
        sample_indices(source, sampled)


@given(st.integers(2, 400), SAMPLES, st.data())
def test_transitions_fall_on_the_first_frame_of_their_stage(source: int, sampled: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, source - 1))
    second = data.draw(st.integers(first, source - 1))
    indices = sample_indices(source, sampled)
    for transition, position in zip((first, second), sampled_transitions((first, second), indices), strict=True):
        assert indices[position] >= transition
        assert position == 0 or indices[position - 1] < transition


@pytest.mark.parametrize("transitions", [(-1, 3), (5, 3), (3, 10)])
def test_transitions_outside_the_clip(transitions: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="do not fit the clip"):
        sampled_transitions(transitions, sample_indices(10, 4))
