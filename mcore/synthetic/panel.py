"""Panels of judges: awards for the faults of a dive, and faults and awards that give a known score.

Seven judges see one diver, eleven a synchronised pair; how awards become points is ``mcore.diving.judging``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcore.diving.judging import MAX_AWARD, PANELS, Panel, counted_awards, dive_score, fits_awards, nearest_sum
from mcore.synthetic.faults import Faults, draw_faults_for

PanelKind = Literal["individual", "synchronised"]
DRAWN_PANELS: dict[PanelKind, Panel] = {"individual": PANELS[7], "synchronised": PANELS[11]}
_JUDGE_STD = 0.3
"""Standard deviation of one judge around the panel's opinion."""
_PANEL_STD = 0.3
"""Standard deviation of a panel's opinion around the fair award: errors that all of its judges share."""
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


def judge(faults: Faults, rng: np.random.Generator, habits: Mapping[str, float] | None = None) -> tuple[float, ...]:
    """Give the awards of seven judges, each 0 to 10 by half points.

    Args:
        faults: what they see.
        rng: decides their errors.
        habits: how many times as much as usual they take off for a fault, by its name; None: fair judges.
    """
    cost = faults.deductions
    unusual = sum((factor - 1) * cost[fault] for fault, factor in (habits or {}).items())
    opinion = faults.fair_award - unusual + rng.normal(0.0, _PANEL_STD)
    seen = opinion + rng.normal(0.0, _JUDGE_STD, DRAWN_PANELS["individual"].judges)
    return tuple(_round_awards(seen).tolist())


def panel_of(score: float, difficulty: float, synchronised: bool) -> PanelKind:
    """Say which panel gave a score: a synchronised one where that is known, or where only it can have given it."""
    if synchronised:
        return "synchronised"
    fitting = (kind for kind, panel in DRAWN_PANELS.items() if fits_awards(score, difficulty, panel))
    return next(fitting, "individual")


def verdict_for(score: float, difficulty: float, kind: PanelKind, rng: np.random.Generator) -> Verdict:
    """Draw faults and awards that give a score, as judges who see faults would have given them.

    Each judge sees the fair award with an error of the panel's and one of his own, and rounds it. The errors are drawn
    first; they leave a span of fair awards for which the counted awards have the wanted sum, and the faults are drawn
    to be worth one of the span. Only where faults cannot express it (a declared zero, a perfect ten) they are as bad or
    good as they can.

    Args:
        score: points; where no awards give it, the nearest that they can give is taken.
        difficulty: degree of difficulty.
        kind: of panel.
        rng: decides errors and faults.
    """
    target = nearest_sum(score, difficulty, DRAWN_PANELS[kind])
    errors = rng.normal(0.0, _PANEL_STD) + rng.normal(0.0, _JUDGE_STD, DRAWN_PANELS[kind].judges)
    low = _smallest_award(errors, target)
    high = _smallest_award(errors, target + 0.5)
    fair = float(rng.uniform(max(low, -1.0), min(high, MAX_AWARD + 1.0)))
    awards = tuple(_round_awards(fair + errors).tolist())
    return Verdict(kind, awards, dive_score(awards, difficulty), draw_faults_for(fair, rng))


def _smallest_award(errors: NDArray[np.float64], target: float) -> float:
    """Smallest fair award whose counted awards have at least a sum, to rounding upwards."""
    low, high = -3.0, MAX_AWARD + 3.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = sum(counted_awards(_round_awards(middle + errors).tolist())) >= target
        low, high = (low, middle) if enough else (middle, high)
    return high


def _round_awards(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round what judges saw to half points from 0 to 10."""
    return np.clip(np.round(seen * 2) / 2, 0.0, MAX_AWARD)
