"""A run in figures: how many dives it had, what became of them, and how long people waited for their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcore_runtime.session.dive import DiveStatus, LiveDive

_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class RunSummary:
    """A run in figures."""

    dives: int
    scored: int
    invalid: int
    failed: int
    void: int
    head_starts: int
    """Dives that were scored with a head start."""
    time_to_score_ms: Mapping[str, float]
    """Percentiles of the dives that were scored, by name: p50, p90, p99, max."""
    frames: int
    dropped: int
    connections: int
    unlike: int = 0
    """Dives whose scores do not count: they are unlike the dives that the bundle knows."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is wrong with the run as a whole; none where it went as it should."""
        lost = f"most frames were lost ({self.dropped} of {self.frames})" if self.dropped * 2 > self.frames else ""
        none = "no dive was found" if not self.dives else ""
        return tuple(doubt for doubt in (lost, none) if doubt)


def summarise(dives: Sequence[LiveDive], *, frames: int, dropped: int, connections: int) -> RunSummary:
    """Count a run's dives, and measure how long their scores took."""
    statuses = [dive.status for dive in dives]
    return RunSummary(
        dives=len(dives),
        scored=statuses.count(DiveStatus.SCORED),
        invalid=statuses.count(DiveStatus.INVALID),
        failed=statuses.count(DiveStatus.FAILED),
        void=statuses.count(DiveStatus.VOID),
        unlike=statuses.count(DiveStatus.UNLIKE),
        head_starts=sum(dive.had_head_start for dive in dives),
        time_to_score_ms=percentiles(dive.time_to_score_ms for dive in dives),
        frames=frames,
        dropped=dropped,
        connections=connections,
    )


def percentiles(times_ms: Iterable[float | None]) -> dict[str, float]:
    """Return p50, p90, p99 and max of the times that are known; nothing where none is."""
    known = [time for time in times_ms if time is not None]
    if not known:
        return {}
    values = np.percentile(known, _PERCENTILES).tolist()
    return {f"p{p}": value for p, value in zip(_PERCENTILES, values, strict=True)} | {"max": max(known)}
