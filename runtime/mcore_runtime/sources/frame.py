"""Frames of a source: an upright RGB picture, when it was taken, and whether something is missing before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a stream."""

    rgb: NDArray[np.uint8]
    """(H, W, 3), upright, contiguous."""
    time_s: float
    """When it was taken, seconds; increases from frame to frame. A file counts from its first frame; a live stream
    counts as ``time.monotonic()`` does, with the spacing of its presentation times where it has them."""
    sequence: int
    """Its number in the stream, from 0; numbers that are missing were dropped because nobody took them in time."""
    captured_s: float = float("nan")
    """``time.monotonic()`` when it was received."""
    gap: str | None = None
    """Why frames are missing, or the picture is another, since the frame before; None: it follows on."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded picture as a connection delivers it, before it has a place in the stream."""

    rgb: NDArray[np.uint8]
    """(H, W, 3), as the source orients it."""
    received_s: float
    """``time.monotonic()`` when its data had arrived."""
    media_s: float | None
    """Presentation time on the source's own clock, seconds; None: the source has none that can be trusted."""
    gap: str | None = None
    """What the connection itself lost before this picture."""
