"""Degree of difficulty by the FINA diving rules 2017-2021 (D 1.6; appendix 1 springboard, appendix 3 platform).

It is the sum of five components: somersaults, flight position, twists, approach, and unnatural entry. Tables
are for the 3 m springboard and the 10 m platform; armstand dives exist on the platform only.
"""

from __future__ import annotations

from typing import Literal

from mcore.common.errors import UserError
from mcore.diving.dive_number import DiveNumber, Position

HeightM = Literal[3, 10]

_Table = tuple[tuple[float | None, ...], ...]


def _table(text: str) -> _Table:
    """Read a table of the rules: rows separated by bars, ``x`` where the rules have no such dive."""
    return tuple(tuple(None if value == "x" else float(value) for value in row.split()) for row in text.split("|"))


# A: by half somersaults.
_SOMERSAULTS: dict[HeightM, dict[int, float]] = {
    3: {0: 1.0, 1: 1.3, 2: 1.3, 3: 1.5, 4: 1.8, 5: 2.2, 6: 2.3, 7: 2.8, 8: 2.9, 9: 3.5},
    10: {0: 1.0, 1: 1.3, 2: 1.4, 3: 1.5, 4: 1.9, 5: 2.1, 6: 2.5, 7: 2.7, 8: 3.5, 9: 3.5, 11: 4.5},
}

# B: rows are bands of half somersaults (0-2, 3-4, 5, 6-7, 8 and more), columns forward, back, reverse, inward and,
# on the platform, armstand.
_POSITION: dict[HeightM, dict[Position, _Table]] = {
    3: {
        "C": _table("0.1 0.1 0.1 -0.3 | 0 0 0 0.1 | 0 0.1 0 0.2 | 0 0 0 0.3 | 0 0.1 0.2 0.4"),
        "B": _table("0.2 0.2 0.2 -0.2 | 0.1 0.3 0.3 0.3 | 0.2 0.3 0.2 0.5 | 0.3 0.3 0.3 0.6 | 0.4 0.4 0.5 0.8"),
        "A": _table("0.3 0.3 0.3 0.1 | 0.4 0.5 0.6 0.8 | 0.6 0.7 0.6 x"),
        "D": _table("0.1 0.1 0.1 -0.1 | 0 -0.1 -0.1 0.2 | 0 -0.1 -0.2 0.4 | 0 0 0 x"),
    },
    10: {
        "C": _table("0.1 0.1 0.1 -0.3 0.1 | 0 0 0 0.1 0 | 0 0.1 0 0.2 0.1 | 0 0 0 0.3 0.2 | 0 0.1 0.3 0.4 0.3"),
        "B": _table(
            "0.2 0.2 0.2 -0.2 0.3 | 0.1 0.3 0.3 0.3 0.3 | 0.2 0.3 0.2 0.5 0 | 0.3 0.3 0.3 0.6 0.4 | 0.4 0.4 0.6 0.7 0.5"
        ),
        "A": _table("0.3 0.3 0.3 0.1 0.4 | 0.4 0.5 0.6 0.8 0.5 | 0.6 0.7 0.6 x x"),
        "D": _table("0.1 0.1 0.1 -0.1 0 | 0 -0.1 -0.1 0.2 0 | 0 -0.1 -0.2 0.4 0 | 0 0 0 0 x"),
    },
}
_ARMSTAND_COLUMN = 4

# C: rows are half twists from 1 on; four values are for the somersault bands of B (the last two together), two are for
# up to two somersaults and for more.
_FORWARD = "0.4 0.4 0.4 0.4 | 0.6 | 0.8 0.8 | 1.0 | 1.2 1.2 | 1.5 | 1.6 1.6 | 1.9 | 2.0 2.0"
_INWARD = "0.2 0.4 0.2 0.4 | 0.4 | 0.8 0.8 | 0.8 | 1.2 1.2 | 1.5 | 1.6 1.6 | 1.9 | 2.0 2.0"
_BACK_3 = "0.2 0.4 0 0 | 0.4 | 0.8 0.7 | 0.8 | 1.2 1.1 | 1.4 | 1.7 1.7 | 1.8 | 2.1 2.1"
_REVERSE_3 = "0.2 0.4 0 0 | 0.4 | 0.8 0.6 | 0.8 | 1.2 1.0 | 1.4 | 1.8 1.8 | 1.8 | 2.1 2.1"
_BACKWARD_10 = "0.2 0.4 0 0 | 0.4 | 0.8 0.6 | 0.8 | 1.2 1.0 | 1.4 | 1.7 1.5 | 1.8 | 2.1 1.9"
_TWISTS: dict[HeightM, tuple[_Table, ...]] = {  # by direction, from 1 on
    3: (_table(_FORWARD), _table(_BACK_3), _table(_REVERSE_3), _table(_INWARD)),
    10: (_table(_FORWARD), _table(_BACKWARD_10), _table(_BACKWARD_10), _table(_INWARD)),
}
_ARMSTAND_FORWARD = _table("0.4 0.5 0.5 0.4 | 1.2 | 1.3 1.3 | 1.5 | 1.7 1.7 | 1.9 | 2.1 2.1 | 2.3 | 2.5 2.5")
_ARMSTAND_BACKWARD = _table("0.4 0.5 0.5 0.5 | 1.2 | 1.3 1.3 | 1.3 | 1.7 1.7 | 1.9 | 2.1 2.1 | 2.3 | 2.5 2.5")

