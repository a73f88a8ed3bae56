"""Picture of a decoded frame as it is meant to be shown: RGB, upright."""

from __future__ import annotations

import threading

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from mcore.video import native
from mcore.video.pixel_formats import planes_of
from mcore.video.yuv import Picture

MAX_PIXELS = 1 << 26
"""Of one picture: twice 8K video. A small file may hold much larger ones, and a decoder keeps several."""
_MIN_SIDE, _MAX_SIDE = 8, 32_767
"""Pixels of a picture's sides: nothing can be seen in less, and the native code counts no further."""

_ACCURATE = 0x40000 | 0x80000 | 0x2000 | 2
"""SWS_ACCURATE_RND, _BITEXACT, _FULL_CHR_H_INT and _BILINEAR: swscale then computes the same on every processor."""


class _Converter(threading.local):
    """One for each thread of the program.

    Left to itself, PyAV sets one up for every frame, with threads of its own: that takes longer than the conversion.
    """

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_converter = _Converter()


def size_fault(width: int, height: int) -> str | None:
    """Say why pictures of a size are not read; None: they are."""
    if width * height <= MAX_PIXELS and min(width, height) >= _MIN_SIDE and max(width, height) <= _MAX_SIDE:
        return None
    return (
        f"pictures of {width} x {height} pixels; allowed: {_MIN_SIDE} to {_MAX_SIDE:,} a side, {MAX_PIXELS:,} together"
    )


def as_shown(frame: av.VideoFrame) -> Picture:
    """Turn a frame of any pixel format upright; converted to RGB only where it has to be.

    Matrix and range follow the frame's own tags; untagged frames count as BT.601, limited range, which is FFmpeg's
    convention at every size. HDR transfer curves are not tone-mapped, alpha is dropped and interlaced frames are taken
    as they are. Pixels that are not square stay so: the network's resize ignores the aspect ratio anyway.

    Returns:
        (H, W, 3), RGB contiguous; or planes of YUV, which live as long as the frame.
    """
    picture: Picture | None = planes_of(frame)
    if picture is None:  # RGB, palettes, and rare kinds of YUV
        converted = _converter.reformatter.reformat(frame, format="rgb24", threads=1, interpolation=_ACCURATE)
        picture = np.ascontiguousarray(converted.to_ndarray(), np.uint8)  # FFmpeg pads rows of some widths
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return picture
    return orient(native.to_rgb(picture), np.frombuffer(bytes(matrix), np.int32))


def to_rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Convert a frame to RGB, (H, W, 3) uint8, contiguous, as ``as_shown`` says."""
    return native.to_rgb(as_shown(frame))


def orient(picture: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Apply a display matrix, as phones write it, to the nearest of the eight upright orientations.

    Args:
        picture: (H, W, 3) uint8.
        matrix: (9,) int32 of ISO 14496-12 (a, b, u, c, d, v, x, y, w); shown are x' = ax + cy and y' = bx + dy.

    Returns:
        (H, W, 3) or (W, H, 3) uint8, contiguous.
    """
    a, b, _, c, d = matrix[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        picture = picture.swapaxes(0, 1)
        a, d = c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
