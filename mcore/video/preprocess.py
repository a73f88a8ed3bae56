"""From a frame to network input: resize, crop, normalise (docs/reference/network.md, section 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.video import native
from mcore.video.yuv import Picture

_COLOUR_VALUES = 256


def resize_frame(
    picture: Picture, config: ClipConfig, out: NDArray[np.uint8] | None = None, *, central: bool = False
) -> NDArray[np.uint8]:
    """Resize one frame as the published code does: Pillow's BILINEAR, which is antialiased.

    Args:
        picture: (H, W, 3) uint8, or planes; the aspect ratio is not kept.
        config: gives the size.
        out: uint8 array to write to, of the returned shape; None: a new one.
        central: compute only the square that ``crop`` cuts from the centre.

    Returns:
        (resize_height, resize_width, 3) uint8, or (c, c, 3).
    """
    size = (config.resize_height, config.resize_width)
    if out is None:
        out = np.empty((*((config.crop_size,) * 2 if central else size), 3), np.uint8)
    native.resize(picture, out, size)
    return out


def crop(
    frames: NDArray[np.uint8], config: ClipConfig, top: int | None = None, left: int | None = None
) -> NDArray[np.uint8]:
    """Cut the same square from every frame.

    Args:
        frames: (T, h, w, 3) uint8; those that are central already stay as they are.
        config: gives the side c.
        top: first row; the centre by default (row 44 of 200 for a side of 112).
        left: first column; the centre by default.

    Returns:
        (T, c, c, 3) uint8, a view.

    Raises:
        UserError: the square does not lie in the frame.
    """
    side = config.crop_size
    height, width = frames.shape[1:3]
    top = (height - side) // 2 if top is None else top
    left = (width - side) // 2 if left is None else left
    if not (0 <= top <= height - side and 0 <= left <= width - side):
        raise UserError(
            f"a crop of {side} x {side} at row {top}, column {left} does not lie in a frame of "
            f"{width} x {height} (width x height)"
        )
    return frames[:, top : top + side, left : left + side]


def normalise(frames: NDArray[np.uint8], config: ClipConfig) -> NDArray[np.float32]:
    """Scale to 0..1, subtract the mean, divide by the standard deviation, channels first.

    Args:
        frames: (T, c, c, 3) uint8, RGB.
        config: gives mean and standard deviation.

    Returns:
        (3, T, c, c) float32, contiguous.
    """
    # Only 256 values can occur, so look them up: computed once, in the order of operations of the published code.
    scaled = np.arange(_COLOUR_VALUES, dtype=np.float32) / np.float32(255)
    mean, std = (np.array(values, np.float32)[:, None] for values in (config.mean, config.std))
    table = (scaled - mean) / std  # (3, 256)
    out = np.empty((3, *frames.shape[:3]), np.float32)  # (3, T, c, c)
    native.look_up(frames, table, out)
    return out


def denormalise(clip: NDArray[np.float32], config: ClipConfig) -> NDArray[np.uint8]:
    """Take ``normalise`` back.

    Args:
        clip: (3, T, c, c) float32.
        config: as of ``normalise``.

    Returns:
        (T, c, c, 3) uint8, RGB.
    """
    mean, std = (np.array(values, np.float32)[:, None, None, None] for values in (config.mean, config.std))
    values = np.rint((clip * std + mean) * 255).clip(0, 255).astype(np.uint8)
    return np.asarray(values.transpose(1, 2, 3, 0))
