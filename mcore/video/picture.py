"""From a decoded frame to the picture as it is meant to be shown: RGB, upright."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

_QUARTER_TURN_DEGREES = 90


def to_rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Convert a frame of any pixel format to RGB and turn it upright.

    Matrix and range follow the frame's own tags; untagged frames count as BT.601, limited range, which is FFmpeg's
    convention at every size. Wide-gamut and HDR transfer curves are not tone-mapped, alpha is dropped and interlaced
    frames are taken as they are. Rotation metadata, as phones write it, is honoured to the quarter turn; pixels
    that are not square stay so, because the network's resize ignores the aspect ratio anyway.

    Returns:
        (H, W, 3) uint8, contiguous, as shown.
    """
    rgb = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    quarter_turns = round(frame.rotation / _QUARTER_TURN_DEGREES) % 4  # counterclockwise
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb
