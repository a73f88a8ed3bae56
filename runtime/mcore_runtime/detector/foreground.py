"""Motion before a still camera, as evidence of a body's height in each vertical band of the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.detector.config import ForegroundConfig


class Foreground:
    """Learns the background, and tells what moves before it.

    Each value of the background has a mean and a mean absolute deviation, both learned slowly.

    Args:
        config: how fast it learns, and what counts as moving.
    """

    def __init__(self, config: ForegroundConfig) -> None:
        self._config = config
        self._mean: NDArray[np.float32] | None = None
        self._deviation: NDArray[np.float32] | None = None

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
        config = self._config
        if self._mean is None or self._deviation is None or self._mean.shape != picture.shape:
            self._mean = picture.copy()
            self._deviation = np.full_like(picture, config.first_deviation_levels)
        offset = picture - self._mean
        distance = np.abs(offset)
        excess = distance - config.min_deviations * self._deviation
        excess -= config.min_offset_levels
        np.maximum(excess, 0.0, out=excess)
        moving: NDArray[np.float32] = excess[..., 0] + excess[..., 1] + excess[..., 2]
        moving /= config.soft_levels
        np.minimum(moving, 1.0, out=moving)
        # What moves is learned slowly, or a diver who waits would become background; a change of light all at once.
        rates_per_s = (config.background_rate_per_s, config.moving_rate_per_s)
        fast, slow = (np.float32(1 - np.exp(-per_s * elapsed_s)) for per_s in rates_per_s)
        rate = np.full_like(moving, fast) if moving.mean() > config.all_moves_share else fast - (fast - slow) * moving
        rate = rate[..., None]
        offset *= rate
        self._mean += offset
        np.minimum(distance, config.max_deviation_levels, out=distance)
        distance -= self._deviation
        distance *= rate
        self._deviation += distance
        np.maximum(self._deviation, config.min_deviation_levels, out=self._deviation)
        return moving


def band_edges(columns: int, config: ForegroundConfig) -> list[tuple[int, int]]:
    """First column of each band, and the first after it."""
    width, step = round(config.band_width_share * columns), max(1, round(config.band_step_share * columns))
    return [(left, left + width) for left in range(0, columns - width + 1, step)]


def row_masses(moving: NDArray[np.float32], edges: list[tuple[int, int]]) -> NDArray[np.float32]:
    """Count the moving pixels in each row of each band: (bands, h) float32."""
    total = np.zeros((moving.shape[0], moving.shape[1] + 1), np.float32)
    np.cumsum(moving, axis=1, out=total[:, 1:])
    left, right = np.array(edges).T
    return np.ascontiguousarray((total[:, right] - total[:, left]).T)


class BodyEvidence:
    """Turns what moves in each row into evidence of a body centred on it.

    Args:
        rows: rows of the picture.
        config: sizes of a body's core and surroundings, and the scales to try.
    """

    def __init__(self, rows: int, config: ForegroundConfig) -> None:
        y = np.arange(rows)
        low, high, weight = [], [], []
        self._scales = len(config.scales_rows_per_m)
        self._full_row_px = config.full_row_px
        for scale in np.array(config.scales_rows_per_m) * rows / 200:
            half = max(1, round(config.core_m * scale))
            near, far = (round(metres * scale) for metres in config.surround_m)
            # Three windows for each scale: the core, and above and below it the surroundings, which count against it.
            low += [y - half, y - far, y + near + 1]
            high += [y + half + 1, y - near, y + far + 1]
            weight += [1 / (2 * half + 1), -0.5 / (far - near), -0.5 / (far - near)]
        self._low = np.clip(np.concatenate(low), 0, rows)
        self._high = np.clip(np.concatenate(high), 0, rows)
        self._weight = np.array(weight, np.float32).reshape(self._scales, 3)

    def __call__(self, masses: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return 1 where all rows of a body's core move and none around it, at each scale.

        Args:
            masses: (bands, h) from ``row_masses``.

        Returns:
            (scales, bands, h) float32, at most 1.
        """
        bands, rows = masses.shape
        total = np.zeros((bands, rows + 1), np.float32)
        np.cumsum(np.minimum(masses / self._full_row_px, 1.0), axis=1, out=total[:, 1:])
        sums = np.take(total, self._high, axis=1) - np.take(total, self._low, axis=1)
        parts = sums.reshape(bands, self._scales, 3, rows)
        evidence: NDArray[np.float32] = np.einsum("bskr,sk->sbr", parts, self._weight)
        return evidence
