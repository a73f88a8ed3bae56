"""Planes of FFmpeg's frames for ``mcore.video.yuv``: which pixel formats it takes, and their numbers by tag."""

from __future__ import annotations

from typing import NamedTuple

import av
import numpy as np
from av.video.plane import VideoPlane

from mcore.video.yuv import Planes, Samples, conversion

_FULL_RANGE = 2
_BYTES, _WORDS = np.dtype(np.uint8), np.dtype("<u2")
_BT601 = (0.299, 0.114)
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    2: _BT601,
    4: (0.3, 0.11),
    5: _BT601,
    6: _BT601,
    7: (0.212, 0.087),
} | dict.fromkeys((9, 10), (0.2627, 0.0593))
"""Weights of red and blue in luma, by FFmpeg's number of the matrix (ISO/IEC 23091-2); 2 is untagged."""


class _Layout(NamedTuple):
    """Where the samples of a pixel format lie."""

    components: tuple[tuple[int, int, int], ...]
    """Of luma and both chromas, or of luma alone: plane, first sample, samples from one to the next."""
    halved: tuple[bool, bool] = (False, False)
    """Rows and columns of chroma."""
    depth: int = 8
    shift: int = 0
    is_full: bool = False
    """Whatever the tag says."""


_PLANAR = ((0, 0, 1), (1, 0, 1), (2, 0, 1))
_INTERLEAVED = ((0, 0, 1), (1, 0, 2), (1, 1, 2))
_INTERLEAVED_V_FIRST = ((0, 0, 1), (1, 1, 2), (1, 0, 2))
_HALVED = {"420": (True, True), "422": (False, True), "440": (True, False), "444": (False, False)}


def _layouts() -> dict[str, _Layout]:
    layouts = {
        "nv12": _Layout(_INTERLEAVED, _HALVED["420"]),
        "nv21": _Layout(_INTERLEAVED_V_FIRST, _HALVED["420"]),
        "nv16": _Layout(_INTERLEAVED, _HALVED["422"]),
        "nv24": _Layout(_INTERLEAVED, _HALVED["444"]),
        "yuyv422": _Layout(((0, 0, 2), (0, 1, 4), (0, 3, 4)), _HALVED["422"]),
        "yvyu422": _Layout(((0, 0, 2), (0, 3, 4), (0, 1, 4)), _HALVED["422"]),
        "uyvy422": _Layout(((0, 1, 2), (0, 0, 4), (0, 2, 4)), _HALVED["422"]),
        "gray": _Layout(_PLANAR[:1], is_full=True),  # FFmpeg's convention
        "gray10le": _Layout(_PLANAR[:1], depth=10, is_full=True),
        "gray12le": _Layout(_PLANAR[:1], depth=12, is_full=True),
    }
    for digit, digits in ((0, "420"), (2, "422"), (4, "444")):
        for depth in (10, 12):  # samples in the high bits of 16, as hardware decoders deliver them
            layouts[f"p{digit}{depth}le"] = _Layout(_INTERLEAVED, _HALVED[digits], depth, 16 - depth)
    for digits, halved in _HALVED.items():
        layouts[f"yuv{digits}p"] = _Layout(_PLANAR, halved)
        layouts[f"yuvj{digits}p"] = _Layout(_PLANAR, halved, is_full=True)
        for depth in (10, 12):
            layouts[f"yuv{digits}p{depth}le"] = _Layout(_PLANAR, halved, depth)
    layouts["yuva420p"] = layouts["yuv420p"]  # alpha is left out
    return layouts


_LAYOUTS = _layouts()
PIXEL_FORMATS = tuple(_LAYOUTS)
"""FFmpeg's names of the formats that are converted here."""


def planes_of(frame: av.VideoFrame) -> Planes | None:
    """Find a frame's planes; None: a pixel format or a matrix that the conversion does not take."""
    layout, weights = _LAYOUTS.get(frame.format.name), _LUMA_WEIGHTS.get(frame.colorspace)
    if layout is None or weights is None:
        return None
    planes, (height, width) = frame.planes, (frame.height, frame.width)
    if any(plane.line_size <= 0 for plane in planes):  # rows from the bottom up
        return None
    full_range = layout.is_full or frame.color_range == _FULL_RANGE
    numbers = conversion(*weights, depth=layout.depth, full_range=full_range, shift=layout.shift)
    half = (-(-height // (1 + layout.halved[0])), -(-width // (1 + layout.halved[1])))
    y, *chroma = [
        _samples(planes[plane], layout.depth, first, step, size)
        for (plane, first, step), size in zip(layout.components, ((height, width), half, half), strict=False)
    ]
    u, v = chroma or (None, None)
    return Planes(y, u, v, numbers)


def _samples(plane: VideoPlane, depth: int, first: int, step: int, size: tuple[int, int]) -> Samples:
    """View of one component's samples in a plane."""
    dtype = _BYTES if depth == 8 else _WORDS
    strides = (plane.line_size, step * dtype.itemsize)
    view: Samples = np.ndarray(size, dtype, memoryview(plane), first * dtype.itemsize, strides)
    return view
