"""Degree of difficulty by the diving rules (World Aquatics competition regulations, 1.6 and appendices 8 to 11).

It is the sum of components: somersaults, flight position, flying, twists, approach, and unnatural entry. Tables are
for springboards of 1 and 3 m and platforms of 5, 7.5 and 10 m; armstand dives exist on platforms only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from mcore.common.errors import UserError
from mcore.diving.dive_number import POSITIONS, DiveNumber, Position
from mcore.diving.editions import NEWEST, Edition

HeightM = float
"""Height of a board in metres, one of ``HEIGHTS_M``."""
HEIGHTS_M: tuple[HeightM, ...] = (1, 3, 5, 7.5, 10)
SPRINGBOARDS_M: tuple[HeightM, ...] = (1, 3)

SYNCHRO_DIFFICULTY = 2.0
"""Assigned in the first rounds of synchronised events, whatever the dive."""
SYNCHRO_ROUNDS = (1, 2)
"""The rounds in which it is."""

_Table = tuple[tuple[float | None, ...], ...]


def _table(text: str) -> _Table:
    """Read a table of the rules: rows separated by bars, ``x`` where the rules have no such dive."""
    return tuple(tuple(None if value == "x" else float(value) for value in row.split()) for row in text.split("|"))


# A: by half somersaults.
_SOMERSAULTS: dict[HeightM, dict[int, float]] = {
    1: {0: 0.9, 1: 1.1, 2: 1.2, 3: 1.6, 4: 2.0, 5: 2.4, 6: 2.7, 7: 3.0, 8: 3.3, 9: 3.8},
    3: {0: 1.0, 1: 1.3, 2: 1.3, 3: 1.5, 4: 1.8, 5: 2.2, 6: 2.3, 7: 2.8, 8: 2.9, 9: 3.5},
    5: {0: 0.9, 1: 1.1, 2: 1.2, 3: 1.6, 4: 2.0, 5: 2.4, 6: 2.7, 7: 3.0},
    7.5: {0: 1.0, 1: 1.3, 2: 1.3, 3: 1.5, 4: 1.8, 5: 2.2, 6: 2.3, 7: 2.8, 8: 3.5, 9: 3.5},
    10: {0: 1.0, 1: 1.3, 2: 1.4, 3: 1.5, 4: 1.9, 5: 2.1, 6: 2.5, 7: 2.7, 8: 3.5, 9: 3.5, 11: 4.5},
}

# B: rows are bands of half somersaults (0-2, 3-4, 5, 6-7, 8-9, 10 and more), columns forward, back, reverse, inward
# and, on platforms, armstand.
_POSITION_SPRINGBOARD: dict[Position, _Table] = {
    "C": _table("0.1 0.1 0.1 -0.3 | 0 0 0 0.1 | 0 0.1 0 0.2 | 0 0 0 0.3 | 0 0.1 0.2 0.4"),
    "B": _table("0.2 0.2 0.2 -0.2 | 0.1 0.3 0.3 0.3 | 0.2 0.3 0.2 0.5 | 0.3 0.3 0.3 0.6 | 0.4 0.4 0.5 0.8"),
    "A": _table("0.3 0.3 0.3 0.1 | 0.4 0.5 0.6 0.8 | 0.6 0.7 0.6 x"),
    "D": _table("0.1 0.1 0.1 -0.1 | 0 -0.1 -0.1 0.2 | 0 -0.1 -0.2 0.4 | 0 0 0 x"),
}
_POSITION_PLATFORM: dict[Position, _Table] = {
    "C": _table("0.1 0.1 0.1 -0.3 0.1 | 0 0 0 0.1 0 | 0 0.1 0 0.2 0.1 | 0 0 0 0.3 0.2 | 0 0.1 0.3 0.4 0.3 | 0 x x x x"),
    "B": _table(
        "0.2 0.2 0.2 -0.2 0.3 | 0.1 0.3 0.3 0.3 0.3 | 0.2 0.3 0.2 0.5 0 | 0.3 0.3 0.3 0.6 0.4 | 0.4 0.4 0.6 0.7 0.5"
    ),
    "A": _table("0.3 0.3 0.3 0.1 0.4 | 0.4 0.5 0.6 0.8 0.5 | 0.6 0.7 0.6 x x"),
    "D": _table("0.1 0.1 0.1 -0.1 0 | 0 -0.1 -0.1 0.2 0 | 0 -0.1 -0.2 0.4 0 | 0 0 0 x x"),
}
_FLYING = _table("0.2 0.1 0.1 0.4 | 0.2 0.2 0.2 0.5 | 0.3 0.3 0.3 0.7 | 0.4 x x x")
"""Added to the position of a flying dive, at every height."""
_ARMSTAND_COLUMN = 4

# C: rows are half twists from 1 on; four values are for the somersault bands of B (the last ones together), two are
# for up to two somersaults and for more.
_FORWARD = "0.4 0.4 0.4 0.4 | 0.6 | 0.8 0.8 | 1.0 | 1.2 1.2 | 1.5 | 1.6 1.6 | 1.9 | 2.0 2.0"
_INWARD = "0.2 0.4 0.2 0.4 | 0.4 | 0.8 0.8 | 0.8 | 1.2 1.2 | 1.5 | 1.6 1.6 | 1.9 | 2.0 2.0"
_SPRINGBOARD_BACK = "0.2 0.4 0 0 | 0.4 | 0.8 0.7 | 0.8 | 1.2 1.1 | 1.4 | 1.7 1.7 | 1.8 | 2.1 2.1"
_SPRINGBOARD_REVERSE = "0.2 0.4 0 0 | 0.4 | 0.8 0.6 | 0.8 | 1.2 1.0 | 1.4 | 1.8 1.8 | 1.8 | 2.1 2.1"
_PLATFORM_BACKWARD = "0.2 0.4 0 0 | 0.4 | 0.8 0.6 | 0.8 | 1.2 1.0 | 1.4 | 1.7 1.5 | 1.8 | 2.1 1.9"
_TWISTS_SPRINGBOARD = tuple(map(_table, (_FORWARD, _SPRINGBOARD_BACK, _SPRINGBOARD_REVERSE, _INWARD)))
_TWISTS_PLATFORM = tuple(map(_table, (_FORWARD, _PLATFORM_BACKWARD, _PLATFORM_BACKWARD, _INWARD)))
"""By direction, from 1 on."""
_ARMSTAND_BACKWARD = _table("0.4 0.5 0.5 0.5 | 1.2 | 1.3 1.3 | 1.3 | 1.7 1.7 | 1.9 | 2.1 2.1 | 2.3 | 2.5 2.5")
_TWISTS_ARMSTAND: Mapping[int, _Table] = {  # no twists out of an inward armstand
    1: _table("0.4 0.5 0.5 0.4 | 1.2 | 1.3 1.3 | 1.5 | 1.7 1.7 | 1.9 | 2.1 2.1 | 2.3 | 2.5 2.5"),
    2: _ARMSTAND_BACKWARD,
    3: _ARMSTAND_BACKWARD,
}

# D: rows by direction; columns end at these numbers of half somersaults, the last one has no end.
_APPROACH_ENDS = ((7,), (6,), (4, 6), (2,))
_APPROACH: dict[HeightM, _Table] = {
    1: _table("0 0.5 | 0.2 0.6 | 0.3 0.3 0.5 | 0.6 0.5"),
    3: _table("0 0.3 | 0.2 0.4 | 0.3 0.3 0.3 | 0.3 0.3"),
    5: _table("0 0.5 | 0.2 0.5 | 0.3 0.4 0.6 | 0.6 0.5"),
    7.5: _table("0 0.3 | 0.2 0.3 | 0.3 0.4 0.4 | 0.3 0.3"),
    10: _table("0 0.2 | 0.2 0.2 | 0.3 0.4 0.3 | 0.3 0.2"),
}
_ARMSTAND_APPROACH_ENDS = ((4,), (1,), (1,), (4,))
_ARMSTAND_APPROACH = _table("0.2 0.4 | 0.2 0.4 | 0.3 0.5 | 0.3 0.5")

# E: by half somersaults; in the other direction the diver sees the water.
_BLIND_FORWARD = {2: 0.1, 4: 0.2, 6: 0.2}
_BLIND_FORWARD_SPRINGBOARD = _BLIND_FORWARD | {8: 0.2}
_BLIND_BACKWARD = {1: 0.1, 3: 0.2, 5: 0.3, 7: 0.4, 9: 0.4}
_BLIND_ARMSTAND_BACKWARD = {2: 0.1, 4: 0.2, 6: 0.2, 8: 0.3}

_PRINTED: dict[tuple[str, HeightM], float] = {("208B", 5): 4.4, ("208C", 5): 4.1}
"""Dives in the rules' list of difficulties for which their own components have no value."""


