"""Early start of a score: most of a dive's backbone is computed while its clip still goes on.

As soon as the frames are there that a clip's first samples will be, the streaming prefix of the backbone is computed
from them, if the scorer has nothing better to do. When the clip is over, only the suffix is left. A prefix that came to
nothing costs what it cost while nobody waited; the score is then computed from the whole clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.live.ring import FrameRing
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.scoring.streaming import EncodedPrefix

Window = tuple[float | None, float | None]
"""Start and end of a clip on the stream's clock, as ``FrameRing.cut`` takes them."""


class PrefixJob:
    """The prefix of one clip, wanted or done; ``run`` and ``take`` belong to the scorer's thread.

    Args:
        first: (P, h, w, 3) the frames that the clip's first samples are expected to be.
    """

    def __init__(self, first: NDArray[np.uint8]) -> None:
        self._first: NDArray[np.uint8] | None = first
        self._prefix: EncodedPrefix | None = None

    def run(self, scorer: Scorer) -> None:
        """Compute it, unless it is not wanted any more."""
        first, self._first = self._first, None
        if first is not None and scorer.streaming_backbone is not None:
            self._prefix = scorer.begin(first)

    def failed(self, error: Exception) -> None:
        """Nobody needs to know: the whole clip will be computed."""

    def take(self) -> EncodedPrefix | None:
        """Return what has been computed; what has not, never will be."""
        prefix, self._first, self._prefix = self._prefix, None, None
        return prefix


class PrefixScheduler:
    """Has the prefix of each clip that is not over computed once; for one thread.

    Args:
        num_frames: sampled frames that the prefix takes.
        offer: gives a job to the scorer, which runs it when nothing else waits; must not block, and may refuse.
    """

    def __init__(self, num_frames: int, offer: Callable[[PrefixJob], bool]) -> None:
        self._num_frames, self._offer = num_frames, offer
        self._jobs: dict[Window, PrefixJob] = {}

    def update(self, ring: FrameRing, windows: Iterable[Window]) -> None:
        """Begin what can be begun; to be called with every frame while there are such clips.

        Args:
            ring: has the newest frame.
            windows: of the clips that are not over; all others are forgotten.
        """
        wanted = list(windows)
        self._jobs = {window: job for window, job in self._jobs.items() if window in wanted}
        for window in wanted:
            if window in self._jobs:
                continue
            first = ring.predict_first(*window, self._num_frames)
            if first is not None and self._offer(job := PrefixJob(first)):
                self._jobs[window] = job

    def take(self, window: Window) -> PrefixJob | None:
        """Return the job of a clip that is over, and forget it; None: its frames were not as expected, or too late."""
        return self._jobs.pop(window, None)
