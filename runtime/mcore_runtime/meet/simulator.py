"""A meet that never was, as messages of DiveRecorder with their times: for rehearsals, demonstrations and tests.

The awards are drawn as panels give them (``mcore.synthetic.panel``). With a film, a drawn meet, they are those of the
dives that it shows, and come when its divers have dived.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from mcore.common.errors import UserError
from mcore.diving import DiveNumber, Penalty, difficulty, dive_score
from mcore.diving.judging import COUNTED_AWARDS, counted_awards
from mcore.synthetic.faults import draw_faults
from mcore.synthetic.meet import MeetSettings, plan_meet
from mcore.synthetic.panel import verdict_for
from mcore_runtime.competition import Entry
from mcore_runtime.meet.message import EventEnd, EventLetter, Message, RefereeMessage

Mishap = Literal["restart", "second-event", "order", "scratch", "re-dive", "penalty"]
MISHAPS: tuple[Mishap, ...] = get_args(Mishap)
_NAMES = ("Ada Example", "Bo Sample", "Cléo Modell", "Dag Muster", "Eva Vzor", "Fay Ejemplo")
_CLUBS = ("Springfield DC", "Shelbyville", "Springfield DC")
_JUDGING_S = 3.5
"""From the entry to the first award, seconds."""
_AWARDS_S = 2.0
"""From the first award to the last."""
_NEXT_S = 2.0
"""From the last award to the next announcement."""
_DEFAULT_DIFFICULTY = 2.0
_PENALTIES = (Penalty.RESTART, Penalty.ARMS, Penalty.FAILED, Penalty.WRONG_POSITION)


@dataclass(frozen=True)
class Sent:
    """A message, and when it is sent."""

    time_s: float
    """Seconds after the beginning."""
    message: Message


@dataclass(frozen=True)
class PlannedDive:
    """A dive that the simulated meet will judge."""

    entry: Entry
    start_number: int
    entry_s: float | None = None
    """Time at which the film shows the diver entering the water, seconds; None: there is no film."""
    score: float | None = None
    """Points that the film's dive deserves; None: any."""


@dataclass(frozen=True)
class MeetPlan:
    """What is simulated."""

    dives: tuple[PlannedDive, ...]
    event: EventLetter = "A"
    judges: int = 7
    """Judges of one diver: 3, 5 or 7; of a pair always 11."""
    seconds_per_dive: float = 30.0
    """From one announcement to the next where there is no film."""
    mishaps: frozenset[Mishap] = frozenset()
    seed: int = 0
    event_name: str = "Simulated event"
    meet_title: str = "Simulated meet"
    computer: str = "DR1"

    def __post_init__(self) -> None:
        if not self.dives:
            raise UserError("there is no dive to simulate; give a start list with a line, or --film")
        if self.judges not in (3, 5, 7):
            raise UserError(f"{self.judges} judges; allowed: 3, 5, 7 (a pair always has 11)")
        if self.seconds_per_dive < 1:
            raise UserError(f"{self.seconds_per_dive:g} s for each dive; give at least 1")
        if "re-dive" in self.mishaps and any(dive.entry_s is not None for dive in self.dives):
            raise UserError("a film shows no dive twice: leave re-dive out of the mishaps, or --film")


def from_start_list(entries: Sequence[Entry]) -> tuple[PlannedDive, ...]:
    """Plan the dives of a start list, in its order."""
    divers = list(dict.fromkeys((entry.athlete, entry.club) for entry in entries))
    rounds: dict[tuple[str, str], int] = defaultdict(int)
    planned = []
    for entry in entries:
        who = (entry.athlete, entry.club)
        rounds[who] += 1
        numbered = replace(entry, round=entry.round or rounds[who])
        planned.append(PlannedDive(numbered, divers.index(who) + 1))
    return tuple(planned)


def from_film(settings: MeetSettings, entries: Sequence[Entry] = ()) -> tuple[PlannedDive, ...]:
    """Plan the dives that a drawn meet shows, by the athletes of a start list or by others.

    Args:
        settings: of the drawn meet.
        entries: whose dives they are, in order; what is dived is what the film shows. None: made-up names.
    """
    truth = plan_meet(settings).truth
    names = [(entry.athlete, entry.club) for entry in entries] or [
        (name, _CLUBS[index % len(_CLUBS)]) for index, name in enumerate(_NAMES)
    ]
    planned = []
    for dive in truth:
        athlete, club = names[dive.index % len(names)]
        entry = Entry(
            order=dive.index + 1,
            athlete=athlete,
            club=club,
            dive_number=dive.dive_number,
            difficulty=difficulty(dive.dive_number, settings.height_m),
            round=dive.index // len(names) + 1,
            height_m=float(settings.height_m),
        )
        planned.append(PlannedDive(entry, dive.index % len(names) + 1, dive.entry_s, dive.score))
    return tuple(planned)


def simulate(plan: MeetPlan) -> list[Sent]:
    """Return all messages of a meet, in the order of their times; the same plan gives the same meet."""
    simulation = _Simulation(plan, np.random.default_rng(plan.seed))
    sent = list(simulation.run())
    if "second-event" in plan.mishaps:
        other: EventLetter = "B" if plan.event == "A" else "A"
        dives = tuple(replace(dive, entry=_stranger(dive.entry)) for dive in plan.dives)
        beside = replace(plan, dives=dives, event=other, event_name="The other event", mishaps=frozenset())
        sent += [replace(each, time_s=each.time_s + 0.4) for each in simulate(replace(beside, seed=plan.seed + 1))]
    return sorted(sent, key=lambda each: each.time_s)


