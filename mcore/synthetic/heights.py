"""Heights of board that the renderer draws."""

from __future__ import annotations

from typing import Literal, get_args

from mcore.common.errors import UserError
from mcore.diving.dive_number import DiveNumber

DrawnHeightM = Literal[3, 10]
"""3 (springboard) or 10 (platform); the rules have more."""
DRAWN_HEIGHTS_M: tuple[DrawnHeightM, ...] = get_args(DrawnHeightM)


def check_drawn(height_m: float) -> None:
    """Refuse a board that cannot be drawn.

    Raises:
        UserError: another height than 3 or 10 m.
    """
    if height_m not in DRAWN_HEIGHTS_M:
        raise UserError(f"a board of {height_m:g} m; the renderer draws only boards of 3, 10 m, not all of the rules")


def check_can_be_drawn(dive: DiveNumber) -> None:
    """Refuse a dive whose movement the renderer does not know.

    Raises:
        UserError: a flying dive, or an armstand dive with inward rotation.
    """
    if dive.flying or (dive.armstand and dive.direction == 4):
        raise UserError(f"{dive.text} ({dive.describe()}) cannot be drawn: no flying dives, no inward armstand dives")
