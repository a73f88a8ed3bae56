"""A detector that sees dives when it is told to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.detector import DetectedDive


class At:
    """Sees dives at given times of the stream: take-off and entry, seconds."""

    def __init__(self, *dives: tuple[float, float], slow_motion: bool = False) -> None:
        self._left = [DetectedDive(takeoff_s, entry_s, 1.0, "body", slow_motion) for takeoff_s, entry_s in dives]

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        """What it has seen by now."""
        seen = [dive for dive in self._left if dive.entry_s + 0.3 <= time_s]
        self._left = [dive for dive in self._left if dive not in seen]
        return seen

    def reset(self) -> None:
        """Nobody should."""
        raise AssertionError("nobody resets it")
