"""Dives in a video file, found as ``mcore-run`` finds them in a stream, and where each one's clip is cut.

A first pass shows every frame to the detector and keeps none; the scorer then reads each clip by itself. So memory does
not grow with the file's length.

Example:
    >>> for cut in cut_dives(find_dives("training.mp4")):
    ...     scorer.score("training.mp4", "407C", start_s=cut.start_s, end_s=cut.end_s)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.config import ClipConfig
from mcore.video import look_through, resize_frame
from mcore.video.sampling import shown_seconds
from mcore.video.yuv import Picture
from mcore_runtime.detector import (
    AFTER_ENTRY_S,
    BEFORE_TAKEOFF_S,
    MIN_AFTER_S,
    MIN_BEFORE_S,
    DetectedDive,
    Detector,
    JointDetector,
    stay,
)

# How FineDiving's 3,000 clips are cut, by their labels: of each figure 99 % have less.
CUT_BEFORE_S = 3.0
"""From a clip's begin to the take-off."""
CUT_AFTER_S = 2.4
"""From the entry to its end."""
CUT_CLIP_S = 6.2
"""A clip."""

_LEAST_AFTER_S = 0.1
"""An entry closer to a file's end may be the end itself: a camera that falls with the diver stops there as well."""
_REPORT_S = 1.0
"""The search says how far it is this often, seconds of the file."""


@dataclass(frozen=True)
class Findings:
    """What a detector found in a file."""

    file_s: float
    """Duration of the file, seconds."""
    dives: tuple[DetectedDive, ...]
    """In the order of their time."""
    slow_motion: tuple[DetectedDive, ...] = ()
    """Flights that last longer than any fall; they are not scored."""


@dataclass(frozen=True)
class FileCut:
    """The part of a file that is one dive."""

    dive: DetectedDive
    file_s: float
    """Duration of the file, seconds."""
    start_s: float | None
    """Where the clip begins in the file, seconds; None: at its first frame."""
    end_s: float | None
    """Where it ends; None: at the end of the file."""

    @property
    def is_whole(self) -> bool:
        """Return whether it is the whole file."""
        return self.start_s is None and self.end_s is None

    def __str__(self) -> str:
        """Say which part it is: ``dive from 4.3 to 8.2 s of 8.6 s``."""
        if self.is_whole:
            return f"the whole {self.file_s:.1f} s"
        end_s = self.file_s if self.end_s is None else self.end_s
        return f"dive from {self.start_s or 0.0:.1f} to {end_s:.1f} s of {self.file_s:.1f} s"

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a reader of the score should know of a clip that the file's begin or end makes short."""
        if self.is_whole:  # as FineDiving's clips, some of which begin at the take-off
            return ()
        before_s, after_s = max(0.0, self.dive.latest_takeoff_s), self.file_s - self.dive.entry_s
        notes = []
        if before_s < MIN_BEFORE_S:
            notes.append(f"the file begins {before_s:.1f} s before the take-off; usual are {BEFORE_TAKEOFF_S:g} s")
        if after_s < MIN_AFTER_S:
            notes.append(f"the file ends {after_s:.1f} s after the entry; usual are {AFTER_ENTRY_S:g} s")
        return tuple(notes)


def find_dives(
    video: str | Path,
    *,
    make: Callable[[float], Detector] = JointDetector,
    on_progress: Callable[[float, float], None] | None = None,
) -> Findings:
    """Find the dives of a video file, or of a folder of images.

    Args:
        video: the file.
        make: gives a detector for a picture's width over its height.
        on_progress: told now and then how far the search is: seconds of the file, and its duration.

    Raises:
        ClipError: missing, empty, truncated, damaged, or not a video.
    """
    watcher = _Watcher(make, on_progress)
    times = look_through(video, watcher.begin)
    watcher.stay()
    file_s = shown_seconds(times) if len(times) > 1 else 0.0
    inside = [dive for dive in watcher.found if 0 <= dive.entry_s <= times[-1] - _LEAST_AFTER_S]
    mistaken = {other for dive in inside for other in dive.instead_of}
    settled = sorted((dive for dive in inside if dive not in mistaken), key=lambda dive: dive.entry_s)
    return Findings(
        file_s,
        tuple(dive for dive in settled if not dive.slow_motion),
        tuple(dive for dive in settled if dive.slow_motion),
    )


def cut_dives(found: Findings) -> list[FileCut]:
    """Say which part of the file each dive is.

    A file that is cut as FineDiving's clips are is one clip, and stays whole: it holds a single dive, with at most
    ``CUT_BEFORE_S`` before it and ``CUT_AFTER_S`` behind it. Of any other file, a clip is what ``mcore-run`` cuts:
    ``DetectedDive.window_s``, as far as the file reaches.
    """
    cuts = []
    for dive in found.dives:
        start_s, end_s = dive.window_s
        cuts.append(
            FileCut(dive, found.file_s, start_s if start_s > 0 else None, end_s if end_s < found.file_s else None)
        )
    if len(cuts) == 1 and not found.slow_motion and _is_cut(found.dives[0], found.file_s):
        return [FileCut(found.dives[0], found.file_s, None, None)]
    return cuts


def _is_cut(dive: DetectedDive, file_s: float) -> bool:
    return dive.latest_takeoff_s <= CUT_BEFORE_S and file_s - dive.entry_s <= CUT_AFTER_S


class _Watcher:
    """Shows a file's pictures to a detector."""

    def __init__(self, make: Callable[[float], Detector], on_progress: Callable[[float, float], None] | None) -> None:
        self._make, self._on_progress = make, on_progress
        self.found: list[DetectedDive] = []

    def begin(self, pts_seconds: NDArray[np.float64]) -> Callable[[Picture, float], None]:
        """Forget all, and return what looks at the pictures of a file with these times, (N,)."""
        self.found = []
        self._detector: Detector | None = None
        self._small: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._times, self._said_s = pts_seconds, 0.0
        return self._look

    def _look(self, picture: Picture, time_s: float) -> None:
        if self._detector is None:
            height, width = picture.shape[:2]
            self._detector = self._make(width / height)
        self._small = resize_frame(picture, ClipConfig())
        self.found += self._detector.update(self._small, time_s)
        if self._on_progress is not None and time_s >= self._said_s + _REPORT_S:
            self._said_s = time_s
            self._on_progress(time_s, float(self._times[-1]))

    def stay(self) -> None:
        """Go on with the last picture for a while."""
        if self._detector is None or len(self._times) < 2:
            return
        for time_s in stay(float(self._times[-1]), float(np.median(np.diff(self._times)))):
            self.found += self._detector.update(self._small, time_s)
