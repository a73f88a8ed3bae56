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
    """Interval around a score: wider for a more difficult dive, of one width for dives whose difficulty is unknown."""

    level: float
    """Share of true scores that the interval holds, at least, over all dives like those that it was set on."""
    half_width_points: float
    """Of a dive whose difficulty is unknown the interval reaches so far below and above the predicted score."""
    num_dives: int
    """Dives whose errors set the interval."""
    half_width_per_difficulty: float | None = None
    """Of the others it reaches so many points times the difficulty; None: too few validation dives have one, and in
    bundles of older versions."""

    def __post_init__(self) -> None:
        widths = (self.half_width_points, self.half_width_per_difficulty or 0.0)
        if not 0 < self.level < 1 or not all(0 <= width < math.inf for width in widths) or self.num_dives < 1:
            raise ValueError(
                f"interval of level {self.level} with half widths {widths} from {self.num_dives} "
                "dives; the level lies between 0 and 1, no half width is negative, and one dive is the least"
            )

    def half_width(self, difficulty: float | None) -> float:
        """Return how far it reaches below and above a predicted score, points; difficulty None: unknown."""
        if difficulty is None or self.half_width_per_difficulty is None:
            return self.half_width_points
        return self.half_width_per_difficulty * difficulty

    def half_widths(self, difficulties: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the same for (N,) dives; a difficulty of nan is unknown."""
        return np.array([self.half_width(each if each > 0 else None) for each in difficulties.tolist()], np.float64)


def conformal_interval(
    predicted: Sequence[float] | NDArray[np.float64],
    true: Sequence[float] | NDArray[np.float64],
    level: float = LEVEL,
    *,
    difficulties: Sequence[float] | NDArray[np.float64] | None = None,
) -> ConformalInterval | None:
    """Find the half widths that hold a share of true scores.

    Each is the ceil((N + 1) level)-th smallest of N absolute errors, or of N errors over the difficulty: the 1 counts
    the new dive itself.

    Args:
        predicted: (N,) points, of dives that the network has not learned from.
        true: (N,) points.
        level: share to hold, between 0 and 1.
        difficulties: (N,) degrees of difficulty, nan where unknown; None: all are unknown.

    Returns:
        The interval; None for fewer dives than ``MIN_DIVES``, or than the level needs, or where so many scores are
        not numbers that no width would hold.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} of an interval; it lies between 0 and 1")
    errors = np.abs(np.asarray(predicted, np.float64) - np.asarray(true, np.float64))
    if (half_width := _half_width(errors, level)) is None:
        return None
    each = np.full(len(errors), np.nan) if difficulties is None else np.asarray(difficulties, np.float64)
    known = each > 0
    return ConformalInterval(level, half_width, len(errors), _half_width(errors[known] / each[known], level))


def _half_width(errors: NDArray[np.float64], level: float) -> float | None:
    """The error that a share of (N,) errors does not exceed; None: there are too few for it."""
    rank = math.ceil((len(errors) + 1) * level - _ROUNDING)
    if len(errors) < MIN_DIVES or rank > len(errors):
        return None
    half_width = float(np.sort(errors)[rank - 1])
    return half_width if math.isfinite(half_width) else None
