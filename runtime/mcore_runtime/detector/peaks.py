"""Dives from the spotter's probabilities: a take-off, a flight and an entry that physics allows.

A hurdle is no take-off, because no entry follows it. Who asks says how long a flight may last.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import takewhile

_ROUNDING_S = 1e-3


@dataclass(frozen=True)
class PeakConfig:
    """Numbers that decide.

    Chosen on random pools of the seeds 1000000 to 1000119, which nothing was learned from and no figure comes from:
    those that find most dives with at most five false alarms for 100 dives.
    """

    min_event: float = 0.4
    """Probability of a take-off, and of an entry, at least."""
    min_flight: float = 0.4
    """Mean probability of flight between them, at least."""
    max_flight_after: float = 0.3
    """Mean probability of flight in the time in which an entry settles, at most: nobody flies on in the water."""
    min_together: float = 0.6
    """Geometric mean of the three, at least."""
    settle_s: float = 0.45
    """An entry is the highest probability within this time before and after it."""


@dataclass(frozen=True)
class SpottedFlight:
    """A take-off and the entry that follows it."""

    takeoff_s: float
    entry_s: float
    confidence: float
    """0 to 1: geometric mean of the probabilities of take-off, entry and flight."""


@dataclass(frozen=True)
class _Sample:
    time_s: float
    takeoff: float
    entry: float
    flight: float


class FlightPeaks:
    """Finds flights in probabilities that come one picture after the other.

    Args:
        limits_s: a flight lasts so long at least, and so long at most.
        config: the numbers that it decides by.
    """

    def __init__(self, limits_s: tuple[float, float], config: PeakConfig | None = None) -> None:
        self._shortest_s, self._longest_s = limits_s
        self._config = config or PeakConfig()
        self._samples: deque[_Sample] = deque()
        self._judged_s = self._entry_s = -math.inf

    def add(self, time_s: float, takeoff: float, entry: float, flight: float) -> SpottedFlight | None:
        """Take the probabilities of one picture; return a flight whose entry has become certain.

        Args:
            time_s: of the picture, later than the one before.
            takeoff: probability that the feet leave the board there.
            entry: probability that the water is touched there.
            flight: probability that it shows a flight.
        """
        config = self._config
        samples = self._samples
        samples.append(_Sample(time_s, takeoff, entry, flight))
        while samples[0].time_s < time_s - self._longest_s - 2 * config.settle_s:
            samples.popleft()
        known_s = time_s - config.settle_s + _ROUNDING_S
        due = [s for s in samples if self._judged_s < s.time_s <= known_s]
        self._judged_s = known_s
        # Entries are at least as far apart as they settle, so that at most one is among those due.
        for sample in due:
            found = self._flight_to(sample) if self._is_entry(sample) else None
            if found is not None and found.takeoff_s > self._entry_s:  # nobody leaves the board before the last entry
                self._entry_s = found.entry_s
                return found
        return None

    def _is_entry(self, sample: _Sample) -> bool:
        """Whether a sample has the highest probability of an entry around it."""
        near_s = self._config.settle_s + _ROUNDING_S
        around = [s.entry for s in self._samples if abs(s.time_s - sample.time_s) <= near_s]
        return sample.entry >= max(self._config.min_event, *around)

    def _flight_to(self, entry: _Sample) -> SpottedFlight | None:
        """Find the take-off of an entry: the one with which take-off, flight and entry are likeliest together."""
        config = self._config
        after = [s.flight for s in self._samples if s.time_s > entry.time_s]
        if sum(after) > config.max_flight_after * len(after):
            return None
        before = [s for s in self._samples if s.time_s < entry.time_s]
        best: SpottedFlight | None = None
        flights = 0.0
        for count, sample in enumerate(reversed(before), start=1):
            flights += sample.flight
            seconds, mean = entry.time_s - sample.time_s, flights / count
            if sample.entry > entry.entry and seconds > config.settle_s:
                break  # that was another dive
            if not self._shortest_s <= seconds <= self._longest_s or sample.takeoff < config.min_event:
                continue
            together = float((sample.takeoff * entry.entry * mean) ** (1 / 3))
            if mean < config.min_flight or together < config.min_together:
                continue
            if best is None or together > best.confidence:
                best = SpottedFlight(self._middle(sample, "takeoff"), self._middle(entry, "entry"), together)
        return best

    def _middle(self, peak: _Sample, name: str) -> float:
        """Time of an event: the mean of all samples around its peak that are at least half as likely, by probability.

        The network may hesitate: while a diver rides the board, each picture may look like the take-off.
        """

        def likelihood(sample: _Sample) -> float:
            return float(getattr(sample, name))

        def is_near(sample: _Sample) -> bool:
            return likelihood(sample) >= likelihood(peak) / 2

        samples = list(self._samples)
        at = samples.index(peak)
        near = [*takewhile(is_near, reversed(samples[:at])), *takewhile(is_near, samples[at:])]
        return sum(likelihood(s) * s.time_s for s in near) / sum(likelihood(s) for s in near)

    def reset(self) -> None:
        """Forget everything."""
        self._samples.clear()
        self._judged_s = self._entry_s = -math.inf
