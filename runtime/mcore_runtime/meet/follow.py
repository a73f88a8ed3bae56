"""Following a meet: which announced dive a camera's dive was, and which result is whose. No threads, no disk, no clock.

The meet's dives are entries of the session's start list, and a result belongs to the one dive that was made for its
entry. So whatever the operator corrects (void, give to another entry) moves the result along. Where an entry has no
dive, or several, the result is nobody's until the operator says whose it is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mcore_runtime.competition import Competition, Entry
from mcore_runtime.competition.entry import EntryState
from mcore_runtime.meet.message import EventEnd, Message, RefereeMessage
from mcore_runtime.meet.record import JudgesResult, MeetDive, MeetProgress, result_of

_LATE_S = 3.0
"""A dive that is reported so soon after its awards is theirs: nobody dives that fast after another."""
_MAX_OTHERS = 8


@dataclass(frozen=True)
class Heard:
    """What a message changes."""

    meet: MeetProgress
    competition: Competition
    log: str | None = None
    """Line for the session's events; None: nothing that anybody needs to know."""
    edited: tuple[int, ...] = ()
    """Entries of the start list that say something else now."""
    releases_all: bool = False
    """Whether no score may influence a judge any more that was made until now."""
    released: int | None = None
    """Entry whose awards came late: the scores of its dives may be shown; None: none."""


@dataclass(frozen=True)
class Taken:
    """To whom a dive of the camera goes."""

    competition: Competition
    notes: tuple[str, ...] = ()
    is_judged: bool = False
    """Whether its awards are in already."""


def hear(meet: MeetProgress, competition: Competition, message: Message, sender: str, time: str) -> Heard:
    """Return what a message changes.

    Args:
        meet: what was said so far.
        competition: the session's start list; the meet's dives are added where it does not hold them.
        message: a parsed one, of the event that is listened to.
        sender: address of the computer that sent it; only the first one that is heard is believed.
        time: at which it came, ISO 8601, UTC.
    """
    if meet.sender not in (None, sender):
        return _other_sender(meet, competition, sender)
    meet = replace(meet, sender=sender)
    if isinstance(message, EventEnd):
        if meet.is_over:
            return Heard(meet, competition)
        over = replace(_passed_over(meet, competition, None), current=None)
        meet = replace(meet, is_over=True, announced=None, leads=True)
        return Heard(meet, over, "the event is over", releases_all=True)
    meet = replace(
        meet,
        event_name=message.event_name or meet.event_name,
        meet_title=message.meet_title or meet.meet_title,
        rounds=message.rounds or meet.rounds,
        divers=message.divers or meet.divers,
    )
    if not message.athlete:
        return Heard(replace(meet, announced=None), competition)
    known = next((dive for dive in meet.dives if _is_same_dive(dive, message)), None)
    if known is None:
        return _new_dive(meet, competition, message, time)
    return _tell_more(meet, competition, known, message, time)


def take(meet: MeetProgress, competition: Competition, number: int, created: str) -> Taken:
    """Give a dive of the camera to the dive that is announced, or to nobody.

    Args:
        meet: it says whose turn it is (``leads``).
        competition: the session's start list.
        number: of the camera's dive.
        created: time at which it was reported, ISO 8601, UTC.
    """
    current = meet.current
    if current is None:
        why = "after the meet's event was over" if meet.is_over else "while the meet had announced nobody"
        return Taken(competition, (f"found {why}: given to nobody",), is_judged=meet.is_over)
    earlier = candidates(current, competition)
    if current.result is None:
        given = replace(competition.assign(number, current.order), current=current.order)
        again = f"found after dive {earlier[-1]}, while the same dive was announced" if earlier else ""
        return Taken(given, (again,) if again else ())
    if not earlier and _seconds_between(current.result.judged, created) <= _LATE_S:
        given = replace(competition.assign(number, current.order), current=current.order)
        return Taken(given, is_judged=True)
    who = described(current)
    return Taken(competition, (f"found after the awards for {who}, before the next announcement: given to nobody",))


def candidates(dive: MeetDive, competition: Competition) -> list[int]:
    """Return the camera's dives that may be an announced one."""
    return [number for number in competition.dives_of(dive.order) if number not in dive.superseded]


