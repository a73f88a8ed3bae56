"""Intervals that hold a stated share of the judges' scores: split conformal prediction. Torch-free.

The errors on dives that the network has not learned from say how wide an interval around a score must be. If a new
dive comes from where those came from, the interval holds its true score with at least the stated probability,
whatever the network is (Lei et al., "Distribution-free predictive inference for regression", JASA 2018, section 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.8
"""Share of true scores that an interval is to hold."""
CONFORMAL_SPLIT = "val"
"""Split whose errors set the interval: at most, its dives chose the best checkpoint; accuracy is reported on others."""
MIN_DIVES = 20
"""Fewer dives give no interval: what one really holds would vary by more than 9 points of 100 with their choice."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class ConformalInterval:
    """Interval around a score, of one width for all dives."""

    level: float
    """Share of true scores that the interval holds, at least, over all dives like those that it was set on."""
    half_width_points: float
    """The interval reaches so far below and above the predicted score."""
    num_dives: int
    """Dives whose errors set the interval."""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or not 0 <= self.half_width_points < math.inf or self.num_dives < 1:
            raise ValueError(
                f"interval of level {self.level} with half width {self.half_width_points} from {self.num_dives} "
                "dives; the level lies between 0 and 1, the half width is not negative, and one dive is the least"
            )

    def interval(self, score: float) -> tuple[float, float]:
        """Return the lower and the upper end around a predicted score, points."""
        return score - self.half_width_points, score + self.half_width_points


def conformal_interval(
    predicted: Sequence[float] | NDArray[np.float64],
    true: Sequence[float] | NDArray[np.float64],
    level: float = LEVEL,
) -> ConformalInterval | None:
    """Find the half width that holds a share of true scores.

    It is the ceil((N + 1) level)-th smallest of N absolute errors: the 1 counts the new dive itself.

    Args:
        predicted: (N,) points, of dives that the network has not learned from.
        true: (N,) points.
        level: share to hold, between 0 and 1.

    Returns:
        The interval; None for fewer dives than ``MIN_DIVES``, or than the level needs, or where so many scores are
        not numbers that no width would hold.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} of an interval; it lies between 0 and 1")
    errors = np.sort(np.abs(np.asarray(predicted, np.float64) - np.asarray(true, np.float64)))
    rank = math.ceil((len(errors) + 1) * level - _ROUNDING)
    if len(errors) < MIN_DIVES or rank > len(errors) or not math.isfinite(errors[rank - 1]):
        return None
    return ConformalInterval(level, float(errors[rank - 1]), len(errors))
