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
from mcore.video.spotting import MotionOfPicture, Pace, shrink
from mcore.video.yuv import Picture


def clip_of_dive(record: DiveRecord) -> KeptClip:
    """Read the clip of a labelled dive.

    Raises:
        UserError: its take-off and entry are not labelled, or it cannot be read.
    """
    if record.transition_frames is None:
        raise UserError(
            f"{record.path} has no transition_frames: label take-off and entry, for instance by mcore-label"
        )
    return _read(record.path, [record.transition_frames], record.start_s, record.end_s)


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
    begin_s, until_s = start_s or 0.0, np.inf if end_s is None else end_s
    pictures: list[NDArray[np.uint8]] = []
    times_s: list[float] = []

    def begin(pts_seconds: NDArray[np.float64]) -> Callable[[Picture, float], None]:
        pictures.clear()
        times_s.clear()
        pace, config = Pace(), ClipConfig()

        def look(picture: Picture, time_s: float) -> None:
            if begin_s <= time_s < until_s and pace.takes(time_s):
                pictures.append(shrink(resize_frame(picture, config)))
                times_s.append(time_s)

        return look

    every_s = look_through(path, begin)
    inside_s = every_s[(every_s >= begin_s) & (every_s < until_s)]
    if len(inside_s) <= max((entry for _, entry in marks), default=0):
        raise UserError(f"{path} has {len(inside_s)} frames, so its labels {list(marks)} are of another video")
    motion = MotionOfPicture()
    shifts = np.array([motion.update(picture) for picture in pictures])
    dives = inside_s[np.array(marks, np.int64).reshape(-1, 2)]
    return KeptClip(np.stack(pictures), shifts, np.array(times_s), dives)
