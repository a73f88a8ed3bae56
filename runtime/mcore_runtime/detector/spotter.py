"""The learned detector of dives: a small network that was trained on drawn clips, and physics that checks it."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore.diving.physics import LONGEST_FLIGHT_S, SHORTEST_FLIGHT_S
from mcore.video.spotting import (
    COLUMNS,
    LOOKS_BACK,
    ROWS,
    SPOTTER_DELAY,
    SPOTTER_WEIGHTS,
    MotionOfPicture,
    Pace,
    changes,
    scaled_shift,
    shrink,
)
from mcore_runtime.detector.base import USUAL_FLIGHT_S, DetectedDive
from mcore_runtime.detector.network import SpotterNetwork
from mcore_runtime.detector.peaks import FlightPeaks, PeakConfig

SLOWER = (2, 4)
"""The spotter also looks at the stream as if it ran this many times as fast: there slow motion looks like a dive."""
_SLACK_S = 0.15
"""Errors of both ends, added to the longest flight. Of flights shorter than the shortest, most are false alarms."""
_SHORTEST_SLOW_S = 3.5
"""A hurdle and the dive that follows it may look like one flight of up to 3.4 s: what lasts longer is slow motion."""


class SpotterDetector:
    """Finds dives by what they look like.

    Args:
        weights: of the network.
        config: what makes a dive of its probabilities.
    """

    def __init__(self, weights: Path = SPOTTER_WEIGHTS, config: PeakConfig | None = None) -> None:
        self._watches = [_Watch(weights, config or PeakConfig(), pace) for pace in (1, *SLOWER)]
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._pace, self._count = Pace(), 0
        for watch in self._watches:
            watch.reset()

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        """Look at the next picture; see ``Detector.update``."""
        if gap:
            self.reset()
        if not self._pace.takes(time_s):
            return []
        small = _small(picture)
        due = [watch for watch in self._watches if self._count % watch.slower == 0]
        self._count += 1
        return [found for watch in due if (found := watch.update(small, time_s)) is not None]


class _Watch:
    """One look at a stream, in its own time or faster.

    Args:
        weights: of the network.
        config: what makes a dive of its probabilities.
        slower: how many times slower than life the video may be; 1: a live dive is looked for, more: only slow motion.
    """

    def __init__(self, weights: Path, config: PeakConfig, slower: int) -> None:
        self._network, self._peaks, self.slower = (
            SpotterNetwork(weights),
            FlightPeaks(_limits_s(slower), config),
            slower,
        )
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._network.reset()
        self._peaks.reset()
        self._motion = MotionOfPicture()
        self._pictures: list[NDArray[np.uint8]] = []
        self._shifts: list[tuple[int, int]] = []
        self._times: deque[float] = deque(maxlen=SPOTTER_DELAY + 1)

    def update(self, small: NDArray[np.uint8], time_s: float) -> DetectedDive | None:
        """Look at a picture, (ROWS, COLUMNS) uint8, and say what has become certain."""
        kept = max(LOOKS_BACK)
        self._pictures = [*self._pictures[-kept:], small]
        self._shifts = [*self._shifts[-kept:], self._motion.update(small)]
        self._times.append(time_s)
        changed = changes(self._pictures, self._shifts)
        takeoff, entry, flight = self._network(changed, scaled_shift(self._shifts[-1])).tolist()
        if len(self._times) <= SPOTTER_DELAY:
            return None
        found = self._peaks.add(self._times[0] / self.slower, takeoff, entry, flight)
        if found is None:
            return None
        takeoff_s, entry_s = found.takeoff_s * self.slower, found.entry_s * self.slower
        return DetectedDive(takeoff_s, entry_s, found.confidence, "looks", slow_motion=self.slower > 1)


def _limits_s(slower: int) -> tuple[float, float]:
    """Return how long a flight lasts at least and at most, seconds of a watch's own time."""
    if slower == 1:
        return SHORTEST_FLIGHT_S, LONGEST_FLIGHT_S + _SLACK_S
    # What is twice as slow as a watch is seen by the next one.
    return max(_SHORTEST_SLOW_S / slower, USUAL_FLIGHT_S), 2 * LONGEST_FLIGHT_S


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if picture.shape[:2] != (2 * ROWS, 2 * COLUMNS):
        picture = np.asarray(Image.fromarray(picture).resize((2 * COLUMNS, 2 * ROWS), Image.Resampling.BILINEAR))
    return shrink(picture)
