"""Session as a table for spreadsheets (CSV) and as one document for programs (JSON)."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from mcore.common.files import write_text
from mcore.config import STAGES
from mcore_runtime.session.overview import DiveView, Overview

JSON_FORMAT = "mcore-session"
JSON_VERSION = 1
_SHARES = tuple(f"{stage.replace('-', '')}_share" for stage in STAGES)
COLUMNS = (
    *("dive", "status", "order", "round", "athlete", "club", "dive_number", "height_m", "difficulty", "score"),
    *(
        "low",
        "high",
        "interval_level",
        "award",
        "award_low",
        "award_high",
        "caution",
        "same_dive_number",
        "flight_s",
        "entry_s",
        *_SHARES,
        "closest_exemplar",
    ),
    *("closest_exemplar_score", "time_to_score_ms", "created", "found_by", "start_s", "end_s", "results", "reasons"),
    *("notes", "recording", "bundle_sha256", "backend", "provider", "precision"),
    *("judges_points", "network_less_judges", "judges_awards", "penalty", "judges_total", "judges_rank", "event"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text that begins so for a formula, and runs it."""
_MARK = "\ufeff"
"""Without it Excel reads the names of athletes as if they were not UTF-8."""


def write_csv(path: str | Path, session: Overview) -> int:
    """Write one line for each dive and return the size in bytes.

    Columns are ``COLUMNS``: points, seconds and milliseconds as in ``LiveDive``; ``results`` counts what the dive had
    so far; several reasons or notes are separated by semicolons. Unknown values are empty. A text that a spreadsheet
    would run as a formula is preceded by an apostrophe.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for dive in session.dives:
        row = _row(dive)
        table.writerow([_cell(row[column]) for column in COLUMNS])
    return write_text(path, _MARK + text.getvalue())


def write_json(path: str | Path, session: Overview) -> int:
    """Write ``session_document`` to a file and return its size in bytes.

    Raises:
        UserError: the file cannot be written.
    """
    return write_text(path, json.dumps(session_document(session), indent=2, allow_nan=False) + "\n")


def session_document(session: Overview) -> dict[str, Any]:
    """Return all that is known of a session.

    Keys: ``format``, ``format_version``, ``created`` (of the document, ISO 8601, UTC), ``started``, ``facts`` (source,
    bundle, backend, settings), ``ranking`` (``rank``, ``athlete``, ``club``, ``total``, ``dives``),
    ``time_to_score_ms`` (percentiles), ``agreement`` (of network and judges, by event), ``dives`` by number
    (``LiveDive.to_json``, with ``history``: ``revision``, ``saved``, ``status``, ``dive_number``, ``score`` of each
    result it had, oldest first), ``state`` (what the run saved, its start list under ``competition``) and ``events``.
    Version 1 only ever gains keys.
    """
    data = session.session
    return {
        "format": JSON_FORMAT,
        "format_version": JSON_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "started": data.started,
        "facts": dict(data.facts),
        "ranking": msgspec.to_builtins(session.ranking),
        "time_to_score_ms": dict(session.time_to_score_ms),
        "agreement": msgspec.to_builtins(session.agreements),
        "dives": [{**dive.dive.to_json(), "history": _history(dive)} for dive in session.dives],
        "state": dict(data.state),
        "events": [{"time": event.time, "kind": event.kind, "text": event.text} for event in data.events],
    }


def _history(dive: DiveView) -> list[dict[str, Any]]:
    return [
        {
            "revision": revision.revision,
            "saved": revision.saved,
            "status": revision.dive.status.value,
            "dive_number": revision.dive.dive_number,
            "score": None if revision.dive.result is None else revision.dive.result.score,
        }
        for revision in dive.history
    ]


def _row(dive: DiveView) -> dict[str, Any]:
    record, entry, result = dive.dive, dive.entry, dive.result
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {
        "dive": dive.number,
        "status": dive.status.value,
        "order": record.order if entry is None else entry.order,
        "round": None if entry is None else entry.round,
        "athlete": dive.athlete,
        "club": dive.club,
        "dive_number": dive.dive_number,
        "height_m": None if entry is None else entry.height_m,
        "difficulty": dive.difficulty,
        "results": len(dive.history),
        "time_to_score_ms": dive.time_to_score_ms,
        "created": record.created,
        "found_by": record.found_by.value,
        "start_s": record.start_s,
        "end_s": record.end_s,
        "recording": record.recording,
        "reasons": "; ".join(dive.reasons),
        "notes": "; ".join(dive.notes),
    }
    if (judges := dive.judges) is not None:
        row.update(
            judges_points=judges.points,
            network_less_judges=dive.network_less_judges,
            judges_awards=judges.awards_text,
            penalty=None if judges.penalty is None else judges.penalty.value,
            judges_total=judges.total,
            judges_rank=judges.rank,
            event=judges.event_name,
        )
    if result is None:
        return row
    closest = result.exemplars[0]
    row.update(
        score=result.score,
        low=result.low,
        high=result.high,
        interval_level=result.interval_level,
        caution=result.caution,
        same_dive_number=result.same_dive_number,
        flight_s=result.transitions_s[0],
        entry_s=result.transitions_s[1],
        closest_exemplar=closest.name,
        closest_exemplar_score=closest.score,
        bundle_sha256=result.backend.bundle_sha256,
        backend=result.backend.name,
        provider=result.backend.provider,
        precision=result.backend.precision,
    )
    if (award := result.award) is not None:
        row.update(award=award.value, award_low=award.low, award_high=award.high)
    row.update(zip(_SHARES, result.stage_shares.values(), strict=True))
    return row


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return repr(value) if isinstance(value, float) else str(value)