def difficulty(dive: DiveNumber | str, height_m: HeightM, edition: Edition = NEWEST) -> float | None:
    """Degree of difficulty of a dive.

    Args:
        dive: a dive number, parsed or as text.
        height_m: 1 or 3 (springboard), 5, 7.5 or 10 (platform).
        edition: of the rules.

    Returns:
        Difficulty to one decimal, or None where the rules have no such dive; ``why_no_difficulty`` says why.

    Raises:
        DiveNumberError: the text is not a dive number.
        UserError: the rules have no board of this height.
    """
    dive = DiveNumber.parse(dive) if isinstance(dive, str) else dive
    if why_no_difficulty(dive, height_m, edition) is not None:
        return None
    if printed := _PRINTED.get((dive.text, height_m)):
        return printed
    return round(sum(value or 0.0 for value in _components(dive, height_m).values()), 1)


def why_no_difficulty(dive: DiveNumber | str, height_m: HeightM, edition: Edition = NEWEST) -> str | None:
    """Say why a dive has no difficulty from a height; None: it has one.

    Args:
        dive: a dive number, parsed or as text.
        height_m: 1 or 3 (springboard), 5, 7.5 or 10 (platform).
        edition: of the rules.

    Raises:
        DiveNumberError: the text is not a dive number.
        UserError: the rules have no board of this height.
    """
    dive = DiveNumber.parse(dive) if isinstance(dive, str) else dive
    if height_m not in HEIGHTS_M:
        heights = ", ".join(f"{height:g}" for height in HEIGHTS_M)
        raise UserError(f"a board of {height_m} m; the rules have difficulties from {heights} m")
    if fault := _position_fault(dive):
        return fault
    if dive.armstand and height_m in SPRINGBOARDS_M:
        return f"armstand dives are made from a platform, not from the springboard of {height_m:g} m"
    if dive.armstand and dive.direction == 4 and not edition.armstand_inward:
        return f"the rules of {edition} have no armstand dives with inward rotation"
    if (dive.text, height_m) in _PRINTED:
        return None
    missing = [name for name, value in _components(dive, height_m).items() if value is None]
    return f"the rules have no value for its {missing[0]} from {height_m:g} m" if missing else None


