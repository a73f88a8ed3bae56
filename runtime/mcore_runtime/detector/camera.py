"""How the camera moves up and down, and the dives that show in it: an operator who follows a diver falls with them.

In free fall the camera's speed grows by the same amount in every second, to the water, and then stops. Nobody pans like
that by hand.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.detector.base import DetectedDive

GRAVITY = 9.81
_BANDS = 8
_REACH = 40
"""Largest movement from one picture to the next, rows of 200."""
_INERTIA = 0.01
"""How much worse a movement counts for each row (of 200) that it differs from the last."""
_STEEPEST = 12.0
"""Brightness differences beyond this (grey levels a row) count as this: no single edge decides."""
_KEPT_S = 3.2
_KEPT = 110
"""Measurements kept; they come at most every 0.03 s."""
_FEWEST = 12
_MOVING, _MOVING_S, _MOVING_SHARE = 0.06, 1.5, 0.35
"""The camera moves when it is faster than this, picture heights a second, for this share of the last seconds."""
_LEAST_PEAK = 0.65
"""Picture heights a second: the slowest end of a fall, from 3 m in a view of 14 m."""
_STOPPED = 0.5
"""Share of the peak speed at which the camera counts as stopped: the middle of its braking, when the diver enters."""
_BRAKING_S = 0.45
_FIT_S = (1.0, 0.1)
"""The speed must grow evenly from this long before the peak until this long before it."""
_UNEVEN = 0.03
"""Largest deviation of the growth from a straight line, median, as a share of the peak speed."""
_SUDDEN = 2.5
"""The fall lasts at least this many times as long as the braking from full to half speed; a pan's halves are alike."""
_FALL_S = (0.6, 1.75)
_RISE_S = (-0.05, 0.8)
_FALL_M = (1.8, 14.0)
_VIEW_M = (3.0, 16.0)
"""What the picture's height can show; a diver with arms stretched is 2.4 m long."""
_DEPARTED = 0.1
"""Deviation from the line, as a share of the peak speed, that means that the flight had not begun."""
_OPERATOR_LAG_S = 0.1
"""An operator smooths the diver's path; so the flight shows this much later and ends this much earlier."""


