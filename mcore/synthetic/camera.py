"""Camera of rendered dives: what it sees, how it moves, and how its sensor records.

The scene is measured in metres: x from the board's tip away from it, y up from the water, z towards the camera.
Pictures are measured in pixels from their top left corner, y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore.synthetic.scene import LEFT_M, TOP_M, Look

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class View:
    """Part of the scene that one frame shows."""

    center: Array
    """(2,) metres."""
    scale: float
    """Pixels per metre."""
    width: int
    height: int

    def pixel(self, x: float | Array, y: float | Array) -> Array:
        """Project points of the scene, metres: (2,) pixels, or (2, N) of N points."""
        return np.array(
            [self.width / 2 + (x - self.center[0]) * self.scale, self.height / 2 - (y - self.center[1]) * self.scale]
        )

    def crop(self, venue: Image.Image, venue_scale: float, pad_m: float = 0.0) -> Image.Image:
        """Cut the view out of the picture of the whole venue.

        Args:
            venue: from ``draw_venue``.
            venue_scale: pixels per metre of that picture.
            pad_m: width that was added to it on either side.
        """
        left, top = self.center[0] + pad_m - LEFT_M, TOP_M - self.center[1]
        ratio = venue_scale / self.scale
        offset = (left * venue_scale - ratio * self.width / 2, top * venue_scale - ratio * self.height / 2)
        matrix = (ratio, 0, offset[0], 0, ratio, offset[1])  # from a pixel of the view to one of the venue
        size = (self.width, self.height)
        return venue.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


class Sensor:
    """Light, contrast and noise: from a drawn picture to recorded values.

    Args:
        look: gives light, contrast and the noise's standard deviation.
        width: of a frame, pixels.
        height: of a frame, pixels.
        num_patterns: noise is drawn this often and then reused, because drawing it costs as much as a frame.
        rng: decides the noise.
    """

    def __init__(self, look: Look, width: int, height: int, num_patterns: int, rng: np.random.Generator) -> None:
        levels = np.arange(256)[:, None]
        curved = 255 * (levels / 255) ** look.contrast if look.contrast != 1 else levels
        self._levels = np.clip(curved * np.array(look.light), 0, 255).astype(np.int16)  # (256, 3)
        noise = rng.normal(0.0, look.noise, (num_patterns, height, width, 1))  # the same in red, green and blue
        self._noise = np.round(noise).astype(np.int16)

    def expose(self, image: Image.Image) -> NDArray[np.int16]:
        """Apply light and contrast to a drawn picture: (H, W, 3), with room for what is added later."""
        drawn = np.asarray(image)
        return np.stack([self._levels[:, channel][drawn[..., channel]] for channel in range(3)], -1)

    def record(self, pixels: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Add noise, of which ``rng`` chooses the pattern, and cut to the range of a frame; changes ``pixels``."""
        pixels += self._noise[int(rng.integers(len(self._noise)))]
        return np.clip(pixels, 0, 255).astype(np.uint8)


def paste(image: Image.Image, picture: Image.Image, corner: Array) -> None:
    """Lay a picture with transparency over another, its top left corner at ``corner``, pixels."""
    x, y = np.round(corner).astype(int).tolist()
    image.paste(picture, (x, y), picture)


def seen_from(joints_m: Array, yaw_deg: float) -> Array:
    """Turn joints (..., 3) about the upright axis through the board's tip: as a camera off to one side sees them."""
    if yaw_deg == 0:
        return joints_m
    yaw = np.radians(yaw_deg)
    x, z = joints_m[..., 0], joints_m[..., 2]
    return np.stack([x * np.cos(yaw) + z * np.sin(yaw), joints_m[..., 1], z * np.cos(yaw) - x * np.sin(yaw)], -1)


def smooth_path(path: Array, lag_frames: float) -> Array:
    """Smooth a path (N, 2) over time by a Gaussian of this standard deviation; its ends are held."""
    radius = int(4 * lag_frames)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / lag_frames) ** 2)
    padded = np.pad(path, ((radius, radius), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, axis], kernel / kernel.sum(), mode="valid") for axis in (0, 1)], -1)


def unit_drift(rng: np.random.Generator, num_frames: int, lag_frames: float) -> Array:
    """Draw slow random movement (N, 2) of standard deviation 1; its ends are wilder, the more so the slower it is."""
    white = rng.normal(0.0, 1.0, (num_frames, 2))
    # A Gaussian of standard deviation s leaves white noise 1 / (2 s sqrt(pi)) of its variance.
    return np.asarray(smooth_path(white, lag_frames) * np.sqrt(2 * lag_frames * np.sqrt(np.pi)))