@dataclass
class _Simulation:
    plan: MeetPlan
    rng: np.random.Generator
    now_s: float = 0.0
    totals: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _last: RefereeMessage = field(init=False)
    """Result of the dive before."""

    def run(self) -> Iterator[Sent]:
        dives = list(self.plan.dives)
        mishaps = self.plan.mishaps
        middle = len(dives) // 2
        if "order" in mishaps and len(dives) > middle + 1 and dives[middle].entry_s is None:
            dives[middle], dives[middle + 1] = dives[middle + 1], dives[middle]
        elif "order" in mishaps and len(dives) > middle + 1:  # the film's dives stay where they are
            first, second = dives[middle], dives[middle + 1]
            dives[middle] = _dived_by(first, second)
            dives[middle + 1] = _dived_by(second, first)
        for place, dive in enumerate(dives):
            if place == middle and "scratch" in mishaps:
                yield Sent(self.now_s, self._announced(_scratched(dive)))
                self.now_s += 1.0
            penalty = _PENALTIES[place // 3 % len(_PENALTIES)] if "penalty" in mishaps and place % 3 == 1 else None
            yield from self._dive(dive, penalty)
            if place == middle and "re-dive" in mishaps:
                self.totals[dive.entry.athlete] = 0.0
                yield from self._dive(dive, None, attempt=2)
            if place == middle and "restart" in mishaps:
                begun = self._announced(dive, self._last.attempt or 1)
                yield Sent(self.now_s, replace(begun, is_new_event=True))
                yield Sent(self.now_s + 0.5, self._last)
                self.now_s += 1.0
        yield Sent(self.now_s + 1.0, EventEnd(self.plan.event, self.plan.computer, "EndOfEvent"))

    def _dive(self, dive: PlannedDive, penalty: Penalty | None, attempt: int = 1) -> Iterator[Sent]:
        announced = self._announced(dive, attempt)
        yield Sent(self.now_s, announced)
        given = self._awards(announced, dive)
        judging_s = _JUDGING_S + _AWARDS_S + _NEXT_S
        dived_s = self.now_s + max(0.0, self.plan.seconds_per_dive - judging_s)
        first_s = max(self.now_s + 0.5, (dived_s if dive.entry_s is None else dive.entry_s) + _JUDGING_S)
        for count in (2, len(given) - 1):  # judges press their keys one after the other
            partial = (*given[:count], *(None for _ in given[count:]))
            yield Sent(first_s + _AWARDS_S * count / len(given), replace(announced, awards=partial))
        self._last = self._judged(announced, given, penalty)
        yield Sent(first_s + _AWARDS_S, self._last)
        yield Sent(first_s + _AWARDS_S + 0.2, self._last)
        self.now_s = first_s + _AWARDS_S + _NEXT_S

    def _announced(self, dive: PlannedDive, attempt: int = 1) -> RefereeMessage:
        entry = dive.entry
        athletes = tuple(name.strip() for name in entry.athlete.split("/"))
        clubs = [club.strip() for club in entry.club.split("/")]
        is_synchro = len(athletes) == 2
        judges = 11 if is_synchro else self.plan.judges
        return RefereeMessage(
            event=self.plan.event,
            computer=self.plan.computer,
            event_name=self.plan.event_name,
            round=entry.round,
            attempt=attempt,
            start_number=dive.start_number,
            athletes=athletes,
            clubs=tuple(clubs[min(index, len(clubs) - 1)] for index in range(len(athletes))),
            dive_number=entry.dive_number,
            difficulty=entry.difficulty,
            height_m=entry.height_m,
            judges=judges,
            is_synchro=is_synchro,
            awards=(None,) * judges,
            total=round(self.totals[entry.athlete], 2),
            rounds=max(other.entry.round or 1 for other in self.plan.dives),
            divers=len({other.entry.athlete for other in self.plan.dives}),
            meet_title=self.plan.meet_title,
            description="" if entry.dive_number is None else DiveNumber.parse(entry.dive_number).describe(),
        )

    def _awards(self, announced: RefereeMessage, dive: PlannedDive) -> tuple[float, ...]:
        worth = announced.difficulty or _DEFAULT_DIFFICULTY
        fair = draw_faults(self.rng).fair_award * COUNTED_AWARDS * worth
        kind: Literal["individual", "synchronised"] = "synchronised" if announced.is_synchro else "individual"
        verdict = verdict_for(fair if dive.score is None else dive.score, worth, kind, self.rng)
        return verdict.awards[: len(announced.awards)]

    def _judged(self, announced: RefereeMessage, awards: tuple[float, ...], penalty: Penalty | None) -> RefereeMessage:
        worth = announced.difficulty or _DEFAULT_DIFFICULTY
        points = dive_score(awards, worth, () if penalty is None else (penalty,))
        self.totals[announced.athlete] += points
        total = self.totals[announced.athlete]
        return replace(
            announced,
            awards=awards,
            judges_total=math.fsum(counted_awards(awards)),
            points=points,
            total=round(total, 2),
            rank=1 + sum(other > total for other in self.totals.values()),
            penalty=penalty,
        )


def _dived_by(dive: PlannedDive, other: PlannedDive) -> PlannedDive:
    """The same dive of the film, by another diver."""
    entry = replace(dive.entry, athlete=other.entry.athlete, club=other.entry.club, round=other.entry.round)
    return replace(dive, entry=entry, start_number=other.start_number)


def _scratched(dive: PlannedDive) -> PlannedDive:
    """A diver who is announced and does not start."""
    return replace(dive, entry=replace(dive.entry, athlete="Gil Scratched", club="Shelbyville"), start_number=99)


def _stranger(entry: Entry) -> Entry:
    return replace(entry, athlete=" / ".join(f"Other {name.strip()}" for name in entry.athlete.split("/")))
