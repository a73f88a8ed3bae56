"""Messages of a meet, made by hand and by the library."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcore_runtime.meet.layout import FIELDS
from mcore_runtime.meet.message import RefereeMessage

AWARDS = (7.0, 7.5, 7.0, 7.0, 6.5, 7.0, 8.0)
ANNOUNCED = RefereeMessage(
    event="A",
    computer="DR1",
    event_name="Men 3 m",
    round=1,
    attempt=1,
    start_number=1,
    athletes=("Ada Example",),
    clubs=("North",),
    dive_number="407C",
    difficulty=3.4,
    height_m=3.0,
    judges=7,
    is_synchro=False,
    awards=(None,) * 7,
    rounds=6,
    divers=12,
    meet_title="Autumn Cup",
)


def announced(athlete: str = "Ada Example", **changes: Any) -> RefereeMessage:
    """An announcement."""
    return (
        replace(ANNOUNCED, athletes=tuple(athlete.split(" / ")), clubs=("North",) * len(athlete.split(" / ")))
        if (not changes)
        else replace(announced(athlete), **changes)
    )


def judged(message: RefereeMessage = ANNOUNCED, points: float = 71.4, **changes: Any) -> RefereeMessage:
    """The same dive with its awards: what counts of them is 21 for one diver."""
    awards = AWARDS if len(message.awards) == 7 else (7.0,) * len(message.awards)
    return replace(message, awards=awards, points=points, **changes)


def raw(**values: str) -> bytes:
    """A message as text, field by field, as the third party's notes describe it; what is not given is blank."""
    base = {
        "kind": "REFEREE", "event": "a", "computer": "DESKTOP-1", "new_event": "False", "round": "2", "attempt": "1",
        "start_number": "3", "diver_1": "Ada Example (North)", "family_name_1": "Example", "first_name_1": "Ada",
        "team_1": "North", "dive": "407", "position": "C", "difficulty": "3.4", "board": "3", "synchro": "False",
        "judges": "7", "penalty": "0", "event_name": "Men 3 m",
    }  # fmt: skip
    fields = dict.fromkeys(FIELDS[:-1], " ") | base | values
    return ("|".join(fields.values()) + "|^\r\n").encode()
