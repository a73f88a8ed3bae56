"""Falling bodies before a still camera: parabolas in evidence over height and time.

Gravity is known, so a path has three unknowns only: when and where its highest point is, and how many rows a metre has.
Nothing but a body in free fall stays on such a path from a board to the water.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.detector.base import DetectedDive
from mcore_runtime.detector.body import is_one_body
from mcore_runtime.detector.camera import GRAVITY
from mcore_runtime.detector.foreground import SCALES
from mcore_runtime.detector.history import EvidenceHistory, PathMatch

_SPEEDS = (9.1, 11.3, 13.0, 14.4)
"""Metres a second at the water, from 3, 5, 7.5 and 10 m."""
_RISE_S = 0.22
"""Every diver goes up at least this long before the highest point; armstands do not, but little."""
_SAMPLES = 14
_SCALE_STEP = 1.1
_HIGHEST_SHARE = 0.92
"""A whole fall fills at most this share of the picture's height."""
_ROW_STEP = 4
_FULL = 0.8
"""Evidence counts up to this: a body need not fill its core."""
_COARSE = (3, 7, 11)
_COARSE_LEAST = 0.35
_PRESENT = 0.45
"""Evidence above this says that the body is on the path."""
_STEP_S = 0.04
_LEAST_MEAN = 0.66
_AREA_M2 = (0.22, 2.5)
"""A towel that is thrown down has half of the least, a diver three times as much."""
_TRACKED_S = ((-0.25, 0.8), (0.0, 0.9))
"""The body is followed from this long before the highest point to this long after it: no board is lower than 3 m. An
armstand dive hardly rises, so that before the highest point it still stands."""
_REACHES_M = (1.4, 1.2, 1.0, 1.0)
"""Its middle is looked for this close to the path, closer each time."""
_LEAST_MASS_PX = 1.0
_FEWEST = 8
_SCALE_RATIO = 1.6
"""Gravity as the body's own track tells it may differ from the matched path's by this factor."""
_TRACK_ERROR_M = 0.35
_FLIGHT_S = (-0.96, 1.84)
_FALL_S = (0.85, 1.75)
"""From the highest point to the end of the path, which lies a little after the entry. From a board of 3 m the diver's
middle falls 3 m at least, in 0.78 s; from the pool's edge nobody falls longer than 0.55 s."""
_RISE_LIMITS_S = (-0.1, 1.0)
_SPRINGBOARD_FALL_S = 1.2
_SPRINGBOARD_RISE_S, _PLATFORM_RISE_S = (0.35, 0.6), (0.08, 0.45)
"""A springboard throws divers up for half a second, a platform does not; so the take-off is known closely even where
the body cannot be told from the board."""
_TAKEOFF_BIAS_S, _ENTRY_BIAS_S = 0.2, -0.12
"""A body is close to the parabola a little before it leaves the board, and a little after it touches the water;
measured on rendered dives of other seeds than those that the figures come from."""


