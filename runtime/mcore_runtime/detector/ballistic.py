"""The detector of dives: free fall, found by motion (still camera) or by camera tracking (an operator who follows).

It learns nothing and needs no calibration: gravity gives the scale. It sees boards from 3 to 10 m high that are wholly
in the picture, or an operator who keeps the diver in it; not a camera that follows halfway.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.detector.base import DetectedDive
from mcore_runtime.detector.camera import FollowedFall, VerticalMotion
from mcore_runtime.detector.config import DetectorConfig
from mcore_runtime.detector.fall import FallSearch
from mcore_runtime.detector.flight import judge
from mcore_runtime.detector.foreground import BodyEvidence, Foreground, band_edges, row_masses
from mcore_runtime.detector.history import EvidenceHistory, PathMatch


class BallisticDetector:
    """Finds dives by their free fall.

    Args:
        aspect: width over height of the source's picture; decides how wide a metre is. None: as the pictures given.
        config: the numbers that it decides by.
    """

    def __init__(self, aspect: float | None = None, config: DetectorConfig | None = None) -> None:
        self._aspect = aspect
        self._config = config = config or DetectorConfig()
        self._foreground = Foreground(config.foreground)
        self._motion, self._followed = VerticalMotion(config.camera), FollowedFall(config.camera)
        self._history: EvidenceHistory | None = None
        self._search: FallSearch | None = None
        self._edges: list[tuple[int, int]] = []
        self._last_s = self._last_entry_s = float("-inf")
        self._matches: list[PathMatch] = []
        self._matched_s = float("-inf")

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        """Look at the next picture; see ``Detector.update``."""
        if gap:
            self._interrupt()
        elapsed_s = time_s - self._last_s
        if elapsed_s < self._config.period_s - 1e-3:
            return []
        self._last_s = time_s
        pixels = picture.astype(np.float32)
        self._prepare(picture)
        shift = self._motion.update(pixels[..., 1])
        speed = shift / elapsed_s if np.isfinite(elapsed_s) and not gap else 0.0
        found = [
            self._followed.update(time_s, speed),
            self._look_for_body(picture, pixels, time_s, min(elapsed_s, 1.0)),
        ]
        return [dive for dive in found if dive is not None and self._is_new(dive)]

    def _look_for_body(
        self, picture: NDArray[np.uint8], pixels: NDArray[np.float32], time_s: float, elapsed_s: float
    ) -> DetectedDive | None:
        assert self._history is not None
        assert self._search is not None
        if self._followed.is_moving:  # then everything moves, and the background is another one afterwards
            self._matches = []
            self._foreground.reset()
            return None
        moving = self._foreground.update(pixels, elapsed_s)
        masses = row_masses(moving, self._edges)
        self._history.add(time_s, picture, moving, masses, self._evidence(masses))
        match = self._search.best(self._history, time_s)
        if match is not None and match.score >= self._config.fall.match_score:
            self._matched_s = time_s
            self._matches = [*self._matches, match][-self._config.max_matches :]
        if not self._matches or time_s < self._matched_s + self._config.settle_s:
            return None
        matches, self._matches = self._matches, []
        if len(matches) < self._config.min_matches:
            return None
        return judge(self._history, matches, time_s, self._columns_per_row, self._config)

    def _prepare(self, picture: NDArray[np.uint8]) -> None:
        rows, columns = picture.shape[:2]
        if self._search is None or self._history is None or self._history.moving.shape[1:] != (rows, columns):
            config = self._config
            scales = config.foreground.scales_rows_per_m
            self._edges = band_edges(columns, config.foreground)
            self._evidence = BodyEvidence(rows, config.foreground)
            self._search = FallSearch(rows, scales, config.fall)
            capacity = round(config.history_s / config.period_s)
            self._history = EvidenceHistory(len(self._edges), rows, columns, scales, capacity)
            aspect = self._aspect or columns / rows
            self._columns_per_row = columns / (rows * aspect)

    def _interrupt(self) -> None:
        """Pictures are missing: what fell before has nothing to do with what falls after."""
        self._followed.reset()
        self._history = None
        self._matches = []

    def _is_new(self, dive: DetectedDive) -> bool:
        new = dive.entry_s > self._last_entry_s + self._config.min_dive_distance_s
        if new:
            self._last_entry_s = dive.entry_s
        return new
