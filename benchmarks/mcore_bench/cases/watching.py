"""A detector that watches pictures, and its dives beside the true ones."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mcore.diving.physics import LONGEST_FLIGHT_S
from mcore_runtime.detector import DetectedDive, Detector

MATCH_S = 0.5
"""A detection belongs to a dive when their entries are this close, seconds of the diver's own time."""


class Dive(Protocol):
    """Ground truth of a dive: when the diver leaves the board and touches the water, seconds."""

    @property
    def takeoff_s(self) -> float: ...  # noqa: D102
    @property
    def entry_s(self) -> float: ...  # noqa: D102


True_ = TypeVar("True_", bound=Dive)
Pairs = list[tuple[True_, DetectedDive]]


@dataclass(frozen=True)
class Watched:
    """Result of watching a film."""

    seen: tuple[tuple[DetectedDive, float], ...]
    """Each dive that the detector still believes, and the time of the picture at which it was certain of it."""
    cpu_ms: float
    """Mean processor time of the detector for a picture."""

    def match(self, truth: Sequence[True_], *, slow_motion: bool = False) -> tuple[Pairs[True_], list[DetectedDive]]:
        """Pair true dives with those that the detector found in real time, or in slow motion; see ``match``."""
        return match(truth, [dive for dive, _ in self.seen if dive.slow_motion is slow_motion])

    def certain_s(self, dive: DetectedDive) -> float:
        """Time of the picture at which a dive was found."""
        return next(time_s for other, time_s in self.seen if other is dive)


def watch(pictures: Iterable[tuple[NDArray[np.uint8], float]], detector: Detector) -> Watched:
    """Show pictures (h, w, 3) uint8 of the networks' size, each with its time in seconds, to a fresh detector."""
    seen: list[tuple[DetectedDive, float]] = []
    cpu_s, count = 0.0, 0
    for picture, time_s in pictures:
        began_s = time.thread_time()
        dives = detector.update(picture, time_s)
        cpu_s += time.thread_time() - began_s
        count += 1
        seen += [(dive, time_s) for dive in dives]
    mistaken = {other for dive, _ in seen for other in dive.instead_of}
    return Watched(tuple(pair for pair in seen if pair[0] not in mistaken), cpu_s / max(1, count) * 1e3)


def match(truth: Sequence[True_], detected: Sequence[DetectedDive]) -> tuple[Pairs[True_], list[DetectedDive]]:
    """Give each dive the detection whose entry is closest to its own; what is left are false alarms.

    A flight that lasts longer than any fall is slow motion: its entry may be off by as much longer.
    """
    left = list(detected)
    pairs = []
    for true in truth:
        close_s = MATCH_S * max(1.0, (true.entry_s - true.takeoff_s) / LONGEST_FLIGHT_S)
        near = [dive for dive in left if abs(dive.entry_s - true.entry_s) <= close_s]
        if near:
            best = min(near, key=lambda dive: abs(dive.entry_s - true.entry_s))
            left.remove(best)
            pairs.append((true, best))
    return pairs, left
