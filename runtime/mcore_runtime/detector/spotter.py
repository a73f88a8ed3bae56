"""The learned detector of dives: a small network that was trained on drawn clips, and physics that checks it."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore.video.spotting import (
    COLUMNS,
    LOOKS_BACK,
    ROWS,
    SPOTTER_DELAY,
    MotionOfPicture,
    Pace,
    profile,
    scaled_shift,
    shrink,
)
from mcore_runtime.detector.base import DetectedDive
from mcore_runtime.detector.network import SpotterNetwork
from mcore_runtime.detector.peaks import FlightPeaks, PeakConfig

WEIGHTS = Path(__file__).with_name("spotter.npz")
"""Trained on clips of the renderer's version 1: python -m mcore.train_spotter, with its own defaults."""


class SpotterDetector:
    """Finds dives by what they look like.

    Args:
        weights: of the network.
        config: what makes a dive of its probabilities.
    """

    def __init__(self, weights: Path = WEIGHTS, config: PeakConfig | None = None) -> None:
        self._network = SpotterNetwork(weights)
        self._peaks = FlightPeaks(config)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._network.reset()
        self._peaks.reset()
        self._pace, self._motion = Pace(), MotionOfPicture()
        self._pictures: list[NDArray[np.uint8]] = []
        self._shifts: list[tuple[int, int]] = []
        self._times: deque[float] = deque(maxlen=SPOTTER_DELAY + 1)

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        """Look at the next picture; see ``Detector.update``."""
        if gap:
            self.reset()
        if not self._pace.takes(time_s):
            return []
        small = _small(picture)
        kept = max(LOOKS_BACK)
        self._pictures = [*self._pictures[-kept:], small]
        self._shifts = [*self._shifts[-kept:], self._motion.update(small)]
        self._times.append(time_s)
        heights = profile(self._pictures, self._shifts)
        takeoff, entry, flight = self._network(heights, scaled_shift(self._shifts[-1])).tolist()
        if len(self._times) <= SPOTTER_DELAY:
            return []
        found = self._peaks.add(self._times[0], takeoff, entry, flight)
        if found is None:
            return []
        return [DetectedDive(found.takeoff_s, found.entry_s, found.confidence, "looks", found.slow_motion)]


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if picture.shape[:2] != (2 * ROWS, 2 * COLUMNS):
        picture = np.asarray(Image.fromarray(picture).resize((2 * COLUMNS, 2 * ROWS), Image.Resampling.BILINEAR))
    return shrink(picture)
