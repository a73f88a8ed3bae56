"""Place and appearance of a rendered dive: venue, camera, light and diver, drawn independently of its quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mcore.synthetic.heights import DrawnHeightM

Color = tuple[int, int, int]

LEFT_M, RIGHT_M, BOTTOM_M, TOP_M = -7.5, 9.5, -4.5, 15.5
"""What of the venue is drawn; x from the board's tip, y from the water where the diver enters."""
FAR_EDGE_M = 1.15
"""Height at which the camera sees the far edge of the pool, which lies behind the water."""
VIEW_HEIGHT_M = (2.6, 3.4)
"""Height of the scene that a frame shows: near enough for faults of arms and legs to be seen in 64 pixels."""
_WALLS: list[Color] = [(62, 74, 94), (92, 88, 84), (48, 66, 72), (104, 106, 112), (70, 58, 66), (40, 52, 78)]
_WATERS: list[Color] = [(28, 118, 158), (22, 96, 146), (40, 136, 166), (30, 110, 132)]
_SUITS: list[Color] = [(24, 26, 34), (150, 24, 32), (18, 62, 130), (20, 96, 66), (96, 34, 110), (196, 120, 20)]
_SKINS: list[Color] = [(232, 190, 162), (206, 152, 118), (160, 108, 78), (112, 74, 54), (244, 208, 184)]
_CAPS: list[Color] = [(34, 24, 20), (70, 46, 30), (120, 88, 50), (20, 20, 24)]


@dataclass(frozen=True)
class Look:
    """Everything visible that says nothing about the dive's quality."""

    wall: Color
    water: Color
    suit: Color
    full_suit: bool
    """A suit that covers the trunk, or trunks."""
    skin: Color
    hair: Color
    build: float
    """Width of the limbs, 1 on average."""
    view_height_m: float
    """Height of the visible part of the venue, metres."""
    camera_low_m: float
    """Lowest height that the camera's centre goes down to."""
    camera_lead_m: float
    """How far ahead of the diver the camera looks."""
    light: tuple[float, float, float]
    """Gain of red, green and blue."""
    noise: float
    """Standard deviation of the sensor's noise, grey levels."""
    mirrored: bool
    """Dive to the left instead of to the right."""
    concrete: Color = (168, 170, 168)
    """Colour of the tower."""
    contrast: float = 1.0
    """Exponent of the grey levels: above 1 the shadows are deeper."""
    camera_yaw_deg: float = 0.0
    """How far the camera stands off the line that sees a dive exactly from the side."""
    camera_above_m: float = -0.2
    """How far above the diver's centre of mass the camera looks."""
    camera_lag_frames: float = 2.5
    """How slowly the operator follows."""
    camera_shake_m: float = 0.0
    """Standard deviation of the operator's unsteadiness."""
    zoom_in: float = 1.0
    """How much larger the picture is at the end of the clip than at its start."""
    blur: float = 0.0
    """Standard deviation of the lens's blur, as a share of the picture's height."""
    random_pool: bool = False
    """Stands in a random pool instead of a venue: walls, water and boards of any colour and texture."""


def draw_look(rng: np.random.Generator) -> Look:
    """Draw a venue, a camera and a diver's appearance."""

    def jitter(color: Color, by: float) -> Color:
        r, g, b = np.clip(np.array(color) + rng.normal(0, by, 3), 0, 255).astype(int).tolist()
        return r, g, b

    def pick(colors: list[Color], by: float = 6.0) -> Color:
        return jitter(colors[int(rng.integers(len(colors)))], by)

    warmth, gain = rng.normal(0, 0.035), rng.uniform(0.88, 1.1)
    return Look(
        wall=pick(_WALLS),
        water=pick(_WATERS),
        suit=pick(_SUITS),
        full_suit=bool(rng.random() < 0.5),
        skin=pick(_SKINS),
        hair=pick(_CAPS),
        build=float(rng.uniform(0.92, 1.12)),
        view_height_m=float(rng.uniform(*VIEW_HEIGHT_M)),
        camera_low_m=float(rng.uniform(0.55, 0.95)),
        camera_lead_m=float(rng.uniform(-0.2, 0.5)),
        light=(gain * (1 + warmth), gain, gain * (1 - warmth)),
        noise=float(rng.uniform(2.0, 5.0)),
        mirrored=bool(rng.random() < 0.5),
    )


def draw_venue(height_m: DrawnHeightM, look: Look, pixels_per_m: float, rng: np.random.Generator) -> Image.Image:
    """Draw everything that stands still, as one picture that the camera moves over.

    Args:
        height_m: height of the board.
        look: colours.
        pixels_per_m: scale of the picture.
        rng: decides where windows, spectators and ripples are.

    Returns:
        RGB, y downwards, from ``LEFT_M`` to ``RIGHT_M`` and from ``TOP_M`` down to ``BOTTOM_M``.
    """
    width, height = round((RIGHT_M - LEFT_M) * pixels_per_m), round((TOP_M - BOTTOM_M) * pixels_per_m)
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)

    def px(x: float, y: float) -> tuple[float, float]:
        return (x - LEFT_M) * pixels_per_m, (TOP_M - y) * pixels_per_m

    def box(x0: float, y0: float, x1: float, y1: float, color: Color, **more: Any) -> None:
        draw.rectangle((px(x0, max(y0, y1)), px(x1, min(y0, y1))), fill=color, **more)

    # From far to near; each part draws its own random numbers, so the order belongs to the pixels.
    _draw_wall(image, look, box, rng)
    _draw_stand(look, box, rng)
    # The camera focuses on the diver: what lies behind the pool is soft.
    image.paste(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.04, 0.09) * pixels_per_m)))
    _draw_water(image, look, pixels_per_m, rng)
    _draw_tower(height_m, look, box)
    return image


