"""Messages of DiveRecorder as typed records: what is announced before a dive, and what the judges gave after it.

    message = parse(datagram)      # RefereeMessage, EventEnd, or None for a notice that says nothing of dives

What decides about points is read in full or the message is refused. What only describes the dive (height, difficulty,
number) is left out where it cannot be read, and ``doubts`` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from mcore.common.errors import UserError
from mcore.common.tables import read_number, read_whole
from mcore.diving import Penalty
from mcore.diving.judging import MAX_AWARD, PANELS, dive_score
from mcore_runtime.competition.entry import clean_difficulty, clean_height, clean_number, clean_text
from mcore_runtime.meet.layout import (
    AWARDS,
    EVENT_END,
    FIELDS,
    NUM_FIELDS,
    PENALTY_CODES,
    REFEREE,
    MessageError,
    join,
    places,
    split,
)

EventLetter = Literal["A", "B"]
"""DiveRecorder runs at most two events at once."""
_MAX_LETTERS = 80
_MAX_COUNT = 999
"""Rounds, divers, ranks and start numbers: no meet has more."""
_MAX_POINTS, _MAX_TOTAL = 300.0, 9999.0
_SAME_POINTS = 0.03
"""Points are sent to the hundredth; some programs round the product once more."""
_PENALTIES = {code: Penalty(name) for name, code in PENALTY_CODES.items()}
_BLANK = " \t\r\n\0\u00a0"
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class RefereeMessage:
    """A dive as the meet's software shows it now: announced, being judged, or judged."""

    event: EventLetter
    computer: str
    """Name of the computer that sends."""
    event_name: str
    round: int | None
    attempt: int | None
    start_number: int | None
    athletes: tuple[str, ...]
    """Names, first name first: one, or two of a synchronised pair; none: nobody is announced."""
    clubs: tuple[str, ...]
    """Team of each athlete; empty texts where it is not said."""
    dive_number: str | None
    """As the rules spell it; None: not said."""
    difficulty: float | None
    height_m: float | None
    """Height of the board, metres."""
    judges: int | None
    """How many judges the panel has; None: not said."""
    is_synchro: bool
    awards: tuple[float | None, ...] = ()
    """Award of each judge in the panel's order, 0 to 10; None: not in yet. Empty: the panel is not known."""
    judges_total: float | None = None
    points: float | None = None
    """Points of this dive; None: not known yet."""
    total: float | None = None
    """Running total of the diver, points."""
    rank: int | None = None
    penalty: Penalty | None = None
    rounds: int | None = None
    """How many rounds the event has."""
    divers: int | None = None
    """How many divers or pairs the event has."""
    meet_title: str = ""
    description: str = ""
    """The dive in words."""
    conversion: float | None = None
    """Factor on the sum of awards of a panel that is not the rules'; None: not said."""
    is_new_event: bool = False
    doubts: tuple[str, ...] = ()
    """What could not be read, or does not fit together; the rest holds."""

    @property
    def athlete(self) -> str:
        """Name of the diver, or of both; empty: nobody is announced."""
        return _together(self.athletes)

    @property
    def club(self) -> str:
        """Team of the diver; both where a pair comes from two."""
        return _together(dict.fromkeys(club for club in self.clubs if club))

    @property
    def panel(self) -> tuple[str, ...]:
        """Name of each judge, such as J1, E2 or S5, in the order of ``awards``."""
        return () if self.judges is None else tuple(name for name, _ in places(self.judges, self.is_synchro))

    @property
    def has_awards(self) -> bool:
        """Return whether any award is in."""
        return any(award is not None for award in self.awards)

    @property
    def is_judged(self) -> bool:
        """Return whether all that judges and referee say of the dive is in."""
        all_in = bool(self.awards) and None not in self.awards
        return self.points is not None and (all_in or self.penalty is Penalty.FAILED)


@dataclass(frozen=True)
class EventEnd:
    """An event is over."""

    event: EventLetter
    computer: str
    status: str = ""
    """In the program's own words."""


Message = RefereeMessage | EventEnd


def parse(data: bytes) -> Message | None:
    """Read a datagram; None: a notice that says nothing of dives.

    Raises:
        MessageError: it cannot be read, or must not be believed; says which field, and what was there.
    """
    fields = split(data)
    if fields[0] == EVENT_END:
        padded = [*fields, "", "", "", ""]
        return EventEnd(_event(padded[1]), _text(padded[2]), _text(padded[4]))
    if fields[0] != REFEREE:
        return None
    if len(fields) != NUM_FIELDS - 1:
        raise MessageError(f"a {REFEREE} message of {len(fields) + 1} fields with its end mark; known: {NUM_FIELDS}")
    return _referee(dict(zip(FIELDS, fields, strict=False)))


