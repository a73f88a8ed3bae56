"""What moves before a still camera, as evidence of a body's height in each vertical band of the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RATE_PER_S = 0.75
"""How fast the background follows the light, shares a second."""
_MOVING_RATE_PER_S = 0.2
"""How fast it takes up what moved and stays: a diver who waits on the board for five seconds must not become part of
it, or the beginning of the dive is invisible."""
_ALL_MOVES = 0.4
"""Where this share of the picture moves, it is the light or the camera: everything is learned fast."""
_SPREADS, _LEVELS, _SOFT = 2.5, 4.0, 8.0
"""A value counts as moving when it is this many spreads and grey levels off the background, fully so 8 levels later."""
_FIRST_SPREAD, _LEAST_SPREAD, _MOST_SPREAD = 4.0, 1.5, 40.0
_BAND, _STEP = 0.25, 0.125
"""Width of a band and distance to the next, as shares of the picture's width."""
_FULL_ROW_PX = 1.2
"""A row with this many moving pixels shows a body."""
_CORE_M, _SURROUND_M = 0.35, (1.3, 2.1)
"""A body is there when the rows this close to its centre move, and those this far above and below do not."""
SCALES = (8.0, 12.0, 18.0, 27.0, 40.0)
"""Rows per metre, in a picture of 200 rows, for which evidence is computed."""


class Foreground:
    """Learns the background, and tells what moves before it."""

    def __init__(self) -> None:
        self._mean: NDArray[np.float32] | None = None
        self._spread: NDArray[np.float32] | None = None

    def reset(self) -> None:
        """Learn anew: the camera looks elsewhere."""
        self._mean = None

    def update(self, picture: NDArray[np.float32], elapsed_s: float) -> NDArray[np.float32]:
        """Return how much each pixel moves, 0 to 1, and learn from it.

        Args:
            picture: (h, w, 3) float32.
            elapsed_s: since the last picture, seconds.

        Returns:
            (h, w) float32.
        """
        if self._mean is None or self._spread is None or self._mean.shape != picture.shape:
            self._mean = picture.copy()
            self._spread = np.full_like(picture, _FIRST_SPREAD)
        offset = picture - self._mean
        distance = np.abs(offset)
        excess = distance - _SPREADS * self._spread
        excess -= _LEVELS
        np.maximum(excess, 0.0, out=excess)
        moving: NDArray[np.float32] = excess[..., 0] + excess[..., 1] + excess[..., 2]
        moving /= _SOFT
        np.minimum(moving, 1.0, out=moving)
        fast, slow = (np.float32(1 - np.exp(-per_s * elapsed_s)) for per_s in (_RATE_PER_S, _MOVING_RATE_PER_S))
        rate = np.full_like(moving, fast) if moving.mean() > _ALL_MOVES else fast - (fast - slow) * moving
        rate = rate[..., None]
        offset *= rate
        self._mean += offset
        np.minimum(distance, _MOST_SPREAD, out=distance)
        distance -= self._spread
        distance *= rate
        self._spread += distance
        np.maximum(self._spread, _LEAST_SPREAD, out=self._spread)
        return moving


def band_edges(columns: int) -> list[tuple[int, int]]:
    """First column of each band, and the first after it."""
    width, step = round(_BAND * columns), max(1, round(_STEP * columns))
    return [(left, left + width) for left in range(0, columns - width + 1, step)]


def row_masses(moving: NDArray[np.float32], edges: list[tuple[int, int]]) -> NDArray[np.float32]:
    """How many pixels move in each row of each band: (bands, h) float32."""
    total = np.zeros((moving.shape[0], moving.shape[1] + 1), np.float32)
    np.cumsum(moving, axis=1, out=total[:, 1:])
    left, right = np.array(edges).T
    return np.ascontiguousarray((total[:, right] - total[:, left]).T)


class BodyEvidence:
    """Turns what moves in each row into evidence of a body centred on it.

    Args:
        rows: rows of the picture.
    """

    def __init__(self, rows: int) -> None:
        y = np.arange(rows)
        low, high, weight = [], [], []
        for scale in np.array(SCALES) * rows / 200:
            half = max(1, round(_CORE_M * scale))
            near, far = (round(metres * scale) for metres in _SURROUND_M)
            low += [y - half, y - far, y + near + 1]
            high += [y + half + 1, y - near, y + far + 1]
            weight += [1 / (2 * half + 1), -0.5 / (far - near), -0.5 / (far - near)]
        self._low = np.clip(np.concatenate(low), 0, rows)
        self._high = np.clip(np.concatenate(high), 0, rows)
        self._weight = np.array(weight, np.float32).reshape(len(SCALES), 3)

    def __call__(self, masses: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return 1 where all rows of a body's core move and none around it, at each scale.

        Args:
            masses: (bands, h) from ``row_masses``.

        Returns:
            (scales, bands, h) float32, at most 1.
        """
        bands, rows = masses.shape
        total = np.zeros((bands, rows + 1), np.float32)
        np.cumsum(np.minimum(masses / _FULL_ROW_PX, 1.0), axis=1, out=total[:, 1:])
        sums = np.take(total, self._high, axis=1) - np.take(total, self._low, axis=1)
        parts = sums.reshape(bands, len(SCALES), 3, rows)
        evidence: NDArray[np.float32] = np.einsum("bskr,sk->sbr", parts, self._weight)
        return evidence
