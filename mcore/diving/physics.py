"""Physical constants of a dive, used alike by what renders dives and by what detects them."""

from __future__ import annotations

import math

GRAVITY_M_S2 = 9.81
"""Acceleration of a body in free fall, metres a second squared."""

LOWEST_BOARD_M = 1.0
HIGHEST_BOARD_M = 10.0
HIGHEST_JUMP_M = 1.5
"""Above the board. From a springboard a body rises a little higher, but falls from 3 m only."""
LONGEST_FLIGHT_S = math.sqrt(2 * HIGHEST_JUMP_M / GRAVITY_M_S2) + math.sqrt(
    2 * (HIGHEST_BOARD_M + HIGHEST_JUMP_M) / GRAVITY_M_S2
)
"""From take-off to water at the longest, 2.1 s: up from the highest board, and down from there."""
SHORTEST_FLIGHT_S = math.sqrt(2 * LOWEST_BOARD_M / GRAVITY_M_S2)
"""From take-off to water at the shortest, 0.45 s: a mere fall from the lowest board."""
