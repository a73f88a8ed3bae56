"""Faults of a dive that a judge can see, and the award that they are worth.

Each stage has faults of its own. They are nearly independent: a diver is a little better or worse in all of them, and
each varies far more by itself, so that nobody can tell the score from one stage or one cue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Stage = Literal["take-off", "flight", "entry"]
MAX_OFF_VERTICAL_DEG = 42.0
# Share of the whole deduction that each fault makes up. The rules name no weights: they tell judges to consider
# approach, take-off, flight and entry. A take-off is over soon, so it weighs 0.14; flight and entry share the rest.
_WEIGHTS: dict[Stage, dict[str, float]] = {
    "take-off": {"balance": 0.07, "lean": 0.07},
    "flight": {"knees": 0.12, "legs": 0.12, "hips": 0.10, "opening": 0.07, "distance": 0.07},
    "entry": {"angle": 0.15, "splash": 0.13, "arms": 0.05, "line": 0.05},
}  # fmt: skip
_WEIGHT = {fault: weight for weights in _WEIGHTS.values() for fault, weight in weights.items()}
FAULT_STAGES: dict[str, Stage] = {fault: stage for stage, weights in _WEIGHTS.items() for fault in weights}
"""Stage in which each fault is drawn, and to which it is charged."""
_BEST_AWARD, _WORST_AWARD = 9.9, 1.5
_BADNESS = (0.38, 0.17)
"""Mean and standard deviation of what a dive's faults have in common: awards then spread like FineDiving's."""
_FAULT_STD = 0.38
"""Standard deviation of one fault around a dive's badness."""
_BISECTIONS = 48
"""Halvings of a span of a few units: exact to rounding."""


@dataclass(frozen=True)
class Faults:
    """Severity of each visible fault: 0 none, 1 gross; and to which side two of them go."""

    balance: float = 0.0
    """Swaying, with arms that fly, before the take-off."""
    lean: float = 0.0
    """Leaning out too far as the board is left."""
    knees: float = 0.0
    """Knees bent where they should be straight; in the tuck, shins that are not drawn in."""
    legs: float = 0.0
    """Legs apart in the flight."""
    hips: float = 0.0
    """An open pike or tuck; hips bent in the straight and twisting positions."""
    opening: float = 0.0
    """Opening late for the entry."""
    distance: float = 0.0
    """Too far from the board, or too near."""
    angle: float = 0.0
    """Body off the vertical at entry, as a share of ``MAX_OFF_VERTICAL_DEG``."""
    splash: float = 0.0
    """Size of the splash."""
    arms: float = 0.0
    """Arms that are not in line at entry."""
    line: float = 0.0
    """Hips bent at entry."""
    over_rotated: bool = True
    """Whether the entry is past the vertical, or short of it."""
    too_near: bool = False
    """Whether a bad distance is too near to the board, or too far from it."""

    @property
    def off_vertical_deg(self) -> float:
        """Angle of the body past (positive) or short of (negative) the vertical at entry, degrees."""
        off = self.angle * MAX_OFF_VERTICAL_DEG
        return off if self.over_rotated else -off

    @property
    def severities(self) -> dict[str, float]:
        """Severity of each fault by its name, exact to a thousandth."""
        return {name: round(float(getattr(self, name)), 3) for name in _WEIGHT}

    @property
    def deductions(self) -> dict[str, float]:
        """Award points that each fault costs, by the fault's name."""
        span = _BEST_AWARD - _WORST_AWARD
        return {name: span * weight * getattr(self, name) for name, weight in _WEIGHT.items()}

    @property
    def fair_award(self) -> float:
        """Award of a judge without any error: 0 to 10, not rounded."""
        return _BEST_AWARD - sum(self.deductions.values())


def draw_faults(rng: np.random.Generator) -> Faults:
    """Draw a dive's faults, from nearly flawless to failed dives."""
    apart, sides = _draw_differences(rng)
    return _faults(rng.normal(*_BADNESS) + apart, sides)


def draw_faults_for(fair_award: float, rng: np.random.Generator) -> Faults:
    """Draw faults that bring a given award, spread over the single faults as in ``draw_faults``.

    Args:
        fair_award: what ``Faults.fair_award`` shall be; beyond what faults can express, the nearest they can.
        rng: decides which faults are worse than others.
    """
    apart, sides = _draw_differences(rng)
    # The deduction grows with the common badness, so bisection finds the one that is worth the award.
    weights = np.array(list(_WEIGHT.values()))
    wanted = (_BEST_AWARD - fair_award) / (_BEST_AWARD - _WORST_AWARD)
    low, high = -1.0 - float(np.abs(apart).max()), 1.0 + float(np.abs(apart).max())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        deduction = float(weights @ np.clip(middle + apart, 0.0, 1.0))
        low, high = (middle, high) if deduction < wanted else (low, middle)
    return _faults((low + high) / 2 + apart, sides)


def _draw_differences(rng: np.random.Generator) -> tuple[NDArray[np.float64], tuple[bool, bool]]:
    """How far each fault is from the dive's badness, (faults,), and the sides of angle and distance."""
    over_rotated, too_near = (rng.random(2) < 0.5).tolist()
    return rng.normal(0.0, _FAULT_STD, len(_WEIGHT)), (over_rotated, too_near)


def _faults(severity: NDArray[np.float64], sides: tuple[bool, bool]) -> Faults:
    values = np.clip(severity, 0.0, 1.0).tolist()
    return Faults(**dict(zip(_WEIGHT, values, strict=True)), over_rotated=sides[0], too_near=sides[1])
