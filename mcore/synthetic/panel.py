"""Panels of judges: awards for the faults of a dive, and faults and awards that give a known score.

Seven judges see one diver; eleven see a synchronised pair (three for each diver's execution, five for the
synchronisation), of whose awards five count, taken times 0.6 (FINA diving rules 2017-2021, D 8 and D 9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.diving.judging import COUNTED_AWARDS, MAX_AWARD, counted_awards
from mcore.synthetic.faults import Faults, draw_faults_for

PanelKind = Literal["individual", "synchronised"]
JUDGES: dict[PanelKind, int] = {"individual": 7, "synchronised": 11}
FACTOR: dict[PanelKind, float] = {"individual": 1.0, "synchronised": 0.6}
"""Factor of the counted awards' sum; it makes five awards worth as much as three."""
ROUNDING_POINTS = 0.0151
"""A score this close to one that the rules give is that one: some are published with fewer decimals."""
_COUNTED: dict[PanelKind, int] = {"individual": COUNTED_AWARDS, "synchronised": 5}
_JUDGE_STD = 0.3
"""Standard deviation of one judge around the fair award."""
_BISECTIONS = 36
"""Halvings of a span of 16 awards: exact to rounding."""


@dataclass(frozen=True)
class Verdict:
    """A dive's faults and what a panel gives for them."""

    kind: PanelKind
    awards: tuple[float, ...]
    """Awards of every judge; a synchronised panel's in the order execution, execution, synchronisation."""
    score: float
    """Points, by the rules."""
    faults: Faults


def judge(faults: Faults, rng: np.random.Generator) -> tuple[float, ...]:
    """Give the awards of seven judges, each 0 to 10 by half points."""
    seen = faults.fair_award + rng.normal(0.0, _JUDGE_STD, JUDGES["individual"])
    return tuple(_round_awards(seen).tolist())


def panel_score(awards: Sequence[float], difficulty: float, kind: PanelKind) -> float:
    """Score of a dive by the rules, points.

    Args:
        awards: of every judge of the panel.
        difficulty: degree of difficulty.
        kind: of panel.

    Raises:
        UserError: another number of judges, or an award that cannot be.
    """
    if len(awards) != JUDGES[kind]:
        raise UserError(f"{len(awards)} awards; this project's {kind} panels have {JUDGES[kind]} judges")
    return round(difficulty * FACTOR[kind] * _counted_sum(awards, kind), 2)


def panel_of(score: float, difficulty: float, synchronised: bool) -> PanelKind:
    """Say which panel gave a score: a synchronised one where that is known, or where only it can have given it."""
    if synchronised:
        return "synchronised"
    kinds: tuple[PanelKind, ...] = ("individual", "synchronised")
    exact = [kind for kind in kinds if abs(nearest_score(score, difficulty, kind) - score) < ROUNDING_POINTS]
    return exact[0] if exact else "individual"


def nearest_score(score: float, difficulty: float, kind: PanelKind) -> float:
    """Score nearest to one that awards can give, points."""
    return round(difficulty * FACTOR[kind] * _target_sum(score, difficulty, kind), 2)


def verdict_for(score: float, difficulty: float, kind: PanelKind, rng: np.random.Generator) -> Verdict:
    """Draw faults and awards that give a score, as judges who see faults would have given them.

    Each judge sees the fair award with an error of his own and rounds it. The errors are drawn first; they leave a
    span of fair awards for which the counted awards have the wanted sum, and the faults are drawn to be worth one of
    the span. Only where faults cannot express it (a declared zero, a perfect ten) they are as bad or good as they can.

    Args:
        score: points; where no awards give it, the nearest that they can give is taken.
        difficulty: degree of difficulty.
        kind: of panel.
        rng: decides errors and faults.
    """
    target = _target_sum(score, difficulty, kind)
    errors = rng.normal(0.0, _JUDGE_STD, JUDGES[kind])
    low = _smallest_award(errors, kind, target)
    high = _smallest_award(errors, kind, target + 0.5)
    fair = float(rng.uniform(max(low, -1.0), min(high, MAX_AWARD + 1.0)))
    awards = tuple(_round_awards(fair + errors).tolist())
    return Verdict(kind, awards, panel_score(awards, difficulty, kind), draw_faults_for(fair, rng))


def _smallest_award(errors: NDArray[np.float64], kind: PanelKind, target: float) -> float:
    """Smallest fair award whose counted awards have at least a sum, to rounding upwards."""
    low, high = -3.0, MAX_AWARD + 3.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = _counted_sum(_round_awards(middle + errors).tolist(), kind) >= target
        low, high = (low, middle) if enough else (middle, high)
    return high


def _target_sum(score: float, difficulty: float, kind: PanelKind) -> float:
    """Sum of the counted awards that comes nearest to a score."""
    halves = round(2 * score / (difficulty * FACTOR[kind]))
    return min(max(halves, 0), 2 * MAX_AWARD * _COUNTED[kind]) / 2


def _counted_sum(awards: Sequence[float], kind: PanelKind) -> float:
    if kind == "individual":
        return sum(counted_awards(awards))
    execution = sorted(awards[:3])[1] + sorted(awards[3:6])[1]
    return execution + sum(counted_awards(awards[6:]))


def _round_awards(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round what judges saw to half points from 0 to 10."""
    return np.clip(np.round(seen * 2) / 2, 0.0, MAX_AWARD)