class FallSearch:
    """Looks for paths that end now.

    Args:
        rows: rows of the picture.
    """

    def __init__(self, rows: int) -> None:
        combinations = []
        for speed in _SPEEDS:
            fall_m = speed**2 / 2 / GRAVITY
            scale = max(6.5, 9 / (fall_m / 4.2) ** 0.5) * rows / 200
            while scale * fall_m <= _HIGHEST_SHARE * rows and scale <= 0.22 * rows:
                combinations.append((scale, speed))
                scale *= _SCALE_STEP
        self._since_s = np.stack([np.linspace(0.0, v / GRAVITY + _RISE_S, _SAMPLES) for _, v in combinations])
        heights = np.stack(
            [s * (v * t - GRAVITY / 2 * t**2) for (s, v), t in zip(combinations, self._since_s, strict=True)]
        )
        ends = np.arange(round(0.3 * rows), round(0.98 * rows), _ROW_STEP)
        path_rows = ends[None, :, None] - heights[:, None, :]  # (combinations, ends, samples)
        chosen = np.argwhere(path_rows.min(axis=2) >= 4)
        self._kind, end = chosen[:, 0], chosen[:, 1]
        self._end_rows = ends[end]
        self._rows = np.round(path_rows[self._kind, end]).astype(np.int64)  # (paths, samples)
        self._combinations = np.array(combinations)
        self._scale_index = nearest_scale(self._combinations[self._kind, 0] * 200 / rows)

    def best(self, history: EvidenceHistory, now_s: float) -> PathMatch | None:
        """Find the path with most evidence among those that end now; None where none has much."""
        slots = history.slots(now_s - self._since_s)[self._kind]  # (paths, samples)
        bands = np.arange(history.evidence.shape[2])
        coarse = self._gather(history, slots, np.arange(len(slots)), list(_COARSE))
        likely = np.argwhere(coarse.min(axis=1) > _COARSE_LEAST)
        if not len(likely):
            return None
        paths, band = likely[:, 0], bands[likely[:, 1]]
        evidence = history.evidence[
            slots[paths], self._scale_index[paths, None], band[:, None], self._rows[paths]
        ]  # (likely, samples)
        scores = np.minimum(evidence, _FULL).mean(axis=1)
        k = int(scores.argmax())
        path = int(paths[k])
        scale, speed = self._combinations[self._kind[path]]
        return PathMatch(
            score=float(scores[k]),
            apex_s=now_s - speed / GRAVITY,
            apex_row=float(self._end_rows[path] - scale * speed**2 / 2 / GRAVITY),
            rows_per_m=float(scale),
            band=int(band[k]),
        )

    def _gather(
        self, history: EvidenceHistory, slots: NDArray[np.int64], paths: NDArray[np.int64], samples: list[int]
    ) -> NDArray[np.float32]:
        """Evidence at some samples of all paths, in all bands: (paths, samples, bands)."""
        scale = self._scale_index[paths][:, None]
        return history.evidence[slots[:, samples], scale, :, self._rows[:, samples]]