class VerticalMotion:
    """Measures the camera's vertical movement between pictures."""

    def __init__(self) -> None:
        self._previous: NDArray[np.float32] | None = None
        self._last_rows = 0

    def update(self, grey: NDArray[np.float32]) -> float:
        """Return how far the camera moved down since the last picture, as a share of the picture's height.

        Args:
            grey: (h, w) float32, h up to a few hundred.
        """
        profile = _profile(grey)
        previous, self._previous = self._previous, profile
        if previous is None or previous.shape != profile.shape:
            return 0.0
        rows = len(profile)
        reach = min(_REACH, rows // 3)
        padded = np.zeros((profile.shape[1], rows + 2 * reach), np.float32)
        padded[:, reach:-reach] = previous.T
        shifted = np.lib.stride_tricks.sliding_window_view(padded, rows, axis=1)  # (bands, 2 reach + 1, rows)
        difference = shifted - profile.T[:, None]
        np.abs(difference, out=difference)
        total = np.zeros((2 * reach + 1, rows + 1), np.float32)
        np.cumsum(difference.sum(axis=0), axis=1, out=total[:, 1:])
        k = np.arange(2 * reach + 1)
        first, last = np.maximum(0, reach - k), rows - np.maximum(0, k - reach)  # rows that both pictures show
        cost = (total[k, last] - total[k, first]) / (last - first)
        # Rows of seats look alike: of two movements that fit as well, the one that continues the last is meant.
        cost *= 1 + _INERTIA * np.minimum(np.abs(k - reach - self._last_rows), reach) * 200 / rows
        best = int(cost.argmin())
        self._last_rows = best - reach
        return (best - reach + _vertex(cost, best)) / (rows + 1)


class FollowedFall:
    """Recognises dives in the speed of the camera."""

    def __init__(self) -> None:
        self._quiet_until_s = self._judged_s = float("-inf")
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._times = np.full(_KEPT, -np.inf)
        self._speeds = np.zeros(_KEPT)

    @property
    def is_moving(self) -> bool:
        """Whether the camera moved steadily within the last second and a half; a jolt is none."""
        recent = self._speeds[self._times > self._times[-1] - _MOVING_S]
        return len(recent) > 0 and bool(np.mean(np.abs(recent) > _MOVING) > _MOVING_SHARE)

    def update(self, time_s: float, speed: float) -> DetectedDive | None:
        """Add the camera's downward speed, picture heights a second, and say if a dive has just ended."""
        self._times[:-1], self._speeds[:-1] = self._times[1:], self._speeds[1:]
        self._times[-1], self._speeds[-1] = time_s, speed
        if time_s < self._quiet_until_s or not speed < self._speeds[-_KEPT // 4 :].max() * _STOPPED:
            return None
        kept = self._times > time_s - _KEPT_S
        times, speeds = self._times[kept], _running_median(self._speeds[kept], 3)
        if len(times) < _FEWEST:
            return None
        recent = times > time_s - _BRAKING_S
        peak = float(speeds[recent].max())
        if peak < _LEAST_PEAK or speeds[-1] > _STOPPED * peak:
            return None
        at = int(np.flatnonzero(recent)[0] + speeds[recent].argmax())
        if times[at] <= self._judged_s:
            return None
        self._judged_s = float(times[at])
        dive = _fall(times, speeds, at, peak)
        if dive is not None:
            self._quiet_until_s = time_s + 1.0
        return dive


def _fall(times: NDArray[np.float64], speeds: NDArray[np.float64], at: int, peak: float) -> DetectedDive | None:
    """Judge the movement that ended in a peak of speed."""
    fitted = (times >= times[at] - _FIT_S[0]) & (times <= times[at] - _FIT_S[1])
    if fitted.sum() < 6:
        return None
    slope, offset = _robust_line(times[fitted], speeds[fitted])
    line = slope * times + offset
    deviation = np.abs(speeds - line) / peak
    unevenness = float(np.median(deviation[fitted]))
    if slope <= 0 or unevenness > _UNEVEN:
        return None
    after = speeds[at:]
    below = int(np.flatnonzero(after < _STOPPED * peak)[0]) + at
    share = (speeds[below - 1] - _STOPPED * peak) / max(speeds[below - 1] - speeds[below], 1e-9)
    entry_s = float(times[below - 1] + min(max(share, 0.0), 1.0) * (times[below] - times[below - 1]))
    apex_s = -offset / slope
    view_m = GRAVITY / slope
    fall_s = entry_s - apex_s
    # Nobody stops in the air: where the camera seems to stand still after the highest point, there was nothing to see.
    blind = (times > apex_s) & (np.abs(speeds) < _MOVING)
    departed = (_running_median(deviation, 5) > _DEPARTED) & ~blind & (times < times[at] - _FIT_S[0])
    before = np.flatnonzero(departed[:at])
    takeoff_s = float(times[before[-1] + 1] if len(before) else times[0]) - _OPERATOR_LAG_S
    fits = (
        times[at] - apex_s > _SUDDEN * (entry_s - times[at])
        and _within(fall_s, _FALL_S)
        and _within(GRAVITY * fall_s**2 / 2, _FALL_M)
        and _within(view_m, _VIEW_M)
        and _within(apex_s - takeoff_s, _RISE_S)
    )
    if not fits:
        return None
    return DetectedDive(takeoff_s, entry_s, float(1 - unevenness / _UNEVEN), "camera")


def _robust_line(times: NDArray[np.float64], speeds: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and offset, medians over all pairs (Theil and Sen): a jolt within a dive spoils a third of them."""
    first, second = np.triu_indices(len(times), 1)
    slope = float(np.median((speeds[second] - speeds[first]) / (times[second] - times[first])))
    return slope, float(np.median(speeds - slope * times))


def _profile(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brightness differences from row to row in vertical bands: neither exposure nor flashes show in them."""
    rows, columns = grey.shape
    width = columns // _BANDS
    bands = grey[:, : width * _BANDS].reshape(rows, _BANDS, width).mean(axis=2)
    return np.asarray(np.clip(np.diff(bands, axis=0), -_STEEPEST, _STEEPEST), np.float32)


def _vertex(cost: NDArray[np.float32], best: int) -> float:
    """Position of the minimum between samples, from the parabola through three of them."""
    if not 0 < best < len(cost) - 1:
        return 0.0
    left, middle, right = (float(c) for c in cost[best - 1 : best + 2])
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend > 0 else 0.0


def _running_median(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Remove outliers: where a picture shows nothing but wall, single measurements can be wrong."""
    padded = np.pad(values, width // 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
