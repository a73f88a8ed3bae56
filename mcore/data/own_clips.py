"""Clips of one's own as the spotter of dives learns from them: dives of lists, and videos in which nobody dives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.data.manifest import DiveRecord
from mcore.synthetic.untrimmed.kept import KeptClip
from mcore.video import look_through, resize_frame
from mcore.video.sampling import clip_window
from mcore.video.spotting import MotionOfPicture, Pace, shrink
from mcore.video.yuv import Picture


def clip_of_dive(record: DiveRecord) -> KeptClip:
    """Read the clip of a labelled dive.

    Raises:
        UserError: its take-off and entry are not labelled, or it cannot be read.
    """
    return _read(record.path, [labelled_moments(record)], record.start_s, record.end_s)


def labelled_moments(record: DiveRecord) -> tuple[int, int]:
    """Return a dive's first frames of flight and entry.

    Raises:
        UserError: they are not labelled.
    """
    if record.transition_frames is None:
        raise UserError(f"{record.path} has no transition_frames: label take-off and entry, for example by mcore-label")
    return record.transition_frames


def clip_without_dive(path: Path) -> KeptClip:
    """Read a video in which nobody dives.

    Raises:
        UserError: it cannot be read.
    """
    return _read(path, [])


def _read(
    path: Path, marks: Sequence[tuple[int, int]], start_s: float | None = None, end_s: float | None = None
) -> KeptClip:
    """Read a part of a video; ``marks`` are first frames of flight and entry, counted from the part's first frame."""
    pictures: list[NDArray[np.uint8]] = []
    times_s: list[float] = []

    def begin(pts_seconds: NDArray[np.float64]) -> Callable[[Picture, float], None]:
        pictures.clear()
        times_s.clear()
        pace, config = Pace(), ClipConfig()
        inside_s = pts_seconds[clip_window(pts_seconds, start_s, end_s)]
        if not len(inside_s):
            raise UserError(f"{path} has no frame from {start_s} to {end_s} s")

        def look(picture: Picture, time_s: float) -> None:
            if inside_s[0] <= time_s <= inside_s[-1] and pace.takes(time_s):
                pictures.append(shrink(resize_frame(picture, config)))
                times_s.append(time_s)

        return look

    every_s = look_through(path, begin)
    inside_s = every_s[clip_window(every_s, start_s, end_s)]
    if len(inside_s) <= max((entry for _, entry in marks), default=0):
        raise UserError(f"{path} has {len(inside_s)} frames, so its labels {list(marks)} are of another video")
    motion = MotionOfPicture()
    shifts = np.array([motion.update(picture) for picture in pictures])
    dives = inside_s[np.array(marks, np.int64).reshape(-1, 2)]
    return KeptClip(np.stack(pictures), shifts, np.array(times_s), dives)
