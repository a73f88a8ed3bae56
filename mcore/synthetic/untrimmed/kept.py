"""Drawn clips in files, as the spotter learns from them, so that each is drawn once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.files import replacing
from mcore.synthetic.untrimmed.clip import render_clip
from mcore.video.spotting import MotionOfPicture


@dataclass(frozen=True, eq=False)
class KeptClip:
    """What is learned from one clip."""

    pictures: NDArray[np.uint8]
    """(T, ROWS, COLUMNS)."""
    shifts: NDArray[np.int64]
    """(T, 2) from ``MotionOfPicture``, rows down and columns right."""
    times_s: NDArray[np.float64]
    """(T,) seconds."""
    dives: NDArray[np.float64]
    """(D, 2) take-off and entry, seconds."""


def keep_clip(folder: Path, seed: int) -> Path:
    """Draw the clip of a seed into a folder, unless it is there; returns its file."""
    path = folder / f"{seed}.npz"
    if path.exists():
        return path
    clip = render_clip(seed)
    motion = MotionOfPicture()
    shifts = np.array([motion.update(picture) for picture in clip.pictures])
    dives = np.array([(dive.takeoff_s, dive.entry_s) for dive in clip.dives]).reshape(-1, 2)
    with replacing(path) as part_written:
        np.savez(part_written, pictures=clip.pictures, shifts=shifts, times=clip.times_s, dives=dives)
    return path


def read_kept(path: Path) -> KeptClip:
    """Read what ``keep_clip`` wrote."""
    with np.load(path) as kept:
        return KeptClip(kept["pictures"], kept["shifts"], kept["times"], kept["dives"])
