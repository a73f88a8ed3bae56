"""Records of the readers: the sampled frames of one clip, and what is known about their source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcore.video.yuv import Picture

Reader = Literal["auto", "pyav", "images"]
"""Name of a reader; auto is ``images`` for folders and ``pyav`` for files."""

Choose = Callable[[NDArray[np.float64]], NDArray[np.int64]]
"""From the presentation times (N,) of all frames of a source, the frames wanted: indices, never decreasing."""

Keep = Callable[[Picture], NDArray[np.uint8]]
"""From a wanted frame, what is kept of it while the others pass by: its resized picture."""


@dataclass(frozen=True)
class SampledClip:
    """The sampled, resized frames of a clip, before crop and normalisation.

    Frames are numbered from the clip's first frame: with ``start_s`` that is not the file's first.
    """

    frames: NDArray[np.uint8]
    """(T, resize_height, resize_width, 3) RGB, or (T, c, c, 3) where only the centre was asked for."""
    pts_seconds: NDArray[np.float64]
    """(T,) presentation times of the sampled frames, relative to the clip's first frame."""
    indices: NDArray[np.int64]
    """(T,) frame of the clip behind each sampled frame."""
    num_source_frames: int
    """Frames of the clip, N."""
    duration_s: float
    """From the clip's first frame to the end of its last, taken to be shown for the mean frame period."""
    source_width: int
    """Width of the source's frames as shown (after rotation), pixels."""
    source_height: int
    """Height of the source's frames as shown (after rotation), pixels."""
    source: str
    """File or folder."""
    reader: str
    """The reader really used: pyav or images."""
    notes: tuple[str, ...] = ()
    """What a reader of the clip should know: that its frame rate is a guess, which of several tracks was read."""


@dataclass(frozen=True)
class PickedFrames:
    """The frames that one pass over a source kept."""

    pts_seconds: NDArray[np.float64]
    """(N,) presentation times of all the source's frames, relative to the first."""
    indices: NDArray[np.int64]
    """The frames chosen, never decreasing; they may repeat."""
    pictures: dict[int, NDArray[np.uint8]]
    """Pictures of the chosen frames, as the caller kept them."""
    source_width: int
    """Width of the frames as shown, pixels."""
    source_height: int
    """Height of the frames as shown, pixels."""
    reader: str
    """The reader that decoded them."""
    notes: tuple[str, ...] = ()
    """As of ``SampledClip``."""