def attributed(meet: MeetProgress, competition: Competition) -> dict[int, JudgesResult]:
    """Return the result of each dive of the camera that is certainly the judged one, by its number."""
    found: dict[int, JudgesResult] = {}
    for dive in meet.dives:
        if dive.result is not None and (number := _judged_dive(dive, competition)) is not None:
            found[number] = dive.result
    return found


def open_questions(meet: MeetProgress, competition: Competition) -> list[str]:
    """Say of each result that is nobody's why, and what an operator can do; oldest first."""
    questions = []
    for dive in meet.dives:
        if dive.result is None or _judged_dive(dive, competition) is not None:
            continue
        numbers = candidates(dive, competition)
        what = f"{described(dive)}: {dive.result.points:.2f} points"
        if numbers:
            named = ", ".join(map(str, numbers))
            questions.append(f"{what}, but dives {named} were found for it: void all but the one that was judged")
        else:
            questions.append(f"{what}, but no dive was found for it: if there is one, give it to entry {dive.order}")
    return questions


def described(dive: MeetDive) -> str:
    """Say which dive it is: ``Ada Example, 407C, round 2``."""
    where = None if dive.round is None else f"round {dive.round}"
    return ", ".join(filter(None, (dive.athlete, dive.dive_number, where)))


def name_words(name: str) -> frozenset[str]:
    """Words of a name, to compare names that are written in another order, in capitals or without accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    return frozenset("".join(c if c.isalnum() else " " for c in plain).split())


def _judged_dive(dive: MeetDive, competition: Competition) -> int | None:
    """Number of the camera's dive that a result is certainly of; None: nobody can tell."""
    numbers = candidates(dive, competition)
    if not numbers and dive.result is not None and dive.result.is_same(dive.withdrawn):
        # A sender that began again says again what it said: it was no other dive.
        numbers = [number for number in competition.dives_of(dive.order) if number in dive.withdrawn_from]
    return numbers[0] if len(numbers) == 1 else None


def _other_sender(meet: MeetProgress, competition: Competition, sender: str) -> Heard:
    if sender in meet.others or len(meet.others) >= _MAX_OTHERS:
        return Heard(meet, competition)
    log = f"{sender} sends too, and is not believed: {meet.sender} was heard first"
    return Heard(replace(meet, others=(*meet.others, sender)), competition, log)


def _is_same_dive(dive: MeetDive, message: RefereeMessage) -> bool:
    """The start number is no part of it: it moves when a diver is scratched, and stays when a dive is repeated."""
    return (dive.event_name, dive.round, dive.athlete) == (message.event_name, message.round, message.athlete)


def _new_dive(meet: MeetProgress, competition: Competition, message: RefereeMessage, time: str) -> Heard:
    entry = _entry_for(meet, competition, message)
    notes: tuple[str, ...] = ()
    edited: tuple[int, ...] = ()
    if entry is None:
        entry = _made_entry(competition, message)
        competition = competition.insert(entry, after=None if meet.current is None else meet.current.order)
    else:
        changes = _differences(entry, message)
        notes = tuple(f"the start list says {_said(entry, name)}" for name in changes if _said(entry, name))
        competition, edited = _edited(competition, entry.order, changes)
    dive = MeetDive(
        place=len(meet.dives) + 1,
        event_name=message.event_name,
        round=message.round,
        athlete=message.athlete,
        club=message.club,
        dive_number=message.dive_number,
        difficulty=message.difficulty,
        height_m=message.height_m,
        announced=time,
        order=entry.order,
        attempt=message.attempt,
        start_number=message.start_number,
        is_synchro=message.is_synchro,
        result=result_of(message, time),
        notes=(*notes, *message.doubts),
    )
    competition = _passed_over(meet, competition, dive)
    meet = _announcing(replace(meet, dives=(*meet.dives, dive)), dive)
    is_judged = dive.result is not None
    log = f"{'judged, and announced unheard' if is_judged else 'announced'}: {described(dive)}"
    return Heard(meet, _turn(competition, dive, again=False), log, edited, releases_all=is_judged)


