"""Drawn clips in files, as the spotter learns from them, so that each is drawn once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.files import replacing
from mcore.synthetic.untrimmed.clip import render_clip
from mcore.video.spotting import LOOKS_BACK, MotionOfPicture, profile


@dataclass(frozen=True, eq=False)
class KeptClip:
    """What is learned from one clip."""

    profiles: NDArray[np.float16]
    """(T, CHANNELS, BINS) from ``profile``."""
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
    shifts = [motion.update(picture) for picture in clip.pictures]
    parts = [slice(max(0, last - max(LOOKS_BACK)), last + 1) for last in range(len(shifts))]
    profiles = np.stack([profile(list(clip.pictures[part]), shifts[part]) for part in parts])
    dives = np.array([(dive.takeoff_s, dive.entry_s) for dive in clip.dives]).reshape(-1, 2)
    with replacing(path) as part_written:
        np.savez(
            part_written, profiles=profiles.astype(np.float16), shifts=np.array(shifts), times=clip.times_s, dives=dives
        )
    return path


def read_kept(path: Path) -> KeptClip:
    """Read what ``keep_clip`` wrote."""
    with np.load(path) as kept:
        return KeptClip(kept["profiles"], kept["shifts"], kept["times"], kept["dives"])
