"""Both detectors together: a dive is what either of them is certain of, and each gives the times that it knows best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.video.spotting import SPOTTER_WEIGHTS
from mcore_runtime.detector.ballistic import BallisticDetector
from mcore_runtime.detector.base import DetectedDive
from mcore_runtime.detector.config import DetectorConfig
from mcore_runtime.detector.spotter import SpotterDetector

_AGREE_S = 0.25
"""Entries that differ by more are not the same: one of the two is wrong."""
_WAIT_S = 1.75
"""A fall waits so long for the spotter's word: its entry may be 0.75 s early, where an operator stops early, and the
spotter is certain of an entry 0.95 s after it."""


class JointDetector:
    """Finds dives by their free fall, and by what they look like.

    A fall waits for the spotter, which is certain before the clip is over. The fall's take-off is the better one,
    and so is its entry where the spotter agrees; where it does not, the spotter is right.

    Args:
        aspect: width over height of the source's picture; None: as the pictures given.
        spotter: weights of the spotter.
    """

    def __init__(self, aspect: float | None = None, spotter: Path = SPOTTER_WEIGHTS) -> None:
        self._ballistic, self._spotter = BallisticDetector(aspect), SpotterDetector(spotter)
        self._apart_s = DetectorConfig().min_dive_distance_s
        self._waiting: list[DetectedDive] = []
        self._known: list[DetectedDive] = []

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        """Look at the next picture; see ``Detector.update``."""
        seen: list[DetectedDive] = []
        for fall in self._ballistic.update(picture, time_s, gap=gap):
            is_known = any(self._are_same(fall, dive) for dive in self._known)
            (seen if is_known else self._waiting).append(fall)
        for look in self._spotter.update(picture, time_s, gap=gap):
            seen += self._with_falls(look)
        late = [fall for fall in self._waiting if gap or time_s >= fall.entry_s + _WAIT_S]
        self._waiting = [fall for fall in self._waiting if fall not in late]
        return [settled for dive in (*seen, *late) if (settled := self._settle(dive)) is not None]

    def _with_falls(self, look: DetectedDive) -> list[DetectedDive]:
        """Return what the spotter says together with the falls that waited for it."""
        same = [fall for fall in self._waiting if self._are_same(look, fall)]
        self._waiting = [fall for fall in self._waiting if fall not in same]
        if not same or look.slow_motion:
            return [*same, look]
        is_off = abs(same[0].entry_s - look.entry_s) > _AGREE_S
        return [replace(same[0], entry_s=look.entry_s) if is_off else same[0]]

    def _settle(self, dive: DetectedDive) -> DetectedDive | None:
        """Return a dive with the reports that it overrules; None: it says nothing new, or is not to be believed."""
        same = tuple(other for other in self._known if self._are_same(dive, other))
        is_news = all(_overrules(dive, other) for other in same)
        if is_news:
            dive = replace(dive, instead_of=same)
        if is_news or dive.found_by != "looks":  # gravity is remembered also where a look came first
            self._known = [*[other for other in self._known if other not in same][-5:], dive]
        return dive if is_news else None

    def _are_same(self, dive: DetectedDive, other: DetectedDive) -> bool:
        """Whether two reports are of one flight."""
        if dive.slow_motion or other.slow_motion:
            return dive.takeoff_s < other.entry_s and other.takeoff_s < dive.entry_s
        return abs(dive.entry_s - other.entry_s) <= self._apart_s


def _overrules(dive: DetectedDive, other: DetectedDive) -> bool:
    """Whether a report is to be believed, and no longer an earlier one of the same flight.

    At the same pace nothing new is said. What falls by gravity is live; of two looks the surer one tells the pace.
    """
    if dive.slow_motion == other.slow_motion:
        return False
    if dive.found_by == other.found_by == "looks":
        return dive.confidence > other.confidence
    return dive.found_by != "looks"
