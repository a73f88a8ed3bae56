"""A detector that sees dives when it is told to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.detector import DetectedDive


class At:
    """Sees dives at given times of the stream: take-off and entry, seconds; or what is given as a whole."""

    def __init__(self, *dives: tuple[float, float] | DetectedDive, slow_motion: bool = False) -> None:
        self._left = [
            dive if isinstance(dive, DetectedDive) else DetectedDive(*dive, 1.0, "body", slow_motion) for dive in dives
        ]

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        """What it has seen by now."""
        seen = [dive for dive in self._left if dive.entry_s + 0.3 <= time_s]
        self._left = [dive for dive in self._left if dive not in seen]
        return seen
