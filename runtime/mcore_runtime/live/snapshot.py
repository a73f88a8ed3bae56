"""The snapshot of a session as plain JSON: all that page and metrics show; keys: docs/reference/http-api.md."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mcore_runtime.live.session_state import SessionState
from mcore_runtime.meet.follow import open_questions
from mcore_runtime.meet.record import agreement
from mcore_runtime.session.dive import ENTRY_FIELDS, DiveStatus, LiveDive, shown_status
from mcore_runtime.session.summary import percentiles
from mcore_runtime.sources import SourceStatus

MACHINE = ("memory_mb", "disk_free_mb", "cpu_percent", "temperature_c", "power_w", "power_source")
"""Figures that ``mcore_runtime.health`` reads; None: the machine does not say."""
_FRESH_S = 2.0


def state_part(state: SessionState) -> dict[str, Any]:
    """Return the parts that come from dives and competition."""
    current = state.competition.current_entry
    return {
        "current": msgspec.to_builtins(current),
        "default_dive_number": state.default_dive_number,
        "start_list": list(msgspec.to_builtins(state.competition.entries)),
        "dives": [
            _dive_row(dive, is_scoring=number in state.with_scorer) for number, dive in sorted(state.dives.items())
        ],
        "ranking": msgspec.to_builtins(state.competition.ranking(state.scores)),
        "meet": _meet_part(state),
    }


def _dive_row(dive: LiveDive, *, is_scoring: bool) -> dict[str, Any]:
    """``is_scoring``: it is with the scorer, for the first time or again."""
    result = None if dive.hides_score else dive.result
    is_busy = is_scoring and dive.status is not DiveStatus.VOID
    status = DiveStatus.SCORING.value if is_busy else shown_status(dive)
    return {
        "number": dive.number,
        "status": status,
        **{name: getattr(dive, name) for name in ENTRY_FIELDS},
        "time_to_score_ms": dive.time_to_score_ms,
        "created": dive.created,
        "reasons": [] if dive.hides_score else list(dive.reasons),
        "held": dive.hides_score,
        "judges": None if dive.judges is None else dive.judges.to_json(),
        "score": None if result is None else result.score,
        "low": None if result is None else result.low,
        "high": None if result is None else result.high,
        "interval_level": None if result is None else result.interval_level,
        "award": None if result is None or result.award is None else result.award.to_json(),
        "caution": None if result is None else result.caution,
        "looks_like": None if result is None else result.looks_like,
        "same_dive_number": None if result is None else result.same_dive_number,
        "notes": [*dive.shown_notes, *(() if result is None else result.notes)],
        "has_clip": dive.recording is not None,
    }


def _meet_part(state: SessionState) -> dict[str, Any] | None:
    """What the meet's software has said; None: nobody listens to one."""
    meet = state.meet
    if meet is None:
        return None
    current = meet.current
    compared = [
        (dive.score, dive.judges)
        for dive in state.dives.values()
        if dive.score is not None and not dive.held
        if dive.judges is not None and dive.judges.event_name == meet.event_name
    ]
    return {
        "event_name": meet.event_name,
        "title": meet.meet_title,
        "rounds": meet.rounds,
        "divers": meet.divers,
        "is_over": meet.is_over,
        "leads": meet.leads,
        "sender": meet.sender,
        "other_senders": list(meet.others),
        "announced": None if current is None else current.to_json(),
        "open_questions": open_questions(meet, state.competition),
        "agreement": msgspec.to_builtins(agreement(compared)),
        "hold_back": state.hold_back,
    }


def source_part(status: SourceStatus) -> dict[str, Any]:
    """Return the part that says how the stream is."""
    plain: dict[str, Any] = msgspec.to_builtins(status)
    return plain | {"size": None if status.size is None else list(status.size)}


class Health:
    """State of the machine; asked at most every two seconds, however many pages ask.

    Args:
        folder: whose disk counts; None: the current one.
        read: asks the machine; None: nobody does.
    """

    def __init__(self, folder: Path | None, read: Callable[[Path], Mapping[str, Any]] | None) -> None:
        self._folder, self._read = folder or Path(), read
        self._lock = threading.Lock()
        self._machine: Mapping[str, Any] = dict.fromkeys(MACHINE)
        self._read_s = float("-inf")

    def read(self, dives: Iterable[LiveDive], queue: int) -> dict[str, Any]:
        """Return the snapshot's ``health``.

        Args:
            dives: all of them.
            queue: clips that wait for the scorer.
        """
        return {
            "time_to_score_ms": percentiles(dive.time_to_score_ms for dive in dives),
            "queue": queue,
            **self._fresh(),
        }

    def _fresh(self) -> Mapping[str, Any]:
        if self._read is not None and time.monotonic() - self._read_s > _FRESH_S and self._lock.acquire(blocking=False):
            try:
                self._machine = {name: self._machine[name] for name in MACHINE} | dict(self._read(self._folder))
                self._read_s = time.monotonic()
            finally:
                self._lock.release()
        return self._machine
