"""The learned detector, on clips that nothing was learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.synthetic.untrimmed import UntrimmedClip, render_clip
from mcore.video.spotting import (
    COLUMNS,
    LOOKS_BACK,
    ROWS,
    SAMPLES_PER_S,
    SPOTTER_DELAY,
    MotionOfPicture,
    Pace,
    changes,
    shrink,
)
from mcore_runtime.detector import DetectedDive, Detector, SpotterDetector, stay

SEED = 1_000_111


def watch(clip: UntrimmedClip, detector: Detector) -> list[DetectedDive]:
    large = clip.pictures.repeat(2, axis=1).repeat(2, axis=2)[..., None].repeat(3, axis=3)
    times_s = clip.times_s.tolist()
    shown = [*zip(large, times_s, strict=True), *((large[-1], at_s) for at_s in stay(times_s[-1], 1 / SAMPLES_PER_S))]
    return [dive for picture, time_s in shown for dive in detector.update(picture, time_s)]


@pytest.fixture(scope="module")
def clip() -> UntrimmedClip:
    return render_clip(SEED, "dive")


def test_a_dive_is_found_once_and_again_after_a_reset(clip: UntrimmedClip) -> None:
    detector = SpotterDetector()
    (found,) = watch(clip, detector)
    true = next(dive for dive in clip.dives if dive.is_live)
    assert found.takeoff_s == pytest.approx(true.takeoff_s, abs=0.4)
    assert found.entry_s == pytest.approx(true.entry_s, abs=0.2)
    assert (found.found_by, found.slow_motion) == ("looks", False)
    detector.reset()
    assert watch(clip, detector) == [found]


def test_a_dive_that_takes_longer_than_any_fall_is_slow_motion(clip: UntrimmedClip) -> None:
    (live,) = watch(clip, SpotterDetector())
    times_s = np.arange(4 * len(clip.times_s)) / SAMPLES_PER_S
    seen = watch(replace(clip, pictures=clip.pictures.repeat(4, axis=0), times_s=times_s), SpotterDetector())
    (slow,) = (dive for dive in seen if dive.slow_motion)
    assert (slow.takeoff_s, slow.entry_s) == pytest.approx((4 * live.takeoff_s, 4 * live.entry_s), abs=0.4)
    assert slow.flight_s > 4


class Knows:
    """Stands for the network of one pace: it sees one flight, whatever it is shown."""

    def __init__(self, slower: int, takeoff_s: float, entry_s: float) -> None:
        self.slower, self.takeoff_s, self.entry_s, self.at_s = slower, takeoff_s, entry_s, 0.0

    def reset(self) -> None:
        self.at_s = -SPOTTER_DELAY * self.slower / SAMPLES_PER_S

    def __call__(self, changed: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float64]:
        away = SAMPLES_PER_S / self.slower * (self.at_s - np.array([self.takeoff_s, self.entry_s]))
        is_flight = self.takeoff_s <= self.at_s < self.entry_s
        self.at_s += self.slower / SAMPLES_PER_S
        return np.array([*0.9 * np.exp(-0.5 * away**2), 0.9 * is_flight])


@pytest.mark.parametrize(
    ("seconds", "paces"),
    [
        pytest.param(0.5, [], id="too short a fall for a dive"),
        pytest.param(0.9, [False], id="from 1 m"),
        pytest.param(1.5, [False], id="from 3 m"),
        pytest.param(3.2, [], id="a hurdle and its dive"),
        pytest.param(3.9, [True], id="at half the pace"),
        pytest.param(7.0, [True, True], id="seen at both slower paces"),
        pytest.param(14.0, [True], id="at an eighth of the pace"),
    ],
)
def test_the_pace_decides_how_long_a_flight_may_last(seconds: float, paces: list[bool]) -> None:
    detector = SpotterDetector()
    for each in detector._watches:
        each._network = Knows(each.slower, 3.0, 3.0 + seconds)  # type: ignore[assignment]
    detector.reset()
    picture = np.zeros((2 * ROWS, 2 * COLUMNS, 3), np.uint8)
    seen = [dive for i in range(270) for dive in detector.update(picture, i / SAMPLES_PER_S)]
    assert [dive.slow_motion for dive in seen] == paces
    assert all(dive.flight_s == pytest.approx(seconds, abs=0.3) for dive in seen)


@pytest.mark.parametrize("rate", [16, 25, 30, 60])
def test_the_pace_is_even_at_any_rate(rate: int) -> None:
    pace = Pace()
    taken = [i / rate for i in range(10 * rate) if pace.takes(i / rate)]
    assert len(taken) == pytest.approx(10 * SAMPLES_PER_S, abs=2)
    assert max(np.diff(taken)) < 1 / SAMPLES_PER_S + 1 / rate


def test_after_a_gap_the_pace_goes_on_at_once() -> None:
    pace = Pace()
    assert pace.takes(0.0)
    assert pace.takes(60.0)
    assert not pace.takes(60.04)


def test_a_moved_picture_is_a_movement_and_no_change() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (ROWS + 20, COLUMNS + 20)).astype(np.uint8)
    views = [noise[10 - i : 10 - i + ROWS, 10 + i : 10 + i + COLUMNS] for i in range(0, 8, 2)]
    motion = MotionOfPicture()
    shifts = [motion.update(view) for view in views]
    assert shifts == [(0, 0), (2, -2), (2, -2), (2, -2)]
    followed = changes(views, shifts)
    assert followed.shape == (len(LOOKS_BACK), ROWS, COLUMNS)
    assert np.abs(followed).max() == 0
    assert np.abs(changes(views, [(0, 0)] * 4)).mean() > 0.5


def test_what_grows_lighter_is_above_zero() -> None:
    before = np.full((ROWS, COLUMNS), 90, np.uint8)
    now = before.copy()
    now[10, 20], now[30, 20] = 140, 40
    (change, earlier) = changes([before, now], [(0, 0)] * 2)
    assert change[10, 20] == -change[30, 20] > 1
    assert np.count_nonzero(change) == 2
    assert np.all(earlier == 0)  # there is none yet


def test_pictures_of_another_size_are_taken() -> None:
    grey = np.full((2 * ROWS, 2 * COLUMNS, 3), 77, np.uint8)
    assert np.all(shrink(grey) == 77)
    assert SpotterDetector().update(grey[:90, :80], 0.0) == []
