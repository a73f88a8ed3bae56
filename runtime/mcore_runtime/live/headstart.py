"""A head start for the score: most of a dive's backbone is computed while its clip still goes on.

As soon as the frames are there that a clip's first samples will be, the engine computes the backbone's head from them,
if it has nothing better to do. When the clip is over, only the tail is left. A head that came to nothing costs what it
cost while nobody waited; the score is then computed from the whole clip, as it would have been without.
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


class HeadJob:
    """The head of one clip, wanted or done; ``run`` and ``take`` belong to the engine's thread.

    Args:
        first: (H, h, w, 3) the frames that the clip's first samples are expected to be.
    """

    def __init__(self, first: NDArray[np.uint8]) -> None:
        self._first: NDArray[np.uint8] | None = first
        self._head: EncodedPrefix | None = None

    def run(self, scorer: Scorer) -> None:
        """Compute it, unless it is not wanted any more."""
        first, self._first = self._first, None
        if first is not None and scorer.split is not None:
            self._head = scorer.begin(first)

    def take(self) -> EncodedPrefix | None:
        """Return what has been computed; what has not, never will be."""
        head, self._first, self._head = self._head, None, None
        return head


class HeadStart:
    """Watches over the clips that are not over, and has each one's head computed once; for one thread.

    Args:
        prefix_frames: sampled frames that the head takes: ``scorer.split.prefix_frames``.
        offer: gives a job to the engine, which runs it when nothing else waits; must not block, and may refuse.
    """

    def __init__(self, prefix_frames: int, offer: Callable[[Callable[[Scorer], None]], bool]) -> None:
        self._head_frames, self._offer = prefix_frames, offer
        self._jobs: dict[Window, HeadJob] = {}

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
            first = ring.foresee(*window, self._head_frames)
            if first is None:
                continue
            job = HeadJob(first)
            if self._offer(job.run):
                self._jobs[window] = job

    def take(self, window: Window) -> HeadJob | None:
        """Return the job of a clip that is over, and forget it; None: its frames were not as expected, or too late."""
        return self._jobs.pop(window, None)
