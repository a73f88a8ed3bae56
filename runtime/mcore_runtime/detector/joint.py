"""Both detectors together: a dive is what either of them is certain of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.detector.ballistic import BallisticDetector
from mcore_runtime.detector.base import DetectedDive
from mcore_runtime.detector.config import DetectorConfig
from mcore_runtime.detector.spotter import SpotterDetector


class JointDetector:
    """Finds dives by their free fall, and by what they look like.

    Args:
        aspect: width over height of the source's picture; None: as the pictures given.
    """

    def __init__(self, aspect: float | None = None) -> None:
        self._ballistic, self._spotter = BallisticDetector(aspect), SpotterDetector()
        self._apart_s = DetectorConfig().min_dive_distance_s
        self._known: list[DetectedDive] = []

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        """Look at the next picture; see ``Detector.update``."""
        seen = [*self._ballistic.update(picture, time_s, gap=gap), *self._spotter.update(picture, time_s, gap=gap)]
        return [dive for dive in seen if self._is_new(dive)]

    def reset(self) -> None:
        """Forget everything."""
        self._ballistic.reset()
        self._spotter.reset()
        self._known = []

    def _is_new(self, dive: DetectedDive) -> bool:
        """Whether neither detector has reported this dive, which both may see; slow motion never hides a live dive."""
        known = [other for other in self._known if dive.slow_motion or not other.slow_motion]
        new = all(abs(dive.entry_s - other.entry_s) > self._apart_s for other in known)
        if new:
            self._known = [*self._known[-5:], dive]
        return new
