"""Physical constants of a dive, used alike by what renders dives and by what detects them."""

from __future__ import annotations

import math

GRAVITY_M_S2 = 9.81
"""Acceleration of a body in free fall, metres a second squared."""

LOWEST_BOARD_M = 1.0
HIGHEST_BOARD_M = 10.0
LOWEST_JUMP_M = 0.2
"""Above the board, of who dives from the lowest one: without it there is no time to turn."""
HIGHEST_JUMP_M = 1.5
"""Above the board. From a springboard a body rises a little higher, but falls from 3 m only."""


def _flight_s(board_m: float, jump_m: float) -> float:
    """Return the seconds from a jump so high to the water."""
    return math.sqrt(2 * jump_m / GRAVITY_M_S2) + math.sqrt(2 * (board_m + jump_m) / GRAVITY_M_S2)


SHORTEST_FLIGHT_S = _flight_s(LOWEST_BOARD_M, LOWEST_JUMP_M)
"""From take-off to water at the shortest, 0.7 s: a small jump from the lowest board."""
LONGEST_FLIGHT_S = _flight_s(HIGHEST_BOARD_M, HIGHEST_JUMP_M)
"""From take-off to water at the longest, 2.1 s: a high jump from the highest board."""
