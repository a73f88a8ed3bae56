"""Vertical motion of the camera, and the dives that show in it: an operator who follows a diver falls with them.

In free fall the camera's speed grows by the same amount in every second, to the water, and then stops. Nobody pans like
that by hand.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore.diving.physics import GRAVITY_M_S2
from mcore_runtime.detector.base import DetectedDive
from mcore_runtime.detector.config import CameraConfig, within


class VerticalMotion:
    """Measures the camera's vertical movement between pictures.

    Args:
        config: how far it may move, and how brightness is compared.
    """

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._previous: NDArray[np.float32] | None = None
        self._last_rows = 0

    def update(self, grey: NDArray[np.float32]) -> float:
        """Return how far the camera moved down since the last picture, as a share of the picture's height.

        Args:
            grey: (h, w) float32, h up to a few hundred.
        """
        profile = _profile(grey, self._config)
        previous, self._previous = self._previous, profile
        if previous is None or previous.shape != profile.shape:
            return 0.0
        rows = len(profile)
        reach = min(self._config.reach_rows, rows // 3)
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
        inertia = self._config.inertia_per_row
        cost *= 1 + inertia * np.minimum(np.abs(k - reach - self._last_rows), reach) * 200 / rows
        best = int(cost.argmin())
        self._last_rows = best - reach
        return (best - reach + _vertex(cost, best)) / (rows + 1)


class FollowedFall:
    """Recognises dives in the speed of the camera.

    Args:
        config: what a fall looks like to an operator who follows it.
    """

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._quiet_until_s = self._judged_s = float("-inf")
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._times = np.full(self._config.max_kept, -np.inf)
        self._speeds = np.zeros(self._config.max_kept)

    @property
    def is_moving(self) -> bool:
        """Return whether the camera moved steadily within the last second and a half; a jolt is none."""
        config = self._config
        recent = self._speeds[self._times > self._times[-1] - config.moving_window_s]
        moves = np.abs(recent) > config.moving_heights_per_s
        return len(recent) > 0 and bool(np.mean(moves) > config.moving_share)

    def update(self, time_s: float, speed: float) -> DetectedDive | None:
        """Add the camera's downward speed, picture heights a second, and say if a dive has just ended."""
        config = self._config
        self._times[:-1], self._speeds[:-1] = self._times[1:], self._speeds[1:]
        self._times[-1], self._speeds[-1] = time_s, speed
        # Most pictures end here: only a camera that has just slowed down can have followed a dive to its end.
        if (
            time_s < self._quiet_until_s
            or not speed < self._speeds[-config.max_kept // 4 :].max() * config.stopped_share
        ):
            return None
        kept = self._times > time_s - config.kept_s
        times, speeds = self._times[kept], _running_median(self._speeds[kept], 3)
        if len(times) < config.min_samples:
            return None
        recent = times > time_s - config.braking_s
        peak = float(speeds[recent].max())
        if peak < config.min_peak_heights_per_s or speeds[-1] > config.stopped_share * peak:
            return None
        at = int(np.flatnonzero(recent)[0] + speeds[recent].argmax())
        if times[at] <= self._judged_s:
            return None
        self._judged_s = float(times[at])
        dive = _fall(times, speeds, at, peak, config)
        if dive is not None:
            self._quiet_until_s = time_s + config.quiet_after_dive_s
        return dive


def _fall(
    times: NDArray[np.float64], speeds: NDArray[np.float64], at: int, peak: float, config: CameraConfig
) -> DetectedDive | None:
    """Judge the movement that ended in a peak of speed, at index ``at``."""
    begin_s, end_s = (times[at] - before_s for before_s in config.fit_before_peak_s)
    fitted = (times >= begin_s) & (times <= end_s)
    if fitted.sum() < config.min_fit_samples:
        return None
    slope, offset = _robust_line(times[fitted], speeds[fitted])
    line = slope * times + offset
    deviation = np.abs(speeds - line) / peak
    unevenness = float(np.median(deviation[fitted]))
    if slope <= 0 or unevenness > config.max_unevenness:
        return None
    # The entry is where the speed crosses the middle of the braking, between two pictures.
    after = speeds[at:]
    below = int(np.flatnonzero(after < config.stopped_share * peak)[0]) + at
    share = (speeds[below - 1] - config.stopped_share * peak) / max(speeds[below - 1] - speeds[below], 1e-9)
    entry_s = float(times[below - 1] + min(max(share, 0.0), 1.0) * (times[below] - times[below - 1]))
    apex_s = -offset / slope
    view_m = GRAVITY_M_S2 / slope  # heights a second squared to metres a second squared: how high the picture is
    fall_s = entry_s - apex_s
    # Nobody stops in the air: where the camera seems to stand still after the highest point, there was nothing to see.
    blind = (times > apex_s) & (np.abs(speeds) < config.moving_heights_per_s)
    departed = (_running_median(deviation, 5) > config.departed_share) & ~blind & (times < begin_s)
    before = np.flatnonzero(departed[:at])
    takeoff_s = float(times[before[-1] + 1] if len(before) else times[0]) - config.operator_lag_s
    fits = (
        times[at] - apex_s > config.min_fall_to_braking * (entry_s - times[at])
        and within(fall_s, config.fall_s)
        and within(GRAVITY_M_S2 * fall_s**2 / 2, config.fall_m)
        and within(view_m, config.view_m)
        and within(apex_s - takeoff_s, config.rise_s)
    )
    if not fits:
        return None
    return DetectedDive(takeoff_s, entry_s, float(1 - unevenness / config.max_unevenness), "camera")


def _robust_line(times: NDArray[np.float64], speeds: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and offset, medians over all pairs (Theil and Sen): a jolt within a dive spoils a third of them."""
    first, second = np.triu_indices(len(times), 1)
    slope = float(np.median((speeds[second] - speeds[first]) / (times[second] - times[first])))
    return slope, float(np.median(speeds - slope * times))


def _profile(grey: NDArray[np.float32], config: CameraConfig) -> NDArray[np.float32]:
    """Brightness differences from row to row in vertical bands: neither exposure nor flashes show in them."""
    rows, columns = grey.shape
    width = columns // config.bands
    bands = grey[:, : width * config.bands].reshape(rows, config.bands, width).mean(axis=2)
    return np.asarray(np.clip(np.diff(bands, axis=0), -config.max_step_levels, config.max_step_levels), np.float32)


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
