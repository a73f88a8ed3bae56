"""Interface of detectors: pictures in, dives out. A learned one can take the place of the one that is here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mcore.diving.physics import HIGHEST_BOARD_M, LONGEST_FLIGHT_S

BEFORE_TAKEOFF_S = 1.2
"""A clip begins this long before take-off, as FineDiving's clips do."""
AFTER_ENTRY_S = 1.5
"""And ends this long after the entry."""
USUAL_FLIGHT_S = 1.2
"""Nine of ten of FineDiving's flights last longer; one from 1 m may not, and its clip begins a little sooner then."""
MIN_BEFORE_S, MIN_AFTER_S = 0.5, 0.6
"""A recording may begin this little before a take-off, and end this little after an entry: FineDiving's clips do."""

FoundBy = Literal["body", "camera", "looks"]
"""The ways in which a dive is found."""
FINDERS: Mapping[FoundBy, str] = {"body": "motion", "camera": "camera-tracking", "looks": "spotter"}
"""The same in the words of results and sessions."""


@dataclass(frozen=True)
class DetectedDive:
    """A dive that a detector saw."""

    takeoff_s: float
    """Time when the feet left the board, seconds on the stream's clock."""
    entry_s: float
    """Time when the diver touched the water, seconds on the stream's clock."""
    confidence: float
    """0 to 1; how far above the detector's own threshold, not a probability."""
    found_by: FoundBy
    """``body``: found by motion before a still camera. ``camera``: found by camera tracking, from the fall of the
    camera that follows the diver. ``looks``: found by the learned spotter."""
    slow_motion: bool = False
    """Whether the flight lasts longer than any fall: a replay, which is named and not scored."""
    instead_of: tuple[DetectedDive, ...] = ()
    """Earlier reports of the same flight, which were mistaken: most often slow motion that was taken for live."""

    @property
    def latest_takeoff_s(self) -> float:
        """The take-off, or an earlier time where the flight that was found is too short to be all of it.

        The spotter finds entries well, but where the camera follows closely, a take-off more than a second too late.
        """
        return min(self.takeoff_s, self.entry_s - USUAL_FLIGHT_S)

    @property
    def window_s(self) -> tuple[float, float]:
        """Begin and end of the dive's clip, seconds on the stream's clock."""
        return self.latest_takeoff_s - BEFORE_TAKEOFF_S, self.entry_s + AFTER_ENTRY_S

    @property
    def flight_s(self) -> float:
        """Duration of the flight, seconds."""
        return self.entry_s - self.takeoff_s

    def describe_slow_motion(self) -> str:
        """Say where slow motion was seen, and how it was told: a sentence without its end."""
        return (
            f"slow motion: a flight of {self.flight_s:.1f} s, from {self.takeoff_s:.1f} to {self.entry_s:.1f} s; from "
            f"{HIGHEST_BOARD_M:g} m it lasts {LONGEST_FLIGHT_S:.1f} s at most"
        )


STAYS_S = 5.0
"""At the end of a film its last picture is shown for this much longer, seconds: an entry is certain only once it is
seen what follows, which at a quarter of the pace takes 3.5 s."""


def stay(last_s: float, period_s: float) -> Iterator[float]:
    """Return the times at which a film's last picture is shown again, so that a detector says what it still knows.

    Args:
        last_s: when it was taken, seconds.
        period_s: time between two pictures, seconds.
    """
    return (last_s + step * period_s for step in range(1, int(STAYS_S / max(period_s, 1e-3)) + 1))


class Detector(Protocol):
    """Finds dives in a continuous stream."""

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        """Look at the next picture.

        Args:
            picture: (h, w, 3) uint8, reduced; always of the same size.
            time_s: when it was taken, seconds; later than the one before.
            gap: whether pictures are missing before it.

        Returns:
            Dives that have become certain, usually none: live ones within a second of their entry, slow motion within
            four. A flight comes once, or again where it turns out to be slow motion: see ``DetectedDive.instead_of``.
        """
        ...
