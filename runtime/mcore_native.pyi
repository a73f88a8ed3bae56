"""Frames to network input, in native code; built from runtime/native. Wrong arguments raise ValueError or TypeError."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8] | NDArray[np.uint16]
Conversion = tuple[int, int, int, int, int, int, int, int, int, int]
"""The numbers of ``mcore.video.yuv.Conversion``."""

HAS_CUDA: bool
"""Whether ``CudaPlan`` was built; it needs a GPU and its driver only when one is made."""

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

class CudaPlan:
    """As ``Plan``, on the current NVIDIA GPU: the same numbers, from device pointers to device pointers.

    Pointers are addresses that the GPU can reach: device memory, or on a Jetson pinned or managed memory without a
    copy. Work is queued on ``stream`` (the address of a cudaStream_t; 0: the default stream) and may not be finished
    when a call returns; all frames of one plan belong on one stream.

    Raises:
        RuntimeError: CUDA cannot do it; says why.
        ValueError: as for ``Plan``; a null or misaligned pointer; strides that a row does not fit into.
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
    def write(
        self,
        *,
        frame: int,
        row_stride: int,
        pixel_stride: int,
        table: int,
        out: int,
        out_strides: tuple[int, int, int],
        half: bool = False,
        bgr: bool = False,
        stream: int = 0,
    ) -> None:
        """A packed frame (strides in bytes) through a table (3, 256) to a clip's slot.

        Args:
            frame: first pixel.
            row_stride: bytes from a row to the next.
            pixel_stride: bytes from a pixel to the next, 3 or more.
            table: (3, 256) float32, or float16 if ``half``, on the device.
            out: first element of the slot (3, crop_height, crop_width), of the table's type.
            out_strides: elements from a channel, a row, a column to the next.
            half: float16 instead of float32.
            bgr: blue comes first.
            stream: where to queue it.
        """

    def write_yuv(
        self,
        *,
        luma: int,
        luma_stride: int,
        u: int,
        v: int,
        chroma_stride: int,
        chroma_step: int,
        conversion: Conversion,
        table: int,
        out: int,
        out_strides: tuple[int, int, int],
        half: bool = False,
        stream: int = 0,
    ) -> None:
        """A YUV 4:2:0 frame of 8 bits; ``chroma_step`` is 1 for I420 and 2 for NV12, where ``v`` is ``u`` + 1."""
