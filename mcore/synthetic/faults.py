"""What a judge can see: faults drawn from a seed, and the awards that follow from them.

One latent quality makes a diver's faults go together; each also varies by itself, so that no single cue tells
the score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

JUDGES = 7
MOST_OFF_VERTICAL_DEG = 42.0
MOST_DRIFT_M = 1.6
_WEIGHTS = {"entry": 0.30, "splash": 0.32, "knees": 0.13, "legs": 0.13, "distance": 0.06, "toes": 0.06}
_BEST_AWARD, _WORST_AWARD = 9.9, 1.5
_JUDGE_NOISE = 0.3
"""Standard deviation of one judge around the panel, points of an award."""


@dataclass(frozen=True)
class Faults:
    """Severity of each visible fault: 0 none, 1 gross."""

    entry: float
    """Body off the vertical at entry, as a share of ``MOST_OFF_VERTICAL_DEG``."""
    over_rotated: bool
    """Whether the entry is past the vertical, or short of it."""
    splash: float
    """Height and width of the splash."""
    knees: float
    """Knees bent where they should be straight; in the tuck, a loose tuck."""
    legs: float
    """Legs apart."""
    distance: float
    """Too far from the board, as a share of ``MOST_DRIFT_M``."""
    toes: float
    """Feet not pointed."""

    @property
    def off_vertical_deg(self) -> float:
        """Angle of the body past (positive) or short of (negative) the vertical at entry, degrees."""
        angle = self.entry * MOST_OFF_VERTICAL_DEG
        return angle if self.over_rotated else -angle

    @property
    def fair_award(self) -> float:
        """What a judge without noise would give: 0 to 10, not rounded."""
        deduction: float = sum(weight * getattr(self, name) for name, weight in _WEIGHTS.items())
        return _BEST_AWARD - (_BEST_AWARD - _WORST_AWARD) * deduction


def draw_faults(rng: np.random.Generator) -> Faults:
    """Draw a dive's faults; how badly dives go is spread evenly from flawless to failed."""
    badness = rng.uniform(-0.05, 1.0)
    severity = {name: float(np.clip(badness + rng.normal(0.0, 0.13), 0.0, 1.0)) for name in _WEIGHTS}
    return Faults(over_rotated=bool(rng.random() < 0.5), **severity)


def judge(faults: Faults, rng: np.random.Generator) -> tuple[float, ...]:
    """Give the awards of seven judges, each 0 to 10 by half points."""
    seen = faults.fair_award + rng.normal(0.0, _JUDGE_NOISE, JUDGES)
    return tuple(float(award) for award in np.clip(np.round(seen * 2) / 2, 0.0, 10.0))
