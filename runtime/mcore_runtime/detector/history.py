"""Memory of what moved in the last seconds, and the paths that are found in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOVES = 255
"""Value of a pixel that surely moves."""


@dataclass(frozen=True)
class PathMatch:
    """The best path at one moment."""

    score: float
    """Mean evidence along it, at most 0.8."""
    apex_s: float
    apex_row: float
    rows_per_m: float
    band: int


class EvidenceHistory:
    """Motion in the last seconds, with its masses and evidence, by time.

    Args:
        bands: number of bands.
        rows: rows of the picture.
        columns: columns of the picture.
        scales: rows per metre of the evidence, in a picture of 200 rows.
        capacity: pictures kept.
    """

    def __init__(self, bands: int, rows: int, columns: int, scales: tuple[float, ...], capacity: int) -> None:
        self.scales = scales
        self.times = np.full(capacity, -np.inf)
        self.evidence = np.zeros((capacity, len(scales), bands, rows), np.float32)
        self.masses = np.zeros((capacity, bands, rows), np.float32)
        self.moving = np.zeros((capacity, rows, columns), np.uint8)
        self.green = np.zeros((capacity, rows, columns), np.uint8)
        self._next = 0
        self._order = np.arange(capacity)

    def add(
        self,
        time_s: float,
        picture: NDArray[np.uint8],
        moving: NDArray[np.float32],
        masses: NDArray[np.float32],
        evidence: NDArray[np.float32],
    ) -> None:
        """Keep the newest in the place of the oldest."""
        self.times[self._next] = time_s
        self.evidence[self._next] = evidence
        self.masses[self._next] = masses
        self.green[self._next] = picture[..., 1]
        np.multiply(moving, MOVES, out=self.moving[self._next], casting="unsafe")
        self._next = (self._next + 1) % len(self.times)
        self._order = np.roll(np.arange(len(self.times)), -self._next)

    def slots(self, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the slot of the picture shown at each time: the last until then, the oldest where there is none."""
        ordered = self.times[self._order]
        place = np.searchsorted(ordered, times_s + 1e-6, side="right") - 1
        return np.asarray(self._order[np.maximum(place, 0)])

    @property
    def newest(self) -> int:
        """Slot of the newest picture."""
        return int(self._order[-1])

    @property
    def oldest_s(self) -> float:
        """Time of the oldest picture kept; minus infinity until it is full."""
        return float(self.times[self._order[0]])
