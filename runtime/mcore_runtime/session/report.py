"""The report of a session: one HTML file with pictures that needs nothing else, online or offline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template

from mcore.common.files import write_text
from mcore_runtime.bundle.exemplar_pictures import ExemplarPictures
from mcore_runtime.report.section import notes_html, scored_section, strip_html, template
from mcore_runtime.session.dive import DiveStatus
from mcore_runtime.session.overview import DiveView, Overview
from mcore_runtime.session.pictures import dive_frames, exemplar_pictures
from mcore_runtime.session.report_parts import (
    dives_table,
    events_table,
    facts_list,
    figures,
    history_table,
    local_time,
    ranking_table,
    times_chart,
)

Watch = Callable[[Sequence[DiveView]], Iterable[DiveView]]


def write_session_report(path: str | Path, session: Overview, watch: Watch = iter) -> int:
    """Write a session's report and return its size in bytes.

    Args:
        path: the file; an existing one is replaced.
        session: what is reported.
        watch: passes the dives on one by one, for a progress bar.

    Raises:
        UserError: the file cannot be written.
    """
    return write_text(path, render_session(session, watch))


def render_session(session: Overview, watch: Watch = iter) -> str:
    """Return a session's report as HTML; the pictures come from the stored frames."""
    data = session.session
    scored, dives = session.count(DiveStatus.SCORED), len(session.dives)
    title = f"{dives} dive{'' if dives == 1 else 's'}, {scored} scored"
    exemplars = exemplar_pictures(data)
    sections = "".join(_section(session, dive, exemplars) for dive in watch(session.dives))
    now = datetime.now().astimezone().strftime("%d %B %Y, %H:%M")
    return Template(template("session.html")).substitute(
        style=template("style.css") + template("session.css"),
        reading=template("reading.html"),
        title=title,
        name=escape(data.folder.resolve().name),
        date=f"begun {local_time(data.started, '%d %B %Y, %H:%M')}; report of {now}",
        problems="".join(f'<p class="failure">Not read: {escape(problem)}</p>' for problem in session.problems),
        figures=figures(session),
        ranking=ranking_table(session.ranking),
        dives=dives_table(session.dives),
        sections=sections,
        times=times_chart(session.dives, session.time_to_score_ms),
        facts=facts_list(data),
        events=events_table(data.events),
    )


def _section(session: Overview, dive: DiveView, exemplars: ExemplarPictures | None) -> str:
    """One dive, with its strip, whatever became of it."""
    anchor, heading = f"dive-{dive.number}", dive.athlete or f"Dive {dive.number}"
    origin = local_time(dive.dive.created, "%H:%M:%S")
    if dive.dive.recording:
        origin += f" · {dive.dive.recording}"
    who = " · ".join(filter(None, [f"dive {dive.number}" if dive.athlete else "", dive.club, dive.dive_number or ""]))
    frames = dive_frames(session.session, dive.dive)
    if dive.result is not None and dive.status is DiveStatus.SCORED:
        result = dataclasses.replace(dive.result, notes=dive.notes)
        more = history_table(dive)
        return scored_section(
            anchor, result, frames, exemplars, heading=heading, origin=origin, who=who, more=more, is_live=True
        )
    return Template(template("unscored.html")).substitute(
        anchor=anchor,
        heading=escape(heading),
        facts=escape(who),
        name=escape(origin),
        status=dive.status.value,
        reasons="".join(f'<p class="failure">{escape(reason[:1].upper() + reason[1:])}</p>' for reason in dive.reasons),
        notes=notes_html(dive.notes),
        strip=strip_html(frames, ()),
        more=history_table(dive),
    )