# E: by half somersaults; in the other direction the diver sees the water.
_BLIND_FORWARD = {2: 0.1, 4: 0.2, 6: 0.2}
_BLIND_BACKWARD = {1: 0.1, 3: 0.2, 5: 0.3, 7: 0.4, 9: 0.4}
_BLIND_ARMSTAND_BACKWARD = {2: 0.1, 4: 0.2, 6: 0.2, 8: 0.3}


def difficulty(dive: DiveNumber | str, height_m: HeightM) -> float | None:
    """Degree of difficulty of a dive.

    Args:
        dive: a dive number, parsed or as text.
        height_m: 3 (springboard) or 10 (platform).

    Returns:
        Difficulty to one decimal, or None where the tables have no such dive; they have no flying ones.

    Raises:
        DiveNumberError: the text is not a dive number.
        UserError: the tables are for 3 m and 10 m only.
    """
    dive = DiveNumber.parse(dive) if isinstance(dive, str) else dive
    if height_m not in _SOMERSAULTS:
        raise UserError(f"difficulty is known for 3 m and 10 m, got {height_m} m")
    if dive.flying or (dive.armstand and height_m == 3):
        return None
    somersaults = _SOMERSAULTS[height_m].get(dive.half_somersaults)
    position = _position(dive, height_m)
    if somersaults is None or position is None:
        return None
    total = somersaults + position + _twists(dive, height_m) + _approach(dive, height_m) + _unnatural_entry(dive)
    return round(total, 1)


def _band(half_somersaults: int) -> int:
    return sum(half_somersaults > most for most in (2, 4, 5, 7))


def _position(dive: DiveNumber, height_m: HeightM) -> float | None:
    rows = _POSITION[height_m][dive.position]
    band = _band(dive.half_somersaults)
    if band >= len(rows):
        return None
    return rows[band][_ARMSTAND_COLUMN if dive.armstand else dive.direction - 1]


def _twists(dive: DiveNumber, height_m: HeightM) -> float:
    if not dive.half_twists:
        return 0.0
    if dive.armstand:
        table = _ARMSTAND_FORWARD if dive.direction == 1 else _ARMSTAND_BACKWARD
    else:
        table = _TWISTS[height_m][dive.direction - 1]
    values = table[dive.half_twists - 1]
    if len(values) == 4:
        column = min(_band(dive.half_somersaults), 3)
    else:
        column = int(len(values) == 2 and dive.half_somersaults > 4)
    return values[column] or 0.0


def _approach(dive: DiveNumber, height_m: HeightM) -> float:
    n, platform = dive.half_somersaults, height_m == 10
    if dive.armstand:
        if dive.half_twists:
            return 0.0
        return {1: 0.2 if n <= 4 else 0.4, 2: 0.2 if n <= 1 else 0.4, 3: 0.3 if n <= 1 else 0.5}[dive.direction]
    if dive.direction == 1:
        return 0.0 if n <= 7 else 0.2 if platform else 0.3
    if dive.direction == 2:
        return 0.2 if n <= 6 else 0.2 if platform else 0.4
    if dive.direction == 3:
        return 0.4 if platform and 5 <= n <= 6 else 0.3
    return 0.3 if n <= 2 or not platform else 0.2


def _unnatural_entry(dive: DiveNumber) -> float:
    if dive.half_twists:
        return 0.0
    if dive.armstand:
        table = _BLIND_BACKWARD if dive.direction == 1 else _BLIND_ARMSTAND_BACKWARD
    else:
        table = _BLIND_FORWARD if dive.direction in (1, 4) else _BLIND_BACKWARD
    return table.get(dive.half_somersaults, 0.0)
