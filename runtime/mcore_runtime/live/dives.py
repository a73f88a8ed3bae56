"""What the live runtime reports of a dive, and of a whole run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mcore_runtime.result import DiveScore

Status = Literal["scored", "invalid", "failed"]
_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class LiveDive:
    """One dive of a run, scored or not."""

    number: int
    """Its place in the run, from 1."""
    status: Status
    """``invalid``: the stream has a gap within the clip, so that no score would be honest; ``failed``: the scorer
    could not; ``reasons`` says why."""
    dive_number: str | None
    """As it was announced; None: unknown."""
    found_by: str
    """What cut the clip: the detector's witness (body or camera), operator, or whole-file."""
    created: str
    """When the result came to be, ISO 8601, UTC."""
    source: str
    """The public form of the source's address."""
    start_s: float
    """Time of the clip's first frame on the stream's clock, seconds."""
    end_s: float
    """Time of the clip's last frame."""
    takeoff_s: float | None
    """Detected take-off on the stream's clock; None: not detected."""
    entry_s: float | None
    """Detected entry."""
    time_to_score_ms: float | None
    """From the arrival of the clip's last frame to the score; None where there is no score."""
    dropped: int
    """Frames of the clip that nobody took in time."""
    result: DiveScore | None = None
    reasons: tuple[str, ...] = ()
    """Why it has no score; empty where it has one."""
    notes: tuple[str, ...] = ()
    """What else should be known of it."""
    recording: str | None = None
    """File with the dive's video."""

    def to_json(self) -> dict[str, Any]:
        """Return plain containers; numbers that are not finite become null."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["result"] = None if self.result is None else self.result.to_json()
        cleaned: dict[str, Any] = _finite(values)
        return cleaned


@dataclass(frozen=True)
class RunSummary:
    """A run in figures."""

    dives: int
    scored: int
    invalid: int
    failed: int
    time_to_score_ms: Mapping[str, float]
    """Percentiles of the dives that were scored, by name: p50, p90, p99, max."""
    frames: int
    dropped: int
    connections: int


def summarise(dives: Sequence[LiveDive], *, frames: int, dropped: int, connections: int) -> RunSummary:
    """Count a run's dives and measure how long their scores took."""
    times = [dive.time_to_score_ms for dive in dives if dive.time_to_score_ms is not None]
    percentiles = {}
    if times:
        values = np.percentile(times, _PERCENTILES).tolist()
        percentiles = {f"p{p}": value for p, value in zip(_PERCENTILES, values, strict=True)} | {"max": max(times)}
    count = {status: sum(dive.status == status for dive in dives) for status in ("scored", "invalid", "failed")}
    return RunSummary(len(dives), **count, time_to_score_ms=percentiles, frames=frames, dropped=dropped,
                      connections=connections)  # fmt: skip


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
