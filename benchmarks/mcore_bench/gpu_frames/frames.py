"""Frames to work on, RGB and NV12, what of them the network needs, and how results are compared; torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.video import normalise

if TYPE_CHECKING:
    from mcore_native import CudaPlan, Plan

Frame = NDArray[np.uint8]
CONFIG = ClipConfig()
SIDE = CONFIG.crop_size
LEFT, TOP = (CONFIG.resize_width - SIDE) // 2, (CONFIG.resize_height - SIDE) // 2
RGB, NV12 = "RGB", "NV12"


def scene(width: int, height: int, count: int) -> Iterator[Frame]:
    """Yield frames (H, W, 3) of a picture that moves under the camera, and a part of it that moves against it."""
    size = (width + 128, height + 64)
    small = np.random.default_rng(0).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), np.uint8)
    canvas = np.array(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
    side = min(width, height) // 4
    part = 255 - canvas[:side, :side]
    for t in range(count):
        x, y = 2 * t % 128, t % 64
        frame = np.ascontiguousarray(canvas[y : y + height, x : x + width])
        x, y = 5 * t % (width - side), 3 * t % (height - side)
        frame[y : y + side, x : x + side] = part
        yield frame


def as_nv12(frame: Frame) -> Frame:
    """Take an RGB frame's values for luma and chroma, (H * 3 / 2, W)."""
    height, width = frame.shape[:2]
    chroma = frame[: height // 2, : width // 2, 1:].reshape(height // 2, width)
    return np.concatenate([frame[..., 0], chroma])


def split(nv12: Frame) -> tuple[Frame, Frame]:
    """Luma (H, W) and chroma (H / 2, W / 2, 2) of an NV12 frame."""
    rows, width = nv12.shape
    height = rows * 2 // 3
    return nv12[:height], nv12[height:].reshape(height // 2, width // 2, 2)


def plans(width: int, height: int) -> tuple[Plan, CudaPlan]:
    """The processor's plan and the GPU's from frames of this size to the crop.

    Raises:
        UserError: the native code has no CUDA part.
    """
    import mcore_native

    if not mcore_native.HAS_CUDA:
        raise UserError("mcore_native was built without a CUDA compiler; with nvcc on the PATH: pip install .")
    geometry = (width, height, CONFIG.resize_width, CONFIG.resize_height, LEFT, TOP, SIDE, SIDE)
    return mcore_native.Plan(*geometry), mcore_native.CudaPlan(*geometry)


def table_of_values() -> NDArray[np.float32]:
    """The network input of every grey level, (3, 256)."""
    levels = np.arange(256, dtype=np.uint8)[None, None, :, None].repeat(3, -1)  # (1, 1, 256, 3)
    return np.ascontiguousarray(normalise(levels, CONFIG)[:, 0, 0])


def rows_needed(kind: str, height: int) -> list[slice]:
    """Rows of a frame, (H, W, 3) or (H * 3 / 2, W), that the crop depends on."""
    rows = needed(TOP, height / CONFIG.resize_height, height)
    if kind == RGB:
        return [rows]
    return [rows, slice(height + rows.start // 2, height + (rows.stop + 1) // 2)]


def bytes_needed(kind: str, width: int, height: int, *, whole_rows: bool) -> int:
    """Bytes of a frame that the crop depends on, or of the rows that these are in."""
    across = slice(0, width) if whole_rows else needed(LEFT, width / CONFIG.resize_width, width)
    rows = [int(part.stop - part.start) for part in rows_needed(kind, height)]
    if kind == RGB:
        return 3 * rows[0] * int(across.stop - across.start)
    return rows[0] * int(across.stop - across.start) + rows[1] * 2 * int((across.stop + 1) // 2 - across.start // 2)


def needed(start: int, scale: float, size: int) -> slice:
    """The input pixels of one axis behind SIDE outputs from ``start`` on; each output looks ``scale`` to both sides."""
    reach = max(scale, 1.0)
    first, last = (start + 0.5) * scale - reach, (start + SIDE - 0.5) * scale + reach
    return slice(max(int(first), 0), min(int(last) + 1, size))


def differing(got: NDArray[Any], expected: NDArray[Any]) -> int:
    """Count elements whose bits differ; arrays of another shape or type differ in all."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return max(got.size, expected.size, 1)
    bits = np.dtype(f"u{got.dtype.itemsize}")
    return int(np.count_nonzero(np.ascontiguousarray(got).view(bits) != np.ascontiguousarray(expected).view(bits)))
