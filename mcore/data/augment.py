"""What training changes about a clip: one random crop for all frames, and sometimes its mirror image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore.config import ClipConfig
from mcore.video import crop


def augment(
    frames: NDArray[np.uint8], config: ClipConfig, rng: np.random.Generator, flip_probability: float
) -> NDArray[np.uint8]:
    """Crop at one random position and flip the whole clip left to right with a probability.

    Args:
        frames: (T, resize_height, resize_width, 3).
        config: crop size.
        rng: source of the three random numbers.
        flip_probability: 0..1.

    Returns:
        (T, crop, crop, 3), contiguous.
    """
    top = int(rng.integers(0, config.resize_height - config.crop_size + 1))
    left = int(rng.integers(0, config.resize_width - config.crop_size + 1))
    cropped = crop(frames, config, top, left)
    if rng.random() < flip_probability:
        cropped = cropped[:, :, ::-1]
    return np.ascontiguousarray(cropped)
