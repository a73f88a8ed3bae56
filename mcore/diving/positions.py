"""Positions that the rules allow a dive to be made in (World Aquatics competition regulations, 1.6.4)."""

from __future__ import annotations

from mcore.diving.dive_number import POSITIONS, DiveNumber


def allowed_positions(dive: DiveNumber) -> str:
    """Letters of the positions that a dive of this many somersaults and twists may be made in; empty: none."""
    somersaults, twists = dive.half_somersaults, dive.half_twists
    if twists == 0:
        return "ABC"
    if dive.armstand:
        if twists == 1:
            return "BCD"
        return "" if somersaults < 2 else "D" if somersaults <= 4 else "BC"
    return "ABC" if somersaults == 1 else "D" if somersaults <= 3 else "BC"


def position_fault(dive: DiveNumber) -> str | None:
    """Say that the rules do not allow the dive's position; None: they do."""
    allowed = allowed_positions(dive)
    if dive.position in allowed:
        return None
    if not allowed:
        return "rule 1.6.4 has no position for this armstand dive with twists; it takes one somersault or more"
    words = " or ".join(f"{letter} ({POSITIONS[letter]})" for letter in allowed)  # type: ignore[index]
    return f"rule 1.6.4 does not allow {dive.position} ({POSITIONS[dive.position]}) for this dive; allowed: {words}"
