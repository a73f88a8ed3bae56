"""The report of a session: one HTML file with pictures that needs nothing else, online or offline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mcore.common.files import write_text
from mcore.diving import Edition, EditionYear, edition_of
from mcore_runtime.bundle.exemplar_pictures import ExemplarPictures
from mcore_runtime.meet.record import Agreement
from mcore_runtime.report.dive_section import DiveSection, comparison_of, strip_or_reason
from mcore_runtime.report.rendering import local_time, render
from mcore_runtime.scoring.result import cautions
from mcore_runtime.session.data import Event, Revision, SessionData
from mcore_runtime.session.dive import DiveStatus
from mcore_runtime.session.overview import DiveView, Overview
from mcore_runtime.session.pictures import dive_frames, exemplar_pictures

Watch = Callable[[Sequence[DiveView]], Iterable[DiveView]]
_MAX_EVENTS = 500
_WITH_SCORE = (DiveStatus.SCORED, DiveStatus.UNLIKE)
"""The report shows a score of these; that of the latter counts for nothing."""


def write_session_report(
    path: str | Path, session: Overview, watch: Watch = iter, edition: EditionYear | None = None
) -> int:
    """Write a session's report and return its size in bytes.

    Args:
        path: the file; an existing one is replaced.
        session: what is reported.
        watch: passes the dives on one by one, for a progress bar.
        edition: year of the rules, with which difficulties are said; None: that of the session.

    Raises:
        UserError: the file cannot be written.
    """
    return write_text(path, render_session(session, watch, edition))


def render_session(session: Overview, watch: Watch = iter, edition: EditionYear | None = None) -> str:
    """Return a session's report as HTML; the pictures come from the stored frames."""
    data, exemplars = session.session, exemplar_pictures(session.session)
    rules = edition_of(edition or data.edition)
    dives, scored = len(session.dives), session.count(DiveStatus.SCORED)
    began = local_time(data.started, "%d %B %Y, %H:%M")
    now = datetime.now().astimezone().strftime("%d %B %Y, %H:%M")
    times = [(dive.number, dive.time_to_score_ms) for dive in session.dives]
    return render(
        "session.html",
        title=f"{dives} dive{'' if dives == 1 else 's'}, {scored} scored",
        date=f"{data.folder.resolve().name}, begun {began}; report of {now}",
        session=session,
        figures=_figures(session),
        agreements=[_agreement_row(name, found) for name, found in session.agreements.items()],
        judged=any(dive.judges is not None for dive in session.dives),
        ranking=[(row.rank, row.athlete, row.club, row.dives, f"{row.total:.2f}") for row in session.ranking],
        named=any(dive.athlete for dive in session.dives),
        dives=(_section(data, dive, exemplars, rules) for dive in watch(session.dives)),
        times=[(number, time_ms) for number, time_ms in times if time_ms is not None],
        events=[_event_row(event) for event in data.events[-_MAX_EVENTS:]],
        earlier_events=max(0, len(data.events) - _MAX_EVENTS),
        facts=_facts(data),
        cautions=cautions(d.result for d in session.dives if d.result is not None and d.status in _WITH_SCORE),
    )


def _figures(session: Overview) -> list[tuple[str, str]]:
    """The session in a few large numbers."""
    unscored = session.count(DiveStatus.INVALID, DiveStatus.FAILED, DiveStatus.SCORING)
    figures = [(str(len(session.dives)), "dives"), (str(session.count(DiveStatus.SCORED)), "scored")]
    figures.append((str(unscored), "invalid or failed"))
    if unlike := session.count(DiveStatus.UNLIKE):
        figures.append((str(unlike), "unlike known dives"))
    if void := session.count(DiveStatus.VOID):
        figures.append((str(void), "void"))
    if times := session.time_to_score_ms:
        figures.append((_milliseconds(times["p50"]), "median time to score"))
        figures.append((_milliseconds(times["p99"]), "99th percentile"))
    return figures


def _section(data: SessionData, dive: DiveView, exemplars: ExemplarPictures | None, edition: Edition) -> DiveSection:
    """One dive, with its strip, whatever became of it."""
    result = None
    if dive.result is not None and dive.status in _WITH_SCORE:
        result = dataclasses.replace(dive.result, notes=dive.notes)
    frames = dive_frames(data, dive.dive)
    pictures, why_none = strip_or_reason(frames, () if result is None else result.transitions)
    taken = (local_time(dive.dive.created, "%H:%M:%S"), dive.dive.recording)
    height_m = None if dive.entry is None else dive.entry.height_m
    height = "" if height_m is None else f"{height_m:g} m"
    judges = dive.judges
    who = (f"dive {dive.number}" if dive.athlete else "", dive.club, dive.dive_number or "", height)
    return DiveSection(
        anchor=f"dive-{dive.number}",
        heading=dive.athlete or f"Dive {dive.number}",
        origin=" · ".join(filter(None, taken)),
        who=" · ".join(filter(None, who)),
        result=result,
        status=dive.status.value,
        true_score=None if judges is None or not judges.is_comparable else judges.points,
        judges=judges,
        pictures=pictures,
        why_no_pictures=why_none,
        comparison=() if result is None else comparison_of(result, frames, exemplars),
        reasons=dive.reasons,
        notes=dive.notes,
        history=[_history_row(revision) for revision in dive.history] if len(dive.history) > 1 else (),
        is_live=True,
        edition=edition,
    )


def _history_row(revision: Revision) -> Sequence[str]:
    """Row of an earlier result of a dive: time, dive number, outcome, bundle, processor."""
    dive, result = revision.dive, revision.dive.result
    outcome = dive.status.value
    if result is not None:
        outcome = f"{result.score:.1f}" if dive.status is DiveStatus.SCORED else f"{outcome} ({result.score:.1f})"
    return (
        local_time(revision.saved, "%d %b %H:%M:%S"),
        dive.dive_number or "unknown",
        outcome,
        "" if result is None else result.backend.bundle_sha256[:12],
        "" if result is None else result.backend.provider,
    )


def _agreement_row(name: str, found: Agreement) -> Sequence[str]:
    """Row of an event: name, dives compared, bias, mean absolute error, rank correlation, dives with a penalty."""
    bias, error, order = found.bias, found.mean_absolute_error, found.rank_correlation
    return (
        name or "–",
        str(found.dives),
        "–" if bias is None else f"{bias:+.1f}",
        "–" if error is None else f"{error:.1f}",
        "–" if order is None else f"{order:.2f}",
        str(found.left_out),
    )


def _event_row(event: Event) -> Sequence[str]:
    return local_time(event.time, "%H:%M:%S"), event.kind, event.text


def _facts(data: SessionData) -> list[tuple[str, str]]:
    """Source, bundle, backend and settings."""
    facts = dict(data.facts)
    if isinstance(settings := facts.get("settings"), Mapping):  # those that are not said elsewhere
        facts["settings"] = {key: value for key, value in settings.items() if value is not None and key not in facts}
    return [(str(key).replace("_", " "), _plain(value)) for key, value in facts.items()]


def _plain(value: Any) -> str:
    """A setting in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not given" if value is None else str(value)


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value < 9999.5 else f"{value / 1e3:.0f} s"
