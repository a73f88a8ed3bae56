"""Faults of a dive that a judge can see, and the award that they are worth.

One latent quality makes a diver's faults go together; each also varies by itself, so that no single cue tells
the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Stage = Literal["take-off", "flight", "entry"]
MAX_OFF_VERTICAL_DEG = 42.0
MAX_DRIFT_M = 1.6
_WEIGHTS = {"entry": 0.30, "splash": 0.32, "knees": 0.13, "legs": 0.13, "distance": 0.06, "toes": 0.06}
FAULT_STAGES: dict[str, Stage] = {
    "entry": "entry", "splash": "entry", "knees": "flight", "legs": "flight", "distance": "flight", "toes": "flight",
}  # fmt: skip
"""Stage that each fault is charged to. Bent knees, legs apart and flexed feet can be seen at the entry too."""
_BEST_AWARD, _WORST_AWARD = 9.9, 1.5
_FAULT_STD = 0.13
"""Standard deviation of one fault around a dive's badness."""
_BISECTIONS = 48
"""Halvings of a span of a few units: exact to rounding."""


@dataclass(frozen=True)
class Faults:
    """Severity of each visible fault: 0 none, 1 gross."""

    entry: float
    """Body off the vertical at entry, as a share of ``MAX_OFF_VERTICAL_DEG``."""
    over_rotated: bool
    """Whether the entry is past the vertical, or short of it."""
    splash: float
    """Height and width of the splash."""
    knees: float
    """Knees bent where they should be straight; in the tuck, a loose tuck."""
    legs: float
    """Legs apart."""
    distance: float
    """Too far from the board, as a share of ``MAX_DRIFT_M``."""
    toes: float
    """Feet not pointed."""

    @property
    def off_vertical_deg(self) -> float:
        """Angle of the body past (positive) or short of (negative) the vertical at entry, degrees."""
        angle = self.entry * MAX_OFF_VERTICAL_DEG
        return angle if self.over_rotated else -angle

    @property
    def deductions(self) -> dict[str, float]:
        """Award points that each fault costs, by the fault's name."""
        span = _BEST_AWARD - _WORST_AWARD
        return {name: span * weight * getattr(self, name) for name, weight in _WEIGHTS.items()}

    @property
    def fair_award(self) -> float:
        """Award of a judge without noise: 0 to 10, not rounded."""
        deduction: float = sum(weight * getattr(self, name) for name, weight in _WEIGHTS.items())
        return _BEST_AWARD - (_BEST_AWARD - _WORST_AWARD) * deduction


def draw_faults(rng: np.random.Generator) -> Faults:
    """Draw a dive's faults; their severity is spread evenly from flawless to failed dives."""
    badness = rng.uniform(-0.05, 1.0)
    severity = {name: float(np.clip(badness + rng.normal(0.0, _FAULT_STD), 0.0, 1.0)) for name in _WEIGHTS}
    return Faults(over_rotated=bool(rng.random() < 0.5), **severity)


def draw_faults_for(fair_award: float, rng: np.random.Generator) -> Faults:
    """Draw faults that bring a given award, spread over the single faults as in ``draw_faults``.

    Args:
        fair_award: what ``Faults.fair_award`` shall be; beyond what faults can express, the nearest they can.
        rng: decides which faults are worse than others.
    """
    apart = rng.normal(0.0, _FAULT_STD, len(_WEIGHTS))
    over_rotated = bool(rng.random() < 0.5)
    # The deduction grows with the common badness, so bisection finds the one that is worth the award.
    weights = np.array(list(_WEIGHTS.values()))
    wanted = (_BEST_AWARD - fair_award) / (_BEST_AWARD - _WORST_AWARD)
    low, high = -1.0 - float(np.abs(apart).max()), 1.0 + float(np.abs(apart).max())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        deduction = float(weights @ np.clip(middle + apart, 0.0, 1.0))
        low, high = (middle, high) if deduction < wanted else (low, middle)
    severity = np.clip((low + high) / 2 + apart, 0.0, 1.0).tolist()
    return Faults(over_rotated=over_rotated, **dict(zip(_WEIGHTS, severity, strict=True)))