def _referee(raw: Mapping[str, str]) -> RefereeMessage:
    doubts: list[str] = []

    def doubtful(read: Callable[[], _Value]) -> _Value | None:
        """Read what only describes the dive."""
        try:
            return read()
        except UserError as error:
            doubts.append(str(error))
            return None

    is_synchro = _flag(raw, "synchro")
    judges = _whole(raw, "judges", 1)
    awards = _awards(raw, judges, is_synchro)
    athletes, clubs = _athletes(raw, is_synchro)
    dive = _strip(raw["dive"])
    message = RefereeMessage(
        event=_event(raw["event"]),
        computer=_text(raw["computer"]),
        event_name=_text(raw["event_name"]) or _text(raw["short_event_name"]),
        round=_whole(raw, "round", 1),
        attempt=_whole(raw, "attempt"),
        start_number=doubtful(lambda: _whole(raw, "start_number")),
        athletes=athletes,
        clubs=clubs,
        dive_number=doubtful(lambda: clean_number(dive + _strip(raw["position"])) if dive else None),
        difficulty=doubtful(lambda: clean_difficulty(_blank_zero(raw["difficulty"]))),
        height_m=doubtful(lambda: clean_height(_strip(raw["board"]).replace("½", ".5"))),
        judges=judges,
        is_synchro=is_synchro,
        awards=awards,
        judges_total=_number(raw, "judges_total", _MAX_POINTS),
        points=_number(raw, "points", _MAX_POINTS),
        total=_number(raw, "total", _MAX_TOTAL),
        rank=_rank(raw["rank"]),
        penalty=_penalty(raw["penalty"]),
        rounds=doubtful(lambda: _whole(raw, "rounds")),
        divers=doubtful(lambda: _whole(raw, "divers")),
        meet_title=_text(raw["meet_title"]),
        description=_text(raw["description"]),
        conversion=doubtful(lambda: _number(raw, "conversion", 100.0)),
        is_new_event=bool(doubtful(lambda: _flag(raw, "new_event"))),
    )
    doubt = points_doubt(message)
    return replace(message, doubts=(*doubts, *(() if doubt is None else (doubt,))))


def points_doubt(message: RefereeMessage) -> str | None:
    """Say where a dive's points are not what its awards give by the rules; None: they are, or nobody can tell."""
    awards = [award for award in message.awards if award is not None]
    by_rules = (
        message.is_judged
        and len(awards) == len(message.awards)
        and len(awards) in PANELS
        and PANELS[len(awards)].synchronised == message.is_synchro
        and message.conversion in (None, 0.0, 1.0)
        and not (message.is_synchro and message.penalty is Penalty.WRONG_POSITION)
    )
    if not by_rules or message.difficulty is None or message.points is None:
        return None
    declared = () if message.penalty is None else (message.penalty,)
    # Whether the awards were sent before or after the referee's deduction is not documented: both are right.
    given = [dive_score(awards, message.difficulty, penalties) for penalties in (declared, ())]
    if any(abs(points - message.points) <= _SAME_POINTS for points in given):
        return None
    return f"{message.points:.2f} points were sent; by the rules the awards give {given[0]:.2f}"


def compose(message: Message) -> bytes:
    """Write a message as DiveRecorder sends it; ``parse`` gives it back."""
    if isinstance(message, EventEnd):
        return join([EVENT_END, message.event.lower(), message.computer, "", message.status])
    values = dict.fromkeys(FIELDS[:-1], " ") | {
        "kind": REFEREE,
        "event": message.event.lower(),
        "computer": message.computer,
        "new_event": str(message.is_new_event),
        "round": _spelled(message.round),
        "attempt": _spelled(message.attempt),
        "start_number": _spelled(message.start_number),
        "dive": "" if message.dive_number is None else message.dive_number[:-1],
        "position": "" if message.dive_number is None else message.dive_number[-1],
        "difficulty": "" if message.difficulty is None else f"{message.difficulty:.1f}",
        "board": "" if message.height_m is None else f"{message.height_m:g}",
        "judges_total": _spelled(message.judges_total),
        "points": "" if message.points is None else f"{message.points:.2f}",
        "total": "" if message.total is None else f"{message.total:.2f}",
        "rank": _spelled(message.rank),
        "synchro": str(message.is_synchro),
        "judges": _spelled(message.judges),
        "penalty": "0" if message.penalty is None else PENALTY_CODES[message.penalty.value],
        "event_name": message.event_name,
        "description": message.description,
        "meet_title": message.meet_title,
        "rounds": _spelled(message.rounds),
        "divers": _spelled(message.divers),
        "conversion": _spelled(message.conversion),
    }
    for number, (name, club) in enumerate(zip(message.athletes, message.clubs, strict=True), 1):
        first, _, family = name.rpartition(" ")
        values |= {f"diver_{number}": f"{name} ({club})" if club else name, f"family_name_{number}": family}
        values |= {f"first_name_{number}": first, f"team_{number}": club}
    if message.judges is not None:
        for (_, place), award in zip(places(message.judges, message.is_synchro), message.awards, strict=False):
            values[AWARDS[place]] = " " if award is None else f"{award:g}"
    return join(list(values.values()))


