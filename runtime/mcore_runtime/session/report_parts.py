"""Tables and the chart of a session's report; every text that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from mcore_runtime.competition import RankRow
from mcore_runtime.session.data import Event, SessionData
from mcore_runtime.session.dive import DiveStatus, LiveDive
from mcore_runtime.session.overview import DiveView, Overview

_MAX_EVENTS = 500
_CHART_WIDTH, _CHART_HEIGHT = 880, 150


def figures(session: Overview) -> str:
    """The session in a few large numbers."""
    unscored = session.count(DiveStatus.INVALID, DiveStatus.FAILED, DiveStatus.SCORING)
    items = [(str(len(session.dives)), "dives"), (str(session.count(DiveStatus.SCORED)), "scored")]
    items.append((str(unscored), "invalid or failed"))
    if void := session.count(DiveStatus.VOID):
        items.append((str(void), "void"))
    if times := session.time_to_score_ms:
        items.append((_milliseconds(times["p50"]), "median time to score"))
        items.append((_milliseconds(times["p99"]), "99th percentile"))
    return "".join(f"<div><b>{number}</b><span>{label}</span></div>" for number, label in items)


def ranking_table(ranking: Sequence[RankRow]) -> str:
    """The ranking; nothing where there is none."""
    rows = [
        [str(row.rank), escape(row.athlete), escape(row.club), str(row.dives), f"{row.total:.2f}"] for row in ranking
    ]
    head = ("#", "Athlete", "Club", "Dives", "Total")
    return "" if not rows else _section("Ranking", _table(head, rows, "ranking"))


def dives_table(dives: Sequence[DiveView]) -> str:
    """All dives with links to their sections."""
    named = any(dive.athlete for dive in dives)
    head = ["#", *(["Athlete"] if named else []), "Dive", "Score", "Interval", "State", "Time"]
    rows = []
    for dive in dives:
        link = f'<a href="#dive-{dive.number}">'
        name = [f"{link}{escape(dive.athlete or '–')}</a>"] if named else []
        score, spread = _score_cells(dive)
        badge = f'<span class="badge {_badge(dive.status)}">{dive.status.value}</span>'
        when = local_time(dive.dive.created, "%H:%M:%S")
        rows.append(
            [f"{link}{dive.number}</a>", *name, escape(dive.dive_number or "unknown"), score, spread, badge, when]
        )
    return _section("Dives", _table(head, rows, "dives" if named else "dives unnamed"))


def history_table(dive: DiveView) -> str:
    """What a dive had before; nothing where this is its first result."""
    if len(dive.history) < 2:
        return ""
    rows = [
        [
            local_time(revision.saved, "%d %b %H:%M:%S"),
            escape(revision.dive.dive_number or "unknown"),
            _outcome(revision.dive),
            "" if revision.dive.result is None else escape(revision.dive.result.backend.bundle_sha256[:12]),
            "" if revision.dive.result is None else escape(revision.dive.result.backend.provider),
        ]
        for revision in dive.history
    ]
    table = _table(("Saved", "Dive", "Result", "Bundle", "Computed by"), rows, "history")
    return f"<h3>All its results, the last one counts</h3>{table}"


def events_table(events: Sequence[Event]) -> str:
    """What happened besides dives, newest last."""
    if not events:
        return '<p class="hint">Nothing else happened: no lost camera, no command, no error.</p>'
    shown = events[-_MAX_EVENTS:]
    rows = [[local_time(event.time, "%H:%M:%S"), escape(event.kind), escape(event.text)] for event in shown]
    left_out = len(events) - len(shown)
    more = f'<p class="hint">{left_out} earlier ones are in the JSON export.</p>' if left_out else ""
    return _table(("Time", "What", "Event"), rows, "events") + more


def facts_list(data: SessionData) -> str:
    """Source, bundle, backend and settings."""
    facts = dict(data.facts)
    if isinstance(settings := facts.get("settings"), Mapping):  # those that are not said elsewhere
        facts["settings"] = {key: value for key, value in settings.items() if value is not None and key not in facts}
    names = ((str(key).replace("_", " "), _plain(value)) for key, value in facts.items())
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in names)


def times_chart(dives: Sequence[DiveView], percentiles: Mapping[str, float]) -> str:
    """Draw how long every score took, dive by dive, so that a device that slows down can be seen."""
    times = [(dive.number, dive.time_to_score_ms) for dive in dives]
    known = [(number, time) for number, time in times if time is not None]
    if not known:
        return '<p class="hint">No dive was scored live.</p>'
    top = max(time for _, time in known)
    left, base = 4, _CHART_HEIGHT - 24
    pitch = (_CHART_WIDTH - 2 * left) / max(number for number, _ in times)
    bar = max(1.0, min(28.0, pitch * 0.72))
    bars = []
    for number, time in known:
        x, height = left + (number - 0.5) * pitch - bar / 2, _height(time, top)
        bars.append(
            f'<rect x="{x:.1f}" y="{base - height:.1f}" width="{bar:.1f}" height="{height:.1f}" rx="2" class="stage1">'
            f"<title>dive {number}: {time:.0f} ms</title></rect>"
        )
    median_y, right = base - _height(percentiles["p50"], top), _CHART_WIDTH - left
    text = ", ".join(f"{name} {value:.0f} ms" for name, value in percentiles.items())
    return (
        f'<svg class="times" viewBox="0 0 {_CHART_WIDTH} {_CHART_HEIGHT}" role="img" aria-label="Time to score">'
        f'{"".join(bars)}<line x1="0" y1="{base}" x2="{_CHART_WIDTH}" y2="{base}" class="axis"/>'
        f'<line x1="0" y1="{median_y:.1f}" x2="{_CHART_WIDTH}" y2="{median_y:.1f}" class="median"/>'
        f'<text x="{left}" y="{_CHART_HEIGHT - 6}" class="hint">dive {times[0][0]}</text>'
        f'<text x="{right}" y="{_CHART_HEIGHT - 6}" text-anchor="end" class="hint">dive {times[-1][0]}</text></svg>'
        f'<p class="hint">From the arrival of a dive\'s last frame to its first score: {text}. The line is the median; '
        "a dive without a bar was not scored live.</p>"
    )


def local_time(text: Any, pattern: str) -> str:
    """Return a time that is stored in UTC as this machine's clock showed it; as it is where it is no time."""
    try:
        return datetime.fromisoformat(str(text)).astimezone().strftime(pattern)
    except ValueError:
        return escape(str(text or ""))


def _score_cells(dive: DiveView) -> tuple[str, str]:
    result = dive.result
    if result is None:
        return "", ""
    score = f"{result.score:.1f}"
    if dive.status is not DiveStatus.SCORED:
        return f"<s>{score}</s>", ""
    return f'<b class="strong">{score}</b>', escape(result.interval_text)


def _outcome(dive: LiveDive) -> str:
    if dive.result is None:
        return dive.status.value
    score = f"{dive.result.score:.1f}"
    return score if dive.status is DiveStatus.SCORED else f"{dive.status.value} ({score})"


def _badge(status: DiveStatus) -> str:
    return {DiveStatus.SCORED: "good", DiveStatus.VOID: "none"}.get(status, "bad")


def _height(time_ms: float, top_ms: float) -> float:
    return max(1.0, time_ms / top_ms * (_CHART_HEIGHT - 40))


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value < 9999.5 else f"{value / 1e3:.0f} s"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not given" if value is None else str(value)


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _table(head: Iterable[str], rows: Iterable[Sequence[str]], css: str) -> str:
    """Cells are HTML already."""
    titles = "".join(f"<th>{title}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{css}"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'
    )
