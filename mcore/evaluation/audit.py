"""Audit of a network: which parts of a dive its scores depend on, beside shortcuts and perfect observers.

It takes any function that scores pictures, so that it knows neither checkpoints nor torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mcore import metrics
from mcore.data.manifest import DiveRecord
from mcore.data.redrawn import ShownDive
from mcore.data.stage_shares import correlation
from mcore.diving.judging import COUNTED_AWARDS
from mcore.evaluation.assessment import Figure, bootstrap_figure
from mcore.synthetic.faults import FAULT_STAGES, Stage
from mcore.synthetic.plan import DivePlan

Array = NDArray[np.float64]

STAGE_NAMES: tuple[Stage, ...] = get_args(Stage)
LEAST_COST = 0.05
"""SRCC that hiding the take-off and flight, or the diver, must cost: a network that loses less does not watch them."""
_GREY = 128
_BOTH = "take-off and flight"


@dataclass(frozen=True)
class Resampling:
    """Resampling behind every interval."""

    num_resamples: int = 1000
    seed: int = 0

    def figure(self, metric: Callable[..., float], *columns: Array) -> Figure:
        """Compute a metric of columns (N, ...) with its 95 % interval over dives."""
        return bootstrap_figure(metric, columns, self.num_resamples, self.seed)


@dataclass(frozen=True)
class Hiding:
    """A part of the dives that was hidden, and what became of the ranking."""

    hidden: str
    """What was hidden."""
    srcc: Figure
    """SRCC of the scores that remain."""
    cost: Figure
    """SRCC of the whole dives less that, on the same resamples."""
    must_cost: bool
    """Whether the audit fails where it costs less than ``LEAST_COST``."""

    def passes(self, whole: Figure) -> bool:
        """Return whether hiding costs enough; scores that are all alike rank nothing, and cost everything."""
        cost = whole.value if self.srcc.value is None else self.cost.value
        return not self.must_cost or (cost is not None and cost >= LEAST_COST)


@dataclass(frozen=True)
class Move:
    """One fault moved from none to gross, all others held."""

    fault: str
    stage: Stage
    true_points: float
    """Mean difference in points that the plan gives, without the judges' noise."""
    found_points: Figure
    """Mean difference of the network's scores."""
    ratio: Figure
    """Found by true: 1 is right, 0 is blind."""
    picture: float
    """Mean change of the pictures at the network's size, grey levels over the whole clip."""


@dataclass(frozen=True)
class StageShare:
    """A stage's share in the network's scores, against what was deducted there in the drawing."""

    stage: Stage
    correlation: Figure
    """Pearson's; undefined where the renderer draws no faults of the stage."""
    slope: Figure
    """Points of the share for each point of the drawn difference."""
    spread_points: float
    """Standard deviation of the share."""


@dataclass(frozen=True)
class Ranking:
    """SRCC of scores that did not come from the network."""

    name: str
    srcc: Figure


def hide_stages(dive: ShownDive) -> dict[str, ShownDive]:
    """Paint over parts of a dive, between its labelled transitions."""
    flight, entry = dive.transitions
    painted = {}
    for name, part in (("take-off", slice(flight)), ("flight", slice(flight, entry)), (_BOTH, slice(entry))):
        frames = dive.frames.copy()
        frames[part] = _GREY
        painted[f"{name} painted grey"] = ShownDive(frames, dive.transitions)
    frozen = dive.frames.copy()
    frozen[entry:] = frozen[entry - 1]
    return painted | {"entry replaced by the last flight frame": ShownDive(frozen, dive.transitions)}


MUST_COST = ("diver not drawn", f"{_BOTH} painted grey")
"""What no judge could do without."""


def measure_hidings(scores: Array, hidden: Mapping[str, Array], true: Array, resampling: Resampling) -> list[Hiding]:
    """Compare rankings of whole dives with those of dives of which a part is hidden.

    Args:
        scores: (N,) points of the whole dives.
        hidden: (N,) points by what was hidden.
        true: (N,) judges' points.
        resampling: of the intervals.
    """

    def cost(whole: Array, part: Array, judges: Array) -> float:
        return metrics.srcc(whole, judges) - metrics.srcc(part, judges)

    return [
        Hiding(
            name,
            resampling.figure(metrics.srcc, part, true),
            resampling.figure(cost, scores, part, true),
            name in MUST_COST,
        )
        for name, part in hidden.items()
    ]