def _awards(raw: Mapping[str, str], judges: int | None, is_synchro: bool) -> tuple[float | None, ...]:
    given = [_strip(raw[name]) for name in AWARDS]
    if judges is None:
        if any(given):
            raise MessageError("there are awards, but the number of judges is missing: nobody can say if all are in")
        return ()
    panel = places(judges, is_synchro)
    held = {place for _, place in panel}
    strange = next((place for place, text in enumerate(given) if text and place not in held), None)
    if strange is not None:
        who = f"{judges} judges{' of a pair' if is_synchro else ''}"
        raise MessageError(f"award {strange + 1} is {given[strange][:20]!r}, but {who} have none there")
    return tuple(_award(name, given[place]) for name, place in panel)


def _award(name: str, text: str) -> float | None:
    if not text:
        return None
    award = _refused(lambda: read_number(text.replace("½", ".5"), f"the award of {name}"))
    if not (0 <= award <= MAX_AWARD and (award * 2).is_integer()):
        raise MessageError(f"the award of {name} is {text[:20]!r}; allowed: 0 to {MAX_AWARD} in steps of 0.5")
    return award


def _athletes(raw: Mapping[str, str], is_synchro: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names, clubs = [], []
    for number in (1, 2) if is_synchro else (1,):
        family, first = _text(raw[f"family_name_{number}"]), _text(raw[f"first_name_{number}"])
        club = _text(raw[f"team_{number}"]) or _text(raw[f"team_code_{number}"])
        full = _text(raw[f"diver_{number}"])
        if not (family and first) and club:  # "Ada Example (Springfield DC)", "Ada Example - Springfield DC"
            full = full.removesuffix(f"({club})").removesuffix(club).rstrip(" -,(")
        name = f"{first} {family}"[:_MAX_LETTERS].strip() if family and first else full or family
        if name:
            names.append(name)
            clubs.append(club)
    return tuple(names), tuple(clubs)


def _event(text: str) -> EventLetter:
    match _strip(text).upper():
        case "A":
            return "A"
        case "B":
            return "B"
    raise MessageError(f"the event is {text[:20]!r}; allowed: a, b")


def _penalty(text: str) -> Penalty | None:
    code = _strip(text)
    if code in ("", "0"):
        return None
    if code not in _PENALTIES:
        raise MessageError(f"the penalty's code is {code[:20]!r}; allowed: 0, {', '.join(_PENALTIES)}")
    return _PENALTIES[code]


def _rank(text: str) -> int | None:
    """A rank, ``2`` or ``2=``; None where it is something else: it decides nothing."""
    with suppress(UserError):
        return read_whole(_strip(text).strip("= "), "rank", 1, _MAX_COUNT)
    return None


def _whole(raw: Mapping[str, str], name: str, least: int = 0) -> int | None:
    text = _strip(raw[name])
    if text in ("", "0"):
        return None
    return _refused(lambda: read_whole(text, f"the field {name}", least, _MAX_COUNT))


def _number(raw: Mapping[str, str], name: str, most: float) -> float | None:
    text = _strip(raw[name])
    if not text:
        return None
    value = _refused(lambda: read_number(text, f"the field {name}"))
    if not 0 <= value <= most:
        raise MessageError(f"the field {name} is {text[:20]!r}; allowed: 0 to {most:g}")
    return value


def _refused(read: Callable[[], _Value]) -> _Value:
    try:
        return read()
    except UserError as error:
        raise MessageError(str(error)) from None


def _flag(raw: Mapping[str, str], name: str) -> bool:
    text = _strip(raw[name]).casefold()
    if text in ("true", "1", "-1", "yes"):
        return True
    if text in ("false", "0", "no", ""):
        return False
    raise MessageError(f"the field {name} is {text[:20]!r}; allowed: True, False")


def _text(text: str) -> str:
    """A text without what could deceive the eye, cut to a name's length."""
    with suppress(UserError):
        return clean_text(text[:_MAX_LETTERS], "text")
    return clean_text(text[: _MAX_LETTERS // 4], "text")  # some letters are several after composition


def _together(names: Iterable[str]) -> str:
    """The names of a pair, cut to what a start list takes."""
    return " / ".join(names)[:_MAX_LETTERS].rstrip(" /")


def _strip(text: str) -> str:
    return text.strip(_BLANK)


def _blank_zero(text: str) -> str:
    """A value that is written as 0 where it is not given."""
    stripped = _strip(text)
    return stripped if stripped.strip("0.,") else ""


def _spelled(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
