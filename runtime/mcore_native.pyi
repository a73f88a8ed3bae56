"""Frames to network input, in native code; built from runtime/native. Wrong arguments raise ValueError or TypeError."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8] | NDArray[np.uint16]
Conversion = tuple[int, int, int, int, int, int, int, int, int, int]
"""The numbers of ``mcore.video.yuv.Conversion``."""

def instruction_sets() -> list[str]:
    """Instruction sets that this processor has code for, the fastest first; all compute the same numbers."""

def instruction_set() -> str:
    """The one in use."""

def use_instruction_set(name: str) -> None:
    """Use another one, for all plans of this process."""

def normalise(frames: NDArray[np.uint8], table: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Frames (T, h, w, 3), any strides, through a table (3, 256) to ``out`` (3, T, h, w), contiguous."""

def convert(y: Samples, u: Samples | None, v: Samples | None, conversion: Conversion, out: NDArray[np.uint8]) -> None:
    """Planes to RGB, to ``out`` (H, W, 3), contiguous, as ``mcore.video.yuv.to_rgb`` defines it.

    Args:
        y: luma (H, W), any strides.
        u: (h, w) of luma's type, any strides; each side is luma's or half of it, rounded up. None: a grey frame.
        v: as ``u``.
        conversion: its numbers.
        out: written.
    """

class Plan:
    """One geometry: frames of (height, width), resized to (out_height, out_width), of which a crop is computed.

    The numbers are those of Pillow's 8-bit BILINEAR, horizontally first, for any size. No memory is allocated for a
    frame, and Python's lock is released; frames of one plan wait for each other, plans do not.

    Raises:
        ValueError: a side below 1 or above 32767, or a crop outside the resized frame.
    """

    def __init__(
        self,
        width: int,
        height: int,
        out_width: int,
        out_height: int,
        left: int,
        top: int,
        crop_width: int,
        crop_height: int,
    ) -> None: ...
    def resize(self, frame: NDArray[np.uint8], out: NDArray[np.uint8], bgr: bool = False) -> None:
        """Frame (height, width, 3 or 4), any strides, to ``out`` (crop_height, crop_width, 3), any strides, RGB."""

    def resize_yuv(
        self, y: Samples, u: Samples | None, v: Samples | None, conversion: Conversion, out: NDArray[np.uint8]
    ) -> None:
        """As ``convert``, then as ``resize``; the whole RGB picture is never made."""