def measure_moves(
    found: Mapping[str, Array],
    pictures: Mapping[str, float],
    plans: Mapping[str, Sequence[tuple[DivePlan, DivePlan]]],
    resampling: Resampling,
) -> list[Move]:
    """Compare slopes by fault, largest first.

    Args:
        found: (M,) score with the fault less that without, by fault.
        pictures: mean change of the pictures, by fault.
        plans: of the same dives, without the fault and with it.
        resampling: of the intervals.
    """
    moves = []
    for fault, differences in found.items():
        true = np.array([_fair_points(bad) - _fair_points(good) for good, bad in plans[fault]])
        moves.append(
            Move(
                fault,
                FAULT_STAGES[fault],
                float(true.mean()),
                resampling.figure(lambda points: float(points.mean()), differences),
                resampling.figure(lambda points, wanted: float(points.mean() / wanted.mean()), differences, true),
                pictures[fault],
            )
        )
    return sorted(moves, key=lambda move: move.true_points)


def measure_shares(shares: Array, drawn: Array, resampling: Resampling) -> list[StageShare]:
    """Compare stage shares (N, 3) with what the drawings deduct (N, 3), both relative to the same exemplars."""
    return [
        StageShare(
            stage,
            resampling.figure(_correlation, share, wanted),
            resampling.figure(_slope, wanted, share),
            float(share.std()),
        )
        for stage, share, wanted in zip(STAGE_NAMES, shares.T, drawn.T, strict=True)
    ]


def measure_observers(
    plans: Sequence[DivePlan], known: Sequence[DivePlan], true: Array, resampling: Resampling
) -> list[Ranking]:
    """Rank dives as somebody would who sees some faults exactly and guesses the rest from them.

    Args:
        plans: of the N dives.
        known: of training dives, from which the observer knows how faults go together.
        true: (N,) judges' points.
        resampling: of the intervals.
    """
    stages = [stage for stage in STAGE_NAMES if stage in FAULT_STAGES.values()]
    seen = {f"{fault} only": [fault] for fault in FAULT_STAGES}
    seen |= {f"all of the {stage}": [f for f, where in FAULT_STAGES.items() if where == stage] for stage in stages}
    seen |= {f"all but the {stage}": [f for f, where in FAULT_STAGES.items() if where != stage] for stage in stages}
    seen["all faults"] = list(FAULT_STAGES)
    factor = COUNTED_AWARDS * np.array([plan.difficulty for plan in plans])
    fair = np.array([plan.faults.fair_award for plan in known])
    rankings = []
    for name, faults in seen.items():
        ours, theirs = (
            np.array([[1.0, *(plan.faults.deductions[fault] for fault in faults)] for plan in group])
            for group in (plans, known)
        )
        award = ours @ np.linalg.lstsq(theirs, fair, rcond=None)[0]
        rankings.append(Ranking(name, resampling.figure(metrics.srcc, factor * award, true)))
    return rankings


def panel_noise(plans: Sequence[DivePlan], records: Sequence[DiveRecord]) -> float:
    """Standard deviation of the panel's mean award around the fair one, award points."""
    seen = [record.score / (COUNTED_AWARDS * plan.difficulty) for plan, record in zip(plans, records, strict=True)]
    return float(np.std(np.array(seen) - [plan.faults.fair_award for plan in plans]))


def _fair_points(plan: DivePlan) -> float:
    return COUNTED_AWARDS * plan.difficulty * plan.faults.fair_award


def _correlation(a: Array, b: Array) -> float:
    if min(np.ptp(a), np.ptp(b)) == 0:
        raise metrics.MetricError("a constant correlates with nothing")
    return correlation(a, b)


def _slope(x: Array, y: Array) -> float:
    if np.ptp(x) == 0:
        raise metrics.MetricError("there is no slope over a constant")
    return float(np.cov(x, y, bias=True)[0, 1] / x.var())