def shade(color: Color, factor: float) -> Color:
    """Make a colour darker (below 1) or lighter."""
    r, g, b = (int(min(255, max(0, channel * factor))) for channel in color)
    return r, g, b


def _draw_wall(image: Image.Image, look: Look, box: Any, rng: np.random.Generator) -> None:
    rows = np.linspace(1.25, 0.75, image.height)[:, None, None]
    wall = np.clip(np.array(look.wall) * rows, 0, 255) * np.ones((1, image.width, 1))
    image.paste(Image.fromarray(wall.astype(np.uint8)))
    for x in np.arange(LEFT_M, RIGHT_M, 2.4) + rng.uniform(0, 2.4):
        box(x, FAR_EDGE_M, x + 0.08, TOP_M, shade(look.wall, 0.82))
    for x in np.arange(LEFT_M, RIGHT_M, 3.4) + rng.uniform(0, 3.4):  # windows high up
        box(x, 8.6, x + 2.5, 10.4, shade(look.wall, 1.75), outline=shade(look.wall, 0.7))


def _draw_stand(look: Look, box: Any, rng: np.random.Generator) -> None:
    """Rows of spectators between a banner and the wall."""
    box(LEFT_M, 2.0, RIGHT_M, 5.6, shade(look.wall, 0.4))
    for y in np.arange(2.15, 5.5, 0.42):
        for x in np.arange(LEFT_M, RIGHT_M, 0.36):
            if rng.random() < 0.7:
                grey = rng.uniform(25, 95)  # unlit, so that the diver stands out
                r, g, b = np.clip(grey + rng.normal(0, 16, 3), 8, 140).astype(int).tolist()
                color = (r, g, b)
                box(x, y, x + 0.22, y + 0.22, color)
                box(x + 0.05, y + 0.22, x + 0.16, y + 0.34, shade((150, 116, 96), rng.uniform(0.35, 0.75)))
    for i, x in enumerate(np.arange(LEFT_M, RIGHT_M, 3.0)):
        color = shade(look.water, 0.7) if i % 2 else shade(look.wall, 1.6)
        box(x, FAR_EDGE_M + 0.2, x + 2.96, 2.0, color)
    box(LEFT_M, FAR_EDGE_M, RIGHT_M, FAR_EDGE_M + 0.2, (196, 198, 194))


def _draw_water(image: Image.Image, look: Look, pixels_per_m: float, rng: np.random.Generator) -> None:
    top = round((TOP_M - FAR_EDGE_M) * pixels_per_m)  # row of the far edge; the water is below it
    rows, columns = image.height - top, image.width
    depth = np.linspace(1.25, 0.72, rows)[:, None]  # lighter far away
    y, x = np.mgrid[0:rows, 0:columns] / pixels_per_m
    stretch = 1 + 2.2 * (1 - y / y.max())  # ripples look flatter far away
    ripple = sum(
        np.sin(x * rng.uniform(2, 7) + y * stretch * rng.uniform(6, 13) + rng.uniform(0, 6.28)) for _ in range(5)
    )
    water = np.array(look.water) * (depth + 0.045 * np.asarray(ripple))[..., None]
    image.paste(Image.fromarray(np.clip(water, 0, 255).astype(np.uint8)), (0, top))


def _draw_tower(height_m: DrawnHeightM, look: Look, box: Any) -> None:
    """The concrete that divers stand on; a springboard's own board moves and is drawn with the diver."""
    concrete = look.concrete
    if height_m == 10:
        box(-5.6, -0.4, -4.2, 15.0, shade(concrete, 0.62))
        for level, tip in ((5.0, -2.6), (7.5, -3.2)):
            _draw_platform(level, tip, shade(concrete, 0.86), box)
        _draw_platform(10.0, 0.0, concrete, box)
    else:
        box(-4.6, -0.4, -2.4, 2.0, shade(concrete, 0.7))
        box(-3.4, 2.0, -2.7, 2.85, shade(concrete, 0.5))
    box(LEFT_M, -0.45, -2.2, 0.35, shade(concrete, 1.12))  # pool deck
    box(LEFT_M, -0.45, -2.2, -0.3, shade(look.water, 0.5))


def _draw_platform(level: float, tip: float, color: Color, box: Any) -> None:
    box(LEFT_M, level - 0.30, tip, level - 0.02, shade(color, 0.8))
    box(LEFT_M, level - 0.06, tip, level, shade(color, 1.2))
    for x in np.arange(LEFT_M, tip - 1.4, 0.9):
        box(x, level, x + 0.05, level + 1.0, shade(color, 1.05))
    box(LEFT_M, level + 0.95, tip - 1.4, level + 1.0, shade(color, 1.05))
