"""Width of conformal intervals: one for all dives, or one that follows the difficulty, on the same dives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from mcore.common.conformal import ConformalInterval
from mcore.evaluation.assessment import Figure, bootstrap_share
from mcore.evaluation.tables import rich_table, with_interval
from mcore_export.exemplars.dive_scores import Scores

PARTS = 3
"""Dives are divided into so many parts of equal size, by their difficulty."""


@dataclass(frozen=True)
class WidthRow:
    """Intervals of one kind on the dives whose difficulty is known."""

    follows: str
    """What the width follows: ``nothing`` or ``difficulty``."""
    dives: int
    mean_half_width_points: float
    coverage: Figure
    """Share of the judges' scores in the intervals."""
    coverage_by_difficulty: tuple[Figure, ...]
    """The same for the parts of the dives, the easiest first."""
    difficulties: tuple[tuple[float, float], ...]
    """Least and largest difficulty of each part."""


def width_rows(
    predicted: NDArray[np.float64], scores: Scores, interval: ConformalInterval, num_resamples: int
) -> tuple[WidthRow, ...]:
    """Measure both kinds of width.

    Args:
        predicted: (N,) points.
        scores: of the same dives: true scores and difficulties.
        interval: of the bundle.
        num_resamples: bootstrap resamples of each figure.

    Returns:
        A row for the width of old bundles, and one for that which follows the difficulty; nothing where the bundle has
        no such width, or fewer dives have a difficulty than there are parts.
    """
    difficulties = np.array(scores.difficulties)
    known = np.flatnonzero(difficulties > 0)
    if interval.half_width_per_difficulty is None or len(known) < PARTS:
        return ()
    order = known[np.argsort(difficulties[known], kind="stable")]
    errors = np.abs(predicted - np.array(scores.true))
    parts = np.array_split(order, PARTS)
    rows = []
    for follows, of in (("nothing", replace(interval, half_width_per_difficulty=None)), ("difficulty", interval)):
        half_widths = of.half_widths(difficulties)
        held = errors <= half_widths
        row = WidthRow(
            follows=follows,
            dives=len(known),
            mean_half_width_points=float(half_widths[known].mean()),
            coverage=bootstrap_share(held[known], num_resamples),
            coverage_by_difficulty=tuple(bootstrap_share(held[part], num_resamples) for part in parts),
            difficulties=tuple((float(difficulties[part[0]]), float(difficulties[part[-1]])) for part in parts),
        )
        rows.append(row)
    return tuple(rows)


def width_table(rows: tuple[WidthRow, ...]) -> Table:
    """The figures with their 95 % bootstrap intervals."""
    parts = [f"difficulty {low:.1f} to {high:.1f}" for low, high in rows[0].difficulties]
    head = ["width follows", "dives", "mean half width, points", "in the interval", *parts]
    cells = []
    for row in rows:
        figures = map(with_interval, (row.coverage, *row.coverage_by_difficulty))
        cells.append([row.follows, str(row.dives), f"{row.mean_half_width_points:.2f}", *figures])
    return rich_table("Intervals, fp32, exemplars of the number", head, cells)
