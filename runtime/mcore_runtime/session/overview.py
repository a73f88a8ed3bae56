"""A session put together for people: every dive with its athlete, result and history, the ranking, and the times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcore.common.errors import UserError
from mcore_runtime.competition import Competition, Entry, RankRow
from mcore_runtime.live.dives import percentiles
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.session.data import Revision, SessionData

_STATE_KEY = "competition"


@dataclass(frozen=True)
class DiveView:
    """One dive as it stands."""

    record: Mapping[str, Any]
    """Its newest record."""
    result: DiveScore | None
    """None: it has none, or none that this version can read."""
    entry: Entry | None
    """Its line of the start list; None: it has none."""
    history: tuple[Revision, ...]
    """All its records, oldest first, without those that repeat status, dive number and score."""

    @property
    def number(self) -> int:
        """Its place in the session, from 1."""
        return int(self.record["number"])

    @property
    def status(self) -> str:
        """``scored``, ``invalid``, ``failed``, ``void`` or ``scoring``."""
        return str(self.record["status"])

    @property
    def dive_number(self) -> str | None:
        """As the rules spell it; None: unknown."""
        number = self.record.get("dive_number")
        return None if number is None else str(number)

    @property
    def athlete(self) -> str:
        """Empty: not known."""
        return str(self.record.get("athlete") or ("" if self.entry is None else self.entry.athlete))

    @property
    def club(self) -> str:
        """Empty: not known."""
        return str(self.record.get("club") or ("" if self.entry is None else self.entry.club))

    @property
    def difficulty(self) -> float | None:
        """Of the start list, else of the exemplars."""
        if self.entry is not None and self.entry.difficulty is not None:
            return self.entry.difficulty
        return None if self.result is None else self.result.difficulty

    @property
    def time_to_score_ms(self) -> float | None:
        """How long its first score took, as people waited for it; None: it was not scored live."""
        times = (revision.record.get("time_to_score_ms") for revision in self.history)
        return next((float(time) for time in times if time is not None), None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it has no score that counts; empty where it has one."""
        reasons = tuple(map(str, self.record.get("reasons", ())))
        if self.status == "scoring":
            return (*reasons, "the program ended before it was scored; mcore-rescore does it")
        if self.status == "void":
            return (*reasons, "the operator says that it was no dive")
        return reasons

    @property
    def notes(self) -> tuple[str, ...]:
        """What else should be known of it."""
        of_result = () if self.result is None else self.result.notes
        return tuple(dict.fromkeys((*map(str, self.record.get("notes", ())), *of_result)))


@dataclass(frozen=True)
class Overview:
    """A session as it stands."""

    session: SessionData
    dives: tuple[DiveView, ...]
    """By number."""
    ranking: tuple[RankRow, ...]
    """Empty: there is no start list, or nobody has a score."""
    time_to_score_ms: Mapping[str, float]
    """Percentiles over the dives, by name; empty: none was scored live."""
    problems: tuple[str, ...]
    """What could not be read."""

    def count(self, *statuses: str) -> int:
        """Return how many dives have one of these states."""
        return sum(dive.status in statuses for dive in self.dives)


def overview(session: SessionData) -> Overview:
    """Put a session together; what cannot be read of it is among ``problems``, and the rest still there."""
    problems: list[str] = []
    competition = _competition(session, problems)
    dives = tuple(_view(history, competition, problems) for history in session.revisions.values())
    scores = {dive.number: dive.record["result"]["score"] for dive in dives if _counts(dive.record)}
    return Overview(
        session=session,
        dives=dives,
        ranking=tuple(competition.ranking(scores)),
        time_to_score_ms=percentiles([dive.time_to_score_ms for dive in dives]),
        problems=tuple(problems),
    )


def _competition(session: SessionData, problems: list[str]) -> Competition:
    state = session.state.get(_STATE_KEY)
    if state is None:
        return Competition()
    try:
        return Competition.from_json(state)
    except UserError as error:
        problems.append(str(error))
        return Competition()


def _view(history: Sequence[Revision], competition: Competition, problems: list[str]) -> DiveView:
    record = history[-1].record
    result: DiveScore | None = None
    if record.get("result") is not None:
        try:
            result = DiveScore.from_json(record["result"])
        except UserError as error:
            problems.append(f"dive {record['number']}: {error}")
    return DiveView(record, result, competition.entry_of(record["number"]), _changes(history))


def _changes(history: Sequence[Revision]) -> tuple[Revision, ...]:
    changes: list[Revision] = []
    for revision in history:
        if not changes or _essence(changes[-1].record) != _essence(revision.record):
            changes.append(revision)
    return tuple(changes)


def _essence(record: Mapping[str, Any]) -> tuple[Any, ...]:
    result = record.get("result") or {}
    return record["status"], record.get("dive_number"), result.get("score")


def _counts(record: Mapping[str, Any]) -> bool:
    return record["status"] == "scored" and record.get("result") is not None
