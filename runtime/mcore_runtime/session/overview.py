"""Session put together for people: every dive with its athlete, result and history, the ranking, and the times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mcore.common.errors import UserError
from mcore.common.typed_json import convert
from mcore_runtime.competition import Competition, Entry, RankRow
from mcore_runtime.meet.follow import open_questions
from mcore_runtime.meet.record import Agreement, JudgesResult, MeetProgress, agreement
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.session.data import Revision, SessionData
from mcore_runtime.session.dive import DiveStatus, LiveDive
from mcore_runtime.session.summary import percentiles

STATE_KEY = "competition"
"""Name of the start list, with what has become of it, among what a session saves."""
MEET_KEY = "meet"
"""Name of what the meet's software has said, among what a session saves."""


@dataclass(frozen=True)
class DiveView:
    """One dive as it stands."""

    dive: LiveDive
    """Its newest record."""
    entry: Entry | None
    """Its line of the start list; None: it has none."""
    history: tuple[Revision, ...]
    """All its records, oldest first, without those that repeat status, dive number and score."""

    @property
    def number(self) -> int:
        """Its place in the session, from 1."""
        return self.dive.number

    @property
    def status(self) -> DiveStatus:
        """Status of the dive."""
        return self.dive.status

    @property
    def result(self) -> DiveScore | None:
        """None: it has none."""
        return self.dive.result

    @property
    def dive_number(self) -> str | None:
        """As the rules spell it; None: unknown."""
        return self.dive.dive_number

    @property
    def athlete(self) -> str:
        """Empty: not known."""
        return self.dive.athlete or ("" if self.entry is None else self.entry.athlete)

    @property
    def club(self) -> str:
        """Empty: not known."""
        return self.dive.club or ("" if self.entry is None else self.entry.club)

    @property
    def difficulty(self) -> float | None:
        """Of the start list, else of the exemplars."""
        if self.entry is not None and self.entry.difficulty is not None:
            return self.entry.difficulty
        return None if self.result is None else self.result.difficulty

    @property
    def time_to_score_ms(self) -> float | None:
        """Milliseconds that people waited for its first score; None: it was not scored live."""
        times = (revision.dive.time_to_score_ms for revision in self.history)
        return next((time for time in times if time is not None), None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons why it has no score that counts; empty where it has one."""
        if self.status is DiveStatus.SCORING:
            return (*self.dive.reasons, "the program ended before it was scored; mcore-rescore does it")
        if self.status is DiveStatus.VOID:
            return (*self.dive.reasons, "the operator says that it was no dive")
        return self.dive.reasons

    @property
    def judges(self) -> JudgesResult | None:
        """What the judges gave it; None: not known."""
        return self.dive.judges

    @property
    def network_less_judges(self) -> float | None:
        """Difference of the scores, points; None: one of them is missing, or a penalty is in the judges'."""
        if self.dive.score is None or self.judges is None or not self.judges.is_comparable:
            return None
        return self.dive.score - self.judges.points

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the dive and on its score."""
        of_result = () if self.result is None else self.result.notes
        return tuple(dict.fromkeys((*self.dive.notes, *of_result)))


@dataclass(frozen=True)
class Overview:
    """A session as it stands."""

    session: SessionData
    dives: tuple[DiveView, ...]
    """Dives in the order of their numbers."""
    ranking: tuple[RankRow, ...]
    """Empty: there is no start list, or nobody has a score."""
    time_to_score_ms: Mapping[str, float]
    """Percentiles over the dives, by name; empty: none was scored live."""
    problems: tuple[str, ...]
    """Parts of the session that could not be read."""
    agreements: Mapping[str, Agreement] = field(default_factory=dict)
    """How network and judges compare, by the name of the event; empty: no judges were heard."""
    open_questions: tuple[str, ...] = ()
    """Results of the judges that are nobody's, and why."""

    def count(self, *statuses: DiveStatus) -> int:
        """Return how many dives have one of these states."""
        return sum(dive.status in statuses for dive in self.dives)


def overview(session: SessionData) -> Overview:
    """Put a session together; what cannot be read of it is among ``problems``, and the rest still there."""
    problems = list(session.problems)
    competition = Competition()
    try:
        competition = Competition.from_json(session.state.get(STATE_KEY, {}))
    except UserError as error:
        problems.append(str(error))
    meet = MeetProgress()
    try:
        meet = convert(MeetProgress, session.state.get(MEET_KEY) or {}, "what the meet's software has said")
    except UserError as error:
        problems.append(str(error))
    dives = tuple(
        DiveView(history[-1].dive, competition.entry_of(number), _changes(history))
        for number, history in session.revisions.items()
    )
    scores = {dive.number: dive.dive.score for dive in dives}
    return Overview(
        session=session,
        dives=dives,
        ranking=tuple(competition.ranking({n: score for n, score in scores.items() if score is not None})),
        time_to_score_ms=percentiles(dive.time_to_score_ms for dive in dives),
        problems=tuple(problems),
        agreements=_agreements(dives),
        open_questions=tuple(open_questions(meet, competition)),
    )


def _agreements(dives: Sequence[DiveView]) -> dict[str, Agreement]:
    pairs: dict[str, list[tuple[float, JudgesResult]]] = {}
    for dive in dives:
        if dive.judges is not None:
            of_event = pairs.setdefault(dive.judges.event_name, [])
            of_event += [] if dive.dive.score is None else [(dive.dive.score, dive.judges)]
    return {name: agreement(of_event) for name, of_event in pairs.items()}


def _changes(history: Sequence[Revision]) -> tuple[Revision, ...]:
    """Leave out the records that repeat what the one before says."""
    changes: list[Revision] = []
    for revision in history:
        if not changes or _shown_fields(changes[-1].dive) != _shown_fields(revision.dive):
            changes.append(revision)
    return tuple(changes)


def _shown_fields(dive: LiveDive) -> tuple[object, ...]:
    return dive.status, dive.dive_number, None if dive.result is None else dive.result.score
