"""Whether the shares of stages in a score follow what the stages were worth. Torch-free.

A network is free to put the points of a bad entry on the take-off: only their sum is trained, unless the stages' points
are known. So a share is shown only where it was found to follow them, and they are known of drawn dives only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcore.config import STAGES

MIN_CORRELATION = 0.7
"""Least correlation of a stage's share with the points that were drawn, for the share to be shown. It is of a sample:
of 20 dives, one in ten shares reaches it whose correlation is 0.5 in truth, and hardly one that means nothing."""


@dataclass(frozen=True)
class StageShares:
    """How shares follow drawn points, over N dives that the network has not learned from."""

    correlations: tuple[float, float, float]
    """Pearson's correlation for take-off, flight and entry."""
    num_dives: int
    source: str
    """List of these dives."""
    split: str
    """Part of that list."""

    @property
    def trusted(self) -> tuple[bool, bool, bool]:
        """Whether the share of each stage may be shown."""
        takeoff, flight, entry = (value >= MIN_CORRELATION for value in self.correlations)
        return takeoff, flight, entry


def compare_shares(found: ArrayLike, drawn: ArrayLike, source: str, split: str) -> StageShares:
    """Compare shares with drawn points.

    Args:
        found: (N, 3) shares, points.
        drawn: (N, 3) points of the dive's stages minus their mean over its exemplars.
        source: list of the dives.
        split: part of that list.
    """
    a, b = np.asarray(found, np.float64), np.asarray(drawn, np.float64)
    takeoff, flight, entry = (correlation(a[:, stage], b[:, stage]) for stage in range(len(STAGES)))
    return StageShares((takeoff, flight, entry), len(a), source, split)


def describe_shares(record: StageShares | None) -> str:
    """Say in a sentence which shares are shown and why."""
    if record is None:
        return (
            "No stage shares are shown: the bundle does not know whether they follow the points of the stages, which "
            "are known of drawn dives only."
        )
    hidden = [stage for stage, trusted in zip(STAGES, record.trusted, strict=True) if not trusted]
    told = ", ".join(f"{stage} {value:.2f}" for stage, value in zip(STAGES, record.correlations, strict=True))
    basis = f"correlation of shares with drawn points over {record.num_dives} dives: {told}"
    if not hidden:
        return f"All stage shares are shown ({basis})."
    why = f"which do not follow what was drawn ({basis}; {MIN_CORRELATION} is asked)"
    return f"Not shown: shares of {_list(hidden)}, {why}."


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation of (N,) with (N,); 0 where one of both never changes."""
    return float(np.corrcoef(a, b)[0, 1]) if min(np.ptp(a), np.ptp(b)) > 0 else 0.0


def _list(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
