"""Search for falling bodies before a still camera: parabolas in evidence over height and time.

Gravity is known, so a path has three unknowns only: when and where its highest point is, and how many rows a metre has.
Nothing but a body in free fall stays on such a path from a board to the water.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore.diving.physics import GRAVITY_M_S2
from mcore_runtime.detector.config import FallConfig
from mcore_runtime.detector.history import EvidenceHistory, PathMatch


class FallSearch:
    """Looks for paths that end now.

    Args:
        rows: rows of the picture.
        scales: rows per metre of the evidence, in a picture of 200 rows.
        config: the paths to try, and how much evidence they need.
    """

    def __init__(self, rows: int, scales: tuple[float, ...], config: FallConfig) -> None:
        self._config = config
        combinations = []  # rows per metre, and speed at the water in metres a second
        for speed in config.entry_speeds_m_per_s:
            fall_m = speed**2 / 2 / GRAVITY_M_S2
            # From the fewest rows a metre at which a body shows, to where one metre fills a fifth of the picture.
            scale = max(6.5, 9 / (fall_m / 4.2) ** 0.5) * rows / 200
            while scale * fall_m <= config.max_picture_share * rows and scale <= 0.22 * rows:
                combinations.append((scale, speed))
                scale *= config.scale_step
        self._since_s = np.stack(
            [np.linspace(0.0, v / GRAVITY_M_S2 + config.rise_s, config.samples) for _, v in combinations]
        )  # (combinations, samples), seconds before now
        heights = np.stack(
            [s * (v * t - GRAVITY_M_S2 / 2 * t**2) for (s, v), t in zip(combinations, self._since_s, strict=True)]
        )
        # The water may be anywhere but in the upper third; the highest point has to be in the picture.
        ends = np.arange(round(0.3 * rows), round(0.98 * rows), config.end_step_rows)
        path_rows = ends[None, :, None] - heights[:, None, :]  # (combinations, ends, samples)
        chosen = np.argwhere(path_rows.min(axis=2) >= 4)
        self._kind, end = chosen[:, 0], chosen[:, 1]
        self._end_rows = ends[end]
        self._rows = np.round(path_rows[self._kind, end]).astype(np.int64)  # (paths, samples)
        self._combinations = np.array(combinations)
        self._scale_index = nearest_scale(self._combinations[self._kind, 0] * 200 / rows, scales)

    def best(self, history: EvidenceHistory, now_s: float) -> PathMatch | None:
        """Find the path with most evidence among those that end now; None where none has much."""
        slots = history.slots(now_s - self._since_s)[self._kind]  # (paths, samples)
        samples = list(self._config.coarse_samples)
        coarse = history.evidence[
            slots[:, samples], self._scale_index[:, None], :, self._rows[:, samples]
        ]  # (paths, samples, bands)
        likely = np.argwhere(coarse.min(axis=1) > self._config.min_coarse_evidence)
        if not len(likely):
            return None
        paths, band = likely[:, 0], likely[:, 1]
        evidence = history.evidence[
            slots[paths], self._scale_index[paths, None], band[:, None], self._rows[paths]
        ]  # (likely, samples)
        scores = np.minimum(evidence, self._config.full_evidence).mean(axis=1)
        k = int(scores.argmax())
        path = int(paths[k])
        scale, speed = self._combinations[self._kind[path]]
        return PathMatch(
            score=float(scores[k]),
            apex_s=now_s - speed / GRAVITY_M_S2,
            apex_row=float(self._end_rows[path] - scale * speed**2 / 2 / GRAVITY_M_S2),
            rows_per_m=float(scale),
            band=int(band[k]),
        )


def nearest_scale(rows_per_m: NDArray[np.float64], scales: tuple[float, ...]) -> NDArray[np.int64]:
    """Index of the scale with the smallest ratio to each of ``rows_per_m``."""
    distance = np.abs(np.log(np.asarray(rows_per_m)[..., None] / np.array(scales)))
    return np.asarray(distance.argmin(axis=-1))
