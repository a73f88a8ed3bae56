"""Splash of an entry: a column, droplets in free fall, and foam that stays; larger for a worse entry.

Each of these varies by itself, so that none of them is a ruler of the entry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mcore.diving.physics import GRAVITY_M_S2
from mcore.synthetic.camera import View, paste

Array = NDArray[np.float64]

_OVERSAMPLING = 2
_WHITE = (238, 246, 250)
_VARIATION_STD = 0.3
"""Of the logarithm of each part of a splash: entries that are equally bad do not look the same."""
_LEAST = 0.08
"""What varies of a splash without a fault."""
_LARGEST = 1.5


@dataclass(frozen=True, eq=False)
class Splash:
    """Everything about one splash that is decided before it happens."""

    column: float
    """Size of the column: 0 a rip entry, 1 a wall of water."""
    foam: float
    """Size of the foam, on the same scale."""
    lasting: float
    """Duration of the column, on the same scale."""
    size: float
    """Largest part of it, on the same scale."""
    delay: Array
    """(D,) seconds from touching the water to a droplet's start."""
    velocity: Array
    """(D, 2) metres a second: along the water, up."""
    radius: Array
    """(D,) metres."""
    jags: Array
    """(J,) outline of the column, about 1."""


def draw_splash_parameters(severity: float, rng: np.random.Generator) -> Splash:
    """Decide a splash of a severity in 0..1."""
    column, foam, lasting, drops = np.clip(
        (severity + _LEAST) * np.exp(rng.normal(0.0, _VARIATION_STD, 4)) - _LEAST, 0.0, _LARGEST
    ).tolist()
    count = int(24 + 160 * drops)
    up = (1.7 + 2.6 * drops) * rng.uniform(0.25, 1.0, count)
    along = rng.normal(0.0, 0.35 + 0.7 * drops, count)
    return Splash(
        column=column,
        foam=foam,
        lasting=lasting,
        size=max(column, foam, drops),
        delay=rng.uniform(0.0, 0.14 + 0.30 * drops, count),
        velocity=np.stack([along, up], -1),
        radius=rng.uniform(0.015, 0.035 + 0.02 * drops, count),
        jags=rng.uniform(0.55, 1.15, 15),
    )


def paste_splash(image: Image.Image, view: View, splash: Splash, seconds: float, x_m: float, y_m: float = 0.0) -> None:
    """Draw a splash into a frame; nothing before it begins.

    Args:
        image: the frame, changed.
        view: what it shows.
        splash: which one.
        seconds: since the water was touched.
        x_m: where the diver entered.
        y_m: height of the water.
    """
    drawn = _render(splash, seconds, view.scale)
    if drawn is not None:
        paste(image, drawn[0], view.pixel(x_m, y_m) - drawn[1])


def _render(splash: Splash, seconds: float, pixels_per_m: float) -> tuple[Image.Image, tuple[int, int]] | None:
    """Draw a splash: an RGBA picture, and the pixel in it where the diver entered; None before it begins."""
    if seconds < 0:
        return None
    # Metres that the picture shows beside, below and above the place of entry.
    reach, below, above = 1.2 + 1.6 * splash.size, 0.5, 0.5 + 1.3 * splash.size
    scale = _OVERSAMPLING * pixels_per_m
    size = (round(2 * reach * pixels_per_m), round((above + below) * pixels_per_m))
    image = Image.new("RGBA", (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING), (*_WHITE, 0))
    draw = ImageDraw.Draw(image)
    origin = np.array([image.width / 2, above * scale])
    _draw_foam(draw, splash, seconds, origin, scale)
    _draw_column(draw, splash, seconds, origin, scale)
    _draw_droplets(draw, splash, seconds, origin, scale)
    return image.resize(size, Image.Resampling.BOX), (
        round(origin[0] / _OVERSAMPLING),
        round(origin[1] / _OVERSAMPLING),
    )


def _draw_foam(draw: ImageDraw.ImageDraw, splash: Splash, seconds: float, origin: Array, scale: float) -> None:
    # Foam spreads for half a second and fades over seconds; a worse entry leaves more of it.
    across = (0.22 + 0.6 * splash.foam) * min(1.0, 0.35 + seconds / 0.5) * scale
    alpha = int(205 * (0.35 + 0.65 * min(splash.foam, 1.0)) * np.exp(-seconds / 1.6))
    for share, strength in ((1.0, 0.45), (0.7, 0.8)):
        half = across * share
        draw.ellipse(
            [origin[0] - half, origin[1] - 0.16 * half, origin[0] + half, origin[1] + 0.22 * half],
            fill=(*_WHITE, int(alpha * strength)),
        )


def _draw_column(draw: ImageDraw.ImageDraw, splash: Splash, seconds: float, origin: Array, scale: float) -> None:
    # The column rises and falls on a parabola while it grows wider.
    lasts = 0.34 + 0.4 * splash.lasting
    u = seconds / lasts
    if u >= 1:
        return
    height = (0.22 + 0.85 * splash.column) * 4 * u * (1 - u) * scale
    half = (0.10 + 0.24 * splash.column) * (0.6 + 0.6 * u) * scale
    across = np.linspace(-1, 1, len(splash.jags))
    outline = (1 - across**2) * splash.jags
    points = [(origin[0] + x * half, origin[1] - h * height) for x, h in zip(across, outline, strict=True)]
    alpha = int(230 * (1 - 0.45 * u))
    draw.polygon([(origin[0] - half, origin[1]), *points, (origin[0] + half, origin[1])], fill=(*_WHITE, alpha))


def _draw_droplets(draw: ImageDraw.ImageDraw, splash: Splash, seconds: float, origin: Array, scale: float) -> None:
    t = seconds - splash.delay  # (D,) seconds that each droplet has flown
    height = splash.velocity[:, 1] * t - GRAVITY_M_S2 * t**2 / 2
    along = splash.velocity[:, 0] * t
    for i in np.flatnonzero((t > 0) & (height > 0)):
        x, y, r = origin[0] + along[i] * scale, origin[1] - height[i] * scale, splash.radius[i] * scale
        draw.ellipse([x - r, y - r, x + r, y + r], fill=(*_WHITE, 215))
