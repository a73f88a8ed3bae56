"""What the live runtime knows of a dive, from its cutting to its record, and of a whole run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mcore.video import SampledClip
from mcore_runtime.live.headstart import HeadJob
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.streaming import was_begun_early

Record = dict[str, Any]
"""``LiveDive.to_json()``."""
ENTRY_FIELDS = ("order", "athlete", "club", "dive_number")
"""Fields of a record that come from its entry in the start list."""
Status = Literal["scoring", "scored", "invalid", "failed", "void"]
_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, eq=False)
class CutDive:
    """A dive that is over, before anybody has scored it."""

    found_by: str
    """What cut the clip: the detector's witness (body or camera), operator, or whole-file."""
    source: str
    """The public form of the source's address."""
    clip: SampledClip | None
    """Its frames as the network takes them; None: the stream has too few."""
    start_s: float
    """Time of the clip's first frame on the stream's clock, seconds."""
    end_s: float
    """Time of its last frame."""
    takeoff_s: float | None
    """Detected take-off; None: not detected."""
    entry_s: float | None
    """Detected entry."""
    arrived_s: float
    """``time.monotonic()`` when the last frame arrived."""
    dropped: int
    """Frames within it that nobody took in time."""
    faults: tuple[str, ...]
    """Why it must not be scored; empty: it may."""
    notes: tuple[str, ...]
    video: bytes | None
    """The dive as an MP4 file; None: none is kept."""
    video_start_s: float | None
    """Time of the video's first frame on the stream's clock."""
    head: HeadJob | None = None
    """What was begun of it before it was over; None: nothing."""


@dataclass(frozen=True)
class LiveDive:
    """One dive of a run, scored or not."""

    number: int
    """Its place in the run, from 1."""
    status: Status
    """``scoring``: not yet; ``invalid``: the stream has a gap within the clip, so that no score would be honest;
    ``failed``: the scorer could not; ``reasons`` says why. ``void``: the operator says that it was no dive."""
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
    """File with the dive's video, below the session's folder, with forward slashes."""
    recording_start_s: float | None = None
    """Time of its first frame on the stream's clock: it begins up to half a second before the clip."""
    order: int | None = None
    """Entry of the start list for which it was made; None: for none."""
    athlete: str = ""
    club: str = ""
    status_before: Status | None = None
    """What a void dive was before; None: it is not void."""

    def to_json(self) -> dict[str, Any]:
        """Return plain containers; numbers that are not finite become null."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["result"] = None if self.result is None else self.result.to_json()
        cleaned: dict[str, Any] = _finite(values)
        return cleaned


def row_of(record: Record, *, is_scoring: bool) -> Record:
    """Return what a snapshot tells of a dive.

    Args:
        record: of the dive.
        is_scoring: it is with the engine, for the first time or again.
    """
    result = record["result"] or {}
    row = {name: record[name] for name in ("number", *ENTRY_FIELDS, "time_to_score_ms", "created", "reasons")}
    return row | {
        "status": "scoring" if is_scoring and record["status"] != "void" else record["status"],
        "score": result.get("score"),
        "low": result.get("low"),
        "high": result.get("high"),
        "interval_level": result.get("interval_level"),
        "same_dive_number": result.get("same_dive_number"),
        "notes": [*record["notes"], *result.get("notes", ())],
        "has_clip": record["recording"] is not None,
    }


@dataclass(frozen=True)
class RunSummary:
    """A run in figures."""

    dives: int
    scored: int
    invalid: int
    failed: int
    void: int
    begun_early: int
    """Dives whose score was begun before their clip was over, and used."""
    time_to_score_ms: Mapping[str, float]
    """Percentiles of the dives that were scored, by name: p50, p90, p99, max."""
    frames: int
    dropped: int
    connections: int


def summarise(records: Sequence[Mapping[str, Any]], *, frames: int, dropped: int, connections: int) -> RunSummary:
    """Count a run's dives, as ``LiveDive.to_json`` describes them, and measure how long their scores took."""
    statuses = [record["status"] for record in records]
    return RunSummary(
        dives=len(records),
        scored=statuses.count("scored"),
        invalid=statuses.count("invalid"),
        failed=statuses.count("failed"),
        void=statuses.count("void"),
        begun_early=sum(was_begun_early((record["result"] or {}).get("timing_ms", ())) for record in records),
        time_to_score_ms=percentiles([record["time_to_score_ms"] for record in records]),
        frames=frames,
        dropped=dropped,
        connections=connections,
    )


def percentiles(times_ms: Sequence[float | None]) -> dict[str, float]:
    """Return p50, p90, p99 and max of the times that are known; nothing where none is."""
    known = [time for time in times_ms if time is not None]
    if not known:
        return {}
    values = np.percentile(known, _PERCENTILES).tolist()
    return {f"p{p}": value for p, value in zip(_PERCENTILES, values, strict=True)} | {"max": max(known)}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
