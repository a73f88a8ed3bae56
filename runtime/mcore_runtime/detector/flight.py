"""Judgement of a flight: the body near a matched path is followed, and must fall by itself as a diver does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcore.diving.physics import GRAVITY_M_S2
from mcore_runtime.detector.base import DetectedDive
from mcore_runtime.detector.body import is_one_body
from mcore_runtime.detector.config import DetectorConfig, FallConfig, Range, within
from mcore_runtime.detector.fall import nearest_scale
from mcore_runtime.detector.history import EvidenceHistory, PathMatch


@dataclass(frozen=True)
class _Track:
    """The body's own path, found near a matched one."""

    path: PathMatch
    error_m: float
    """Deviation of its middle from a parabola, root mean square."""
    mass_px: float
    """Moving pixels near the path, median."""


@dataclass(frozen=True)
class _Stretch:
    """Time within which the body shows on its path."""

    begin_s: float
    end_s: float
    mean_evidence: float


@dataclass(frozen=True)
class _Flight:
    """A flight that is as expected of a dive."""

    dive: DetectedDive
    path: PathMatch
    stretch: _Stretch
    evidence_s: float
    """Evidence above that of a body that is present, summed over the time of the flight."""


def judge(
    history: EvidenceHistory,
    matches: Sequence[PathMatch],
    now_s: float,
    columns_per_row: float,
    config: DetectorConfig,
) -> DetectedDive | None:
    """Follow the body near each of the paths that matched, and judge the whole flight.

    Args:
        history: evidence of the whole flight and a little longer.
        matches: paths of one fall, from one or several moments.
        now_s: the newest picture's time.
        columns_per_row: how many columns are as wide as a row is high.
        config: what is expected of a dive.

    Returns:
        The dive with most evidence; None where all of it was something else.
    """
    flights = [
        flight
        for match in matches
        for window_s in config.fall.tracked_s
        if (flight := _judge_one(history, match, now_s, columns_per_row, window_s, config.fall)) is not None
    ]
    if not flights:
        return None
    best = max(flights, key=lambda flight: flight.evidence_s)
    stretch_s = (best.stretch.begin_s, best.stretch.end_s)
    return best.dive if is_one_body(history, best.path, stretch_s, columns_per_row, config.body) else None


def _judge_one(
    history: EvidenceHistory,
    match: PathMatch,
    now_s: float,
    columns_per_row: float,
    window_s: Range,
    config: FallConfig,
) -> _Flight | None:
    """Follow the body near one path; None where it is not as expected of a dive."""
    track = _track(history, match, now_s, window_s, config)
    if track is None:
        return None
    path = track.path
    stretch = _evident_stretch(history, path, now_s, config)
    if stretch is None:
        return None
    fall_s = stretch.end_s - path.apex_s
    as_expected = (
        within(path.rows_per_m / match.rows_per_m, (1 / config.max_scale_ratio, config.max_scale_ratio))
        and track.error_m <= config.max_track_error_m
        and within(track.mass_px / (path.rows_per_m**2 * columns_per_row), config.area_m2)
        and within(fall_s, config.fall_s)
        and within(path.apex_s - stretch.begin_s, config.rise_limits_s)
        and stretch.mean_evidence >= config.min_mean_evidence
    )
    if not as_expected:
        return None
    clarity = (stretch.mean_evidence - config.min_mean_evidence) / (config.full_evidence - config.min_mean_evidence)
    confidence = min(1.0, clarity) * (1 - track.error_m / config.max_track_error_m / 2)
    # The board hides the beginning of the flight; so the rise is held to what such a board gives.
    is_springboard = fall_s < config.springboard_fall_s
    low_s, high_s = config.springboard_rise_s if is_springboard else config.platform_rise_s
    rise_s = min(max(path.apex_s - stretch.begin_s - config.takeoff_bias_s, low_s), high_s)
    dive = DetectedDive(path.apex_s - rise_s, stretch.end_s + config.entry_bias_s, confidence, "body")
    evidence_s = (stretch.end_s - stretch.begin_s) * (stretch.mean_evidence - config.present_evidence)
    return _Flight(dive, path, stretch, evidence_s)


def _track(
    history: EvidenceHistory, match: PathMatch, now_s: float, window_s: Range, config: FallConfig
) -> _Track | None:
    """Follow the middle of what moves near a path, and see how it accelerates by itself."""
    rows = np.arange(history.masses.shape[2])
    since_s = np.arange(*window_s, config.step_s)
    times = match.apex_s + since_s
    known = (times <= now_s) & (times >= history.oldest_s)
    since_s, times = since_s[known], times[known]
    masses = history.masses[history.slots(times), match.band]  # (samples, rows)
    shown_s = history.times[history.slots(times)] - match.apex_s
    center = match.apex_row + match.rows_per_m * GRAVITY_M_S2 / 2 * shown_s**2
    for reach_m in config.reaches_m:
        weight = np.where(np.abs(rows - center[:, None]) <= reach_m * match.rows_per_m, masses, 0.0)
        mass = weight.sum(axis=1)
        seen = mass > config.min_mass_px
        if seen.sum() < config.min_samples:
            return None
        middle = (weight[seen] @ rows) / mass[seen]
        bend, slope, level = np.polyfit(shown_s[seen], middle, 2).tolist()
        if bend <= 0:
            return None
        center = bend * shown_s**2 + slope * shown_s + level
    error = float(np.sqrt(np.mean((middle - center[seen]) ** 2)))
    rows_per_m, apex_s = 2 * bend / GRAVITY_M_S2, -slope / (2 * bend)
    path = PathMatch(match.score, match.apex_s + apex_s, level - slope**2 / (4 * bend), rows_per_m, match.band)
    return _Track(path, error / rows_per_m, float(np.median(mass)))


def _evident_stretch(history: EvidenceHistory, path: PathMatch, now_s: float, config: FallConfig) -> _Stretch | None:
    """Find when the body is on a path: the stretch whose evidence above ``present_evidence`` has the largest sum."""
    bands, rows = history.evidence.shape[2:]
    since_s = np.arange(*config.flight_s, config.step_s)
    times = path.apex_s + since_s
    slots = history.slots(times)
    shown_s = history.times[slots] - path.apex_s
    at = np.round(path.apex_row + path.rows_per_m * GRAVITY_M_S2 / 2 * shown_s**2)
    usable = (times <= now_s) & (times >= history.oldest_s) & (at >= 0) & (at < rows)
    scale = int(nearest_scale(np.array(path.rows_per_m * 200 / rows), history.scales))
    near = slice(max(0, path.band - 1), min(bands, path.band + 2))  # divers also move along
    evidence = history.evidence[slots, scale, near, np.clip(at, 0, rows - 1).astype(np.int64)].max(axis=1)
    gain = np.where(usable, np.minimum(evidence, config.full_evidence), 0.0) - config.present_evidence
    # Largest sum of a run (Kadane): the end where the sum has risen most above its lowest point before.
    total = np.cumsum(gain)
    before = np.concatenate([[0.0], total[:-1]])
    last = int((total - np.minimum.accumulate(before)).argmax())
    first = int(before[: last + 1].argmin())
    if last - first < config.min_samples:
        return None
    mean_evidence = float(gain[first : last + 1].mean()) + config.present_evidence
    return _Stretch(float(times[first]), float(times[last]), mean_evidence)
