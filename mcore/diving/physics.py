"""Physical constants of a dive, used alike by what renders dives and by what detects them."""

from __future__ import annotations

GRAVITY_M_S2 = 9.81
"""Acceleration of a body in free fall, metres a second squared."""
