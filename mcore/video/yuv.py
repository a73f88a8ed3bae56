"""Conversion of decoded planes to RGB in whole numbers: the definition, and its plain form in NumPy.

``docs/explanation/colour.md`` says why it is this one. ``mcore.video.native`` chooses between it and the native code,
which computes the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CONVERSION_VERSION = 1
"""Version of the conversion below; to be raised when any byte of any frame changes."""

FRACTION = 15
"""Fractional bits of every factor."""
_ONE, _HALF = 1 << FRACTION, 1 << (FRACTION - 1)

Samples = NDArray[np.uint8] | NDArray[np.uint16]


class Conversion(NamedTuple):
    """The ten whole numbers of a conversion; factors in units of 2^-15."""

    shift: int
    """Unused low bits of a sample."""
    top: int
    """Largest sample."""
    black: int
    """Luma that is black."""
    luma: int
    """Factor from luma above black to 0..255."""
    grey: int
    """Chroma that is grey."""
    chroma: int
    """Factor from chroma around grey to 8 bits, full range."""
    v_to_r: int
    u_to_g: int
    """Subtracted."""
    v_to_g: int
    """Subtracted."""
    u_to_b: int


@dataclass(frozen=True, eq=False)
class Planes:
    """Planes of a frame, as decoded: views, valid as long as the frame is."""

    y: Samples
    """(H, W)."""
    u: Samples | None
    """(h, w), each whole or half of luma's, rounded up; None: a grey frame."""
    v: Samples | None
    """As ``u``."""
    conversion: Conversion

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3): that of the picture in RGB."""
        return (*self.y.shape, 3)


Picture = NDArray[np.uint8] | Planes
"""A picture as it is shown: RGB, (H, W, 3), or what becomes RGB when it is needed."""


@lru_cache(64)
def conversion(red: float, blue: float, *, depth: int = 8, full_range: bool = False, shift: int = 0) -> Conversion:
    """Compute the numbers of a conversion.

    Args:
        red: share of red in luma, 0.299 in BT.601.
        blue: share of blue.
        depth: bits of a sample, 8 to 12.
        full_range: black is 0 and white the largest sample, instead of 16 and 235 of 255.
        shift: unused bits below a sample, as in P010.
    """
    unit, top = 1 << (depth - 8), (1 << depth) - 1
    black, whites, colours = (0, top, top) if full_range else (16 * unit, 219 * unit, 224 * unit)
    green = 1 - red - blue
    factors = (2 * (1 - red), 2 * (1 - blue) * blue / green, 2 * (1 - red) * red / green, 2 * (1 - blue))
    v_to_r, u_to_g, v_to_g, u_to_b = (round(factor * _ONE) for factor in factors)
    luma, chroma = round(255 * _ONE / whites), round(255 * _ONE / colours)
    return Conversion(shift, top, black, luma, 128 * unit, chroma, v_to_r, u_to_g, v_to_g, u_to_b)


def to_rgb(planes: Planes) -> NDArray[np.uint8]:
    """Convert a frame, (H, W, 3)."""
    c, (height, width) = planes.conversion, planes.y.shape
    luma = _to_full_range(planes.y, c, c.black, c.luma, 0)
    if planes.u is None or planes.v is None:
        return np.repeat(luma[..., None], 3, -1)
    u, v = (
        _upsample(_to_full_range(plane, c, c.grey, c.chroma, 128), height, width).astype(np.int32) - 128
        for plane in (planes.u, planes.v)
    )
    out = np.empty((height, width, 3), np.uint8)
    for channel, colour in enumerate((c.v_to_r * v, -c.u_to_g * u - c.v_to_g * v, c.u_to_b * u)):
        out[..., channel] = np.clip(luma + ((colour + _HALF) >> FRACTION), 0, 255)
    return out


def _to_full_range(plane: Samples, c: Conversion, zero: int, factor: int, offset: int) -> NDArray[np.uint8]:
    """Bring samples to 8 bits, full range."""
    samples = np.minimum(np.arange(np.iinfo(plane.dtype).max + 1) >> c.shift, c.top)
    table = np.clip((((samples - zero) * factor + _HALF) >> FRACTION) + offset, 0, 255).astype(np.uint8)
    converted: NDArray[np.uint8] = table[plane]
    return converted


def _upsample(plane: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Bring chroma to the size of luma, as libjpeg does ("fancy upsampling").

    A sample lies in the middle of its two or four pixels, so a pixel takes three quarters of the nearest one and a
    quarter of the next, in each direction that is halved. Halves are rounded up and down in turn.
    """
    rows, columns = np.arange(height), np.arange(width)
    halved_y, halved_x = plane.shape[0] < height, plane.shape[1] < width
    near, far = _neighbours(rows, plane.shape[0], halved_y)
    wide = plane.astype(np.uint16)
    sums = 3 * wide[near] + wide[far]  # (H, w)
    near, far = _neighbours(columns, plane.shape[1], halved_x)
    if not halved_x:
        bias = np.where(rows % 2 == 0, 7, 8)[:, None]
    else:
        bias = np.where(columns % 2 == 0, *((8, 7) if halved_y else (7, 8)))[None]
    return ((3 * sums[:, near] + sums[:, far] + bias.astype(np.uint16)) >> 4).astype(np.uint8)


def _neighbours(places: NDArray[np.int64], count: int, halved: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sample in whose half each pixel lies, and the one beside it on the pixel's side; at the edges the same."""
    if not halved:
        return places, places
    near = places // 2
    return near, np.clip(near + np.where(places % 2 == 0, -1, 1), 0, count - 1)