def difficulties(dive: DiveNumber | str, edition: Edition = NEWEST) -> dict[HeightM, float]:
    """Degrees of difficulty of a dive from each height that has one.

    Raises:
        DiveNumberError: the text is not a dive number.
    """
    return {h: value for h in HEIGHTS_M if (value := difficulty(dive, h, edition)) is not None}


def _components(dive: DiveNumber, height_m: HeightM) -> dict[str, float | None]:
    """The summands of a difficulty; None where the rules' table has a dash."""
    return {
        "number of somersaults": _SOMERSAULTS[height_m].get(dive.half_somersaults),
        "position": _position(dive, height_m),
        "flying": _of_band(_FLYING, dive) if dive.flying else 0.0,
        "twists": _twists(dive, height_m),
        "approach": _approach(dive, height_m),
        "entry": _unnatural_entry(dive, height_m),
    }


def _band(half_somersaults: int) -> int:
    return bisect_left((2, 4, 5, 7, 9), half_somersaults)


def _of_band(rows: _Table, dive: DiveNumber) -> float | None:
    band = _band(dive.half_somersaults)
    return rows[band][_ARMSTAND_COLUMN if dive.armstand else dive.direction - 1] if band < len(rows) else None


def _position(dive: DiveNumber, height_m: HeightM) -> float | None:
    tables = _POSITION_SPRINGBOARD if height_m in SPRINGBOARDS_M else _POSITION_PLATFORM
    return _of_band(tables[dive.position], dive)


def _twists(dive: DiveNumber, height_m: HeightM) -> float | None:
    if not dive.half_twists:
        return 0.0
    if dive.armstand:
        table = _TWISTS_ARMSTAND.get(dive.direction)
    else:
        table = (_TWISTS_SPRINGBOARD if height_m in SPRINGBOARDS_M else _TWISTS_PLATFORM)[dive.direction - 1]
    if table is None:
        return None
    values = table[dive.half_twists - 1]
    if len(values) == 4:
        column = min(_band(dive.half_somersaults), 3)
    else:
        column = int(len(values) == 2 and dive.half_somersaults > 4)
    return values[column]


def _approach(dive: DiveNumber, height_m: HeightM) -> float | None:
    if dive.armstand and dive.half_twists:
        return 0.0
    ends = (_ARMSTAND_APPROACH_ENDS if dive.armstand else _APPROACH_ENDS)[dive.direction - 1]
    rows = _ARMSTAND_APPROACH if dive.armstand else _APPROACH[height_m]
    return rows[dive.direction - 1][bisect_left(ends, dive.half_somersaults)]


def _unnatural_entry(dive: DiveNumber, height_m: HeightM) -> float:
    if dive.half_twists:
        return 0.0
    rotates_forward = dive.direction in (1, 4)
    if dive.armstand:
        table = _BLIND_BACKWARD if rotates_forward else _BLIND_ARMSTAND_BACKWARD
    elif rotates_forward:
        table = _BLIND_FORWARD_SPRINGBOARD if height_m in SPRINGBOARDS_M else _BLIND_FORWARD
    else:
        table = _BLIND_BACKWARD
    return table.get(dive.half_somersaults, 0.0)


def _allowed_positions(dive: DiveNumber) -> str:
    """Letters of the positions that rule 1.6.4 allows for so many somersaults and twists; empty: none."""
    somersaults, twists = dive.half_somersaults, dive.half_twists
    if twists == 0:
        return "ABC"
    if dive.armstand:
        if twists == 1:
            return "BCD"
        return "" if somersaults < 2 else "D" if somersaults <= 4 else "BC"
    return "ABC" if somersaults == 1 else "D" if somersaults <= 3 else "BC"


def _position_fault(dive: DiveNumber) -> str | None:
    """Say that the rules do not allow the dive's position; None: they do."""
    allowed = _allowed_positions(dive)
    if dive.position in allowed:
        return None
    if not allowed:
        return "rule 1.6.4 has no position for this armstand dive with twists; it takes one somersault or more"
    words = " or ".join(f"{letter} ({POSITIONS[letter]})" for letter in allowed)  # type: ignore[index]
    return f"rule 1.6.4 does not allow {dive.position} ({POSITIONS[dive.position]}) for this dive; allowed: {words}"