def _tell_more(
    meet: MeetProgress, competition: Competition, known: MeetDive, message: RefereeMessage, time: str
) -> Heard:
    """A message about a dive that was announced before."""
    told = {name: getattr(message, name) for name in ("dive_number", "difficulty", "height_m", "start_number")}
    dive = replace(known, **{name: value for name, value in told.items() if value is not None})
    entry = next(entry for entry in competition.entries if entry.order == known.order)
    # What the meet repeats changes nothing: the operator may have corrected the entry meanwhile.
    new = {name: value for name, value in _differences(entry, message).items() if value != getattr(known, name)}
    competition, edited = _edited(competition, known.order, new)
    result = result_of(message, time)
    is_attempt = message.attempt is not None and known.attempt is not None and message.attempt > known.attempt
    has_dive = bool(candidates(known, competition))
    # Awards that are gone, or one more attempt: the diver dives again, or the sender began again.
    is_again = not message.has_awards and (known.result is not None or (is_attempt and has_dive)) and result is None
    log = None
    if result is not None:
        if not result.is_same(known.result):
            verb = "judged" if known.result is None else "corrected"
            log = f"{verb}: {described(dive)}, {result.points:.2f} points"
        dive = replace(dive, result=known.result if result.is_same(known.result) else result)
    elif is_again:
        if known.result is not None:
            dive = replace(dive, withdrawn=known.result, withdrawn_from=tuple(candidates(known, competition)))
        before = tuple(competition.dives_of(known.order))
        dive = replace(dive, result=None, superseded=before, attempt=message.attempt)
        log = f"announced again: {described(dive)}"
    is_turn = is_again or (result is None and not message.has_awards and meet.announced != known.place)
    is_first_result = known.result is None and dive.result is not None
    was_announced = meet.announced == known.place
    meet = replace(meet, dives=tuple(dive if other.place == dive.place else other for other in meet.dives))
    if is_turn:
        competition = _turn(_passed_over(meet, competition, dive), dive, again=is_again)
        meet = _announcing(meet, dive)
        log = log or f"announced once more: {described(dive)}"
    late = dive.order if is_first_result and not was_announced else None
    return Heard(meet, competition, log, edited, releases_all=is_first_result and was_announced, released=late)


def _announcing(meet: MeetProgress, dive: MeetDive) -> MeetProgress:
    return replace(meet, announced=dive.place, leads=True, is_over=False)


def _turn(competition: Competition, dive: MeetDive, *, again: bool) -> Competition:
    """Make a dive's entry the current one."""
    if again or not competition.dives_of(dive.order):
        return competition.go_to(dive.order)
    return replace(competition, current=dive.order)


def _passed_over(meet: MeetProgress, competition: Competition, following: MeetDive | None) -> Competition:
    """Pass over the dive that was announced where another one follows and it never was: a scratched diver."""
    last = meet.current
    if last is None or not last.is_open or (following is not None and following.place == last.place):
        return competition
    return competition.pass_over(last.order)


def _entry_for(meet: MeetProgress, competition: Competition, message: RefereeMessage) -> Entry | None:
    """The entry of the start list that a message announces; None: the list does not have it."""
    taken, words = {dive.order for dive in meet.dives}, name_words(message.athlete)
    fitting = [
        entry
        for entry in competition.entries
        if entry.order not in taken and name_words(entry.athlete) == words
        if entry.round is None or message.round is None or entry.round == message.round
    ]
    fitting.sort(key=lambda entry: (entry.dive_number != message.dive_number, entry.state is EntryState.DONE))
    return fitting[0] if fitting else None


def _made_entry(competition: Competition, message: RefereeMessage) -> Entry:
    return Entry(
        order=max((entry.order for entry in competition.entries), default=0) + 1,
        athlete=message.athlete,
        club=message.club,
        dive_number=message.dive_number,
        difficulty=message.difficulty,
        round=message.round,
        height_m=message.height_m,
    )


def _differences(entry: Entry, message: RefereeMessage) -> dict[str, Any]:
    """What the meet says otherwise than an entry; the meet is right, for its referee decides what is dived."""
    told = {"dive_number": message.dive_number, "difficulty": message.difficulty, "height_m": message.height_m}
    told |= {"club": message.club} if not entry.club and message.club else {}
    return {name: value for name, value in told.items() if value is not None and value != getattr(entry, name)}


def _said(entry: Entry, name: str) -> str:
    value = getattr(entry, name)
    if not value:
        return ""
    return {"difficulty": f"difficulty {value}", "height_m": f"{value} m"}.get(name, str(value))


def _edited(competition: Competition, order: int, changes: Mapping[str, Any]) -> tuple[Competition, tuple[int, ...]]:
    return (competition.edit(order, changes), (order,)) if changes else (competition, ())


def _seconds_between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()
