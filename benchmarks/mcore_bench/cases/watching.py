"""A detector that watches pictures, and its dives beside the true ones."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.detector import DetectedDive, Detector

MATCH_S = 0.5
"""A detection belongs to a dive when their entries are this close, seconds."""


class Dive(Protocol):
    """Ground truth of a dive."""

    @property
    def entry_s(self) -> float:
        """Time at which the diver touches the water, seconds."""
        ...


True_ = TypeVar("True_", bound=Dive)


@dataclass(frozen=True)
class Watched:
    """Result of watching a film."""

    seen: tuple[tuple[DetectedDive, float], ...]
    """Each dive, and the time of the picture at which the detector was certain of it."""
    cpu_ms: float
    """Mean processor time of the detector for a picture."""

    @property
    def dives(self) -> list[DetectedDive]:
        """All dives, in the order in which they were found."""
        return [dive for dive, _ in self.seen]

    def certain_s(self, dive: DetectedDive) -> float:
        """Time of the picture at which a dive was found."""
        return next(time_s for other, time_s in self.seen if other is dive)


def watch(pictures: Iterable[tuple[NDArray[np.uint8], float]], detector: Detector) -> Watched:
    """Show pictures to a detector.

    Args:
        pictures: (h, w, 3) uint8 of the networks' size, each with its time in seconds.
        detector: a fresh one.
    """
    seen: list[tuple[DetectedDive, float]] = []
    cpu_s, count = 0.0, 0
    for picture, time_s in pictures:
        began_s = time.thread_time()
        dives = detector.update(picture, time_s)
        cpu_s += time.thread_time() - began_s
        count += 1
        seen += [(dive, time_s) for dive in dives]
    return Watched(tuple(seen), cpu_s / max(1, count) * 1e3)


def match(
    truth: Sequence[True_], detected: Sequence[DetectedDive]
) -> tuple[list[tuple[True_, DetectedDive]], list[DetectedDive]]:
    """Give each dive the detection whose entry is closest to its own; what is left are false alarms."""
    left = list(detected)
    pairs = []
    for true in truth:
        near = [dive for dive in left if abs(dive.entry_s - true.entry_s) <= MATCH_S]
        if near:
            best = min(near, key=lambda dive: abs(dive.entry_s - true.entry_s))
            left.remove(best)
            pairs.append((true, best))
    return pairs, left