def nearest_scale(rows_per_m: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the closest of ``SCALES``."""
    distance = np.abs(np.log(np.asarray(rows_per_m)[..., None] / np.array(SCALES)))
    return np.asarray(distance.argmin(axis=-1))


def judge(
    history: EvidenceHistory, matches: Sequence[PathMatch], now_s: float, columns_per_row: float
) -> DetectedDive | None:
    """Follow the body near each of the paths that matched, and judge the whole flight.

    Args:
        history: evidence of the whole flight and a little longer.
        matches: paths of one fall, from one or several moments.
        now_s: the newest picture's time.
        columns_per_row: how many columns are as wide as a row is high.

    Returns:
        The dive with most evidence; None where all of it was something else.
    """
    judged = [_judge_one(history, match, now_s, columns_per_row, window) for match in matches for window in _TRACKED_S]
    found = [one for one in judged if one is not None]
    if not found:
        return None
    _, dive, path, stretch_s = max(found, key=lambda one: one[0])
    return dive if is_one_body(history, path, stretch_s, columns_per_row) else None


def _judge_one(
    history: EvidenceHistory, match: PathMatch, now_s: float, columns_per_row: float, window_s: tuple[float, float]
) -> tuple[float, DetectedDive, PathMatch, tuple[float, float]] | None:
    """Return how much evidence there is in all, seconds; the dive; its path, and from when to when it shows there."""
    tracked = _track(history, match, now_s, window_s)
    if tracked is None:
        return None
    path, error_m, mass = tracked
    stretch = _evident_stretch(history, path, now_s)
    if stretch is None:
        return None
    begin_s, end_s, mean = stretch
    fall_s = end_s - path.apex_s
    as_expected = (
        _within(path.rows_per_m / match.rows_per_m, (1 / _SCALE_RATIO, _SCALE_RATIO))
        and error_m <= _TRACK_ERROR_M
        and _within(mass / (path.rows_per_m**2 * columns_per_row), _AREA_M2)
        and _within(fall_s, _FALL_S)
        and _within(path.apex_s - begin_s, _RISE_LIMITS_S)
        and mean >= _LEAST_MEAN
    )
    if not as_expected:
        return None
    confidence = min(1.0, (mean - _LEAST_MEAN) / (_FULL - _LEAST_MEAN)) * (1 - error_m / _TRACK_ERROR_M / 2)
    low, high = _SPRINGBOARD_RISE_S if fall_s < _SPRINGBOARD_FALL_S else _PLATFORM_RISE_S
    rise_s = min(max(path.apex_s - begin_s - _TAKEOFF_BIAS_S, low), high)
    dive = DetectedDive(path.apex_s - rise_s, end_s + _ENTRY_BIAS_S, confidence, "body")
    return (end_s - begin_s) * (mean - _PRESENT), dive, path, (begin_s, end_s)


def _track(
    history: EvidenceHistory, match: PathMatch, now_s: float, window_s: tuple[float, float]
) -> tuple[PathMatch, float, float] | None:
    """Follow the middle of what moves near a path, and see how it accelerates by itself.

    Returns:
        The body's own path; its deviation from a parabola in metres (root mean square); and the median of the moving
        pixels near it. None where there is no track.
    """
    rows = np.arange(history.masses.shape[2])
    since_s = np.arange(*window_s, _STEP_S)
    times = match.apex_s + since_s
    known = (times <= now_s) & (times >= history.oldest_s)
    since_s, times = since_s[known], times[known]
    masses = history.masses[history.slots(times), match.band]  # (samples, rows)
    shown_s = history.times[history.slots(times)] - match.apex_s
    center = match.apex_row + match.rows_per_m * GRAVITY / 2 * shown_s**2
    for reach_m in _REACHES_M:
        weight = np.where(np.abs(rows - center[:, None]) <= reach_m * match.rows_per_m, masses, 0.0)
        mass = weight.sum(axis=1)
        seen = mass > _LEAST_MASS_PX
        if seen.sum() < _FEWEST:
            return None
        middle = (weight[seen] @ rows) / mass[seen]
        bend, slope, level = np.polyfit(shown_s[seen], middle, 2).tolist()
        if bend <= 0:
            return None
        center = bend * shown_s**2 + slope * shown_s + level
    error = float(np.sqrt(np.mean((middle - center[seen]) ** 2)))
    rows_per_m, apex_s = 2 * bend / GRAVITY, -slope / (2 * bend)
    path = PathMatch(match.score, match.apex_s + apex_s, level - slope**2 / (4 * bend), rows_per_m, match.band)
    return path, error / rows_per_m, float(np.median(mass))


def _evident_stretch(history: EvidenceHistory, path: PathMatch, now_s: float) -> tuple[float, float, float] | None:
    """Find when the body is on a path: begin, end, mean evidence; the longest and clearest stretch of it."""
    bands, rows = history.evidence.shape[2:]
    since_s = np.arange(*_FLIGHT_S, _STEP_S)
    times = path.apex_s + since_s
    slots = history.slots(times)
    shown_s = history.times[slots] - path.apex_s
    at = np.round(path.apex_row + path.rows_per_m * GRAVITY / 2 * shown_s**2)
    usable = (times <= now_s) & (times >= history.oldest_s) & (at >= 0) & (at < rows)
    scale = int(nearest_scale(np.array(path.rows_per_m * 200 / rows)))
    near = slice(max(0, path.band - 1), min(bands, path.band + 2))  # divers also move along
    evidence = history.evidence[slots, scale, near, np.clip(at, 0, rows - 1).astype(np.int64)].max(axis=1)
    gain = np.where(usable, np.minimum(evidence, _FULL), 0.0) - _PRESENT
    total = np.cumsum(gain)
    before = np.concatenate([[0.0], total[:-1]])
    last = int((total - np.minimum.accumulate(before)).argmax())
    first = int(before[: last + 1].argmin())
    if last - first < _FEWEST:
        return None
    return float(times[first]), float(times[last]), float(gain[first : last + 1].mean()) + _PRESENT


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
