"""Random pools: textured walls, crowds, windows, flags, trees, water with reflections, towers with several boards.

A pool is a flat picture behind the diver, as ``View.crop`` takes it; it shares no colour with any rendered meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mcore.synthetic.scene import BOTTOM_M, LEFT_M, RIGHT_M, TOP_M, Color, Look, draw_look

SIDE_M = 9.0
"""A pool goes on this far on either side of what scenes draw."""
Box = Callable[[float, float, float, float, Color], None]
"""Fills a rectangle: left, bottom, right and top in metres, and a colour."""
_APART_LEVELS = 120
"""Difference of colours that stand apart, over three channels."""
_WIDTH_M, _HEIGHT_M = RIGHT_M - LEFT_M + 2 * SIDE_M, TOP_M - BOTTOM_M


@dataclass(frozen=True)
class Ground:
    """Heights in the picture plane, metres."""

    far_edge_m: float
    """Where the water ends in the picture, above the place of entry."""
    near_edge_m: float
    """Where the near deck begins, below it."""


def random_color(rng: np.random.Generator, low: float = 0.0, high: float = 255.0) -> Color:
    """Draw a colour: a brightness, and a tint that is weak more often than strong."""
    value = rng.uniform(low, high) * (1 + rng.normal(0, rng.choice([0.05, 0.3]), 3))
    r, g, b = np.clip(value, 0, 255).astype(int).tolist()
    return r, g, b


def random_look(rng: np.random.Generator, behind: Color | None = None) -> Look:
    """Draw a person of any colours; who stands out from the colour behind is drawn more often."""
    look = _random_person(rng)
    for _ in range(4):
        if behind is None or max(abs(sum(look.skin) - sum(behind)), abs(sum(look.suit) - sum(behind))) > _APART_LEVELS:
            break
        look = _random_person(rng)
    return look


def _random_person(rng: np.random.Generator) -> Look:
    person = draw_look(rng)
    if rng.random() < 0.6:
        skin = random_color(rng, 25, 245)
        person = replace(person, skin=skin, suit=random_color(rng), hair=random_color(rng))
    return replace(person, build=float(rng.uniform(0.8, 1.5)), water=random_color(rng, 30, 230))


def draw_pool(
    ground: Ground, wall_color: Color, height_m: float, pixels_per_m: float, rng: np.random.Generator
) -> Image.Image:
    """Draw everything that stands still.

    Args:
        ground: where the water is.
        wall_color: behind it.
        height_m: of the board that is dived from; below it stands what carries it.
        pixels_per_m: scale of the picture.
        rng: decides all of it.

    Returns:
        RGB, y downwards, from ``LEFT_M - SIDE_M`` to ``RIGHT_M + SIDE_M`` and from ``TOP_M`` down to ``BOTTOM_M``.
    """
    size = (max(8, round(_WIDTH_M * pixels_per_m)), max(8, round(_HEIGHT_M * pixels_per_m)))
    wall = _texture(size, pixels_per_m, wall_color, rng)
    image = Image.fromarray(wall)
    draw = ImageDraw.Draw(image)

    def box(x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
        left, right = sorted(((x0 - LEFT_M + SIDE_M) * pixels_per_m, (x1 - LEFT_M + SIDE_M) * pixels_per_m))
        top, bottom = sorted(((TOP_M - y0) * pixels_per_m, (TOP_M - y1) * pixels_per_m))
        draw.rectangle((left, top, right, bottom), fill=color)

    _draw_things(box, ground, rng)
    if rng.random() < 0.5:
        _draw_crowd(box, ground, rng)
    _draw_water(image, ground, pixels_per_m, rng)
    _draw_tower(box, ground, height_m, rng)
    return image


def _texture(size: tuple[int, int], pixels_per_m: float, color: Color, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise of several sizes over a colour that grows lighter or darker upwards: (H, W, 3)."""
    width, height = size
    strength = rng.uniform(0.0, 0.35)
    total = np.zeros((height, width), np.float32)
    for metres in rng.choice([0.15, 0.3, 0.7, 1.5, 4.0, 9.0], 3, replace=False):
        # Stretched noise looks like seats, tiles, leaves or clouds.
        across, down = metres * np.exp(rng.normal(0, 0.6, 2)) * pixels_per_m
        cells = (max(2, round(height / max(down, 1))), max(2, round(width / max(across, 1))))
        noise = Image.fromarray(rng.normal(0, 1, cells).astype(np.float32))
        total += np.asarray(noise.resize(size, Image.Resampling.BILINEAR if rng.random() < 0.6 else 0))
    bottom, top = (1 + rng.uniform(-0.5, 0.5, 2)).tolist()
    shade = np.linspace(bottom, top, height)[:, None]
    lit = shade * (1 + strength / 2 * total)
    return np.asarray(np.clip(lit[..., None] * np.array(color), 0, 255).astype(np.uint8))


def _draw_things(box: Box, ground: Ground, rng: np.random.Generator) -> None:
    """Windows, banners, pillars, flags, scoreboards: boxes, alone and in rows."""
    for _ in range(int(rng.integers(0, 14))):
        x, y = rng.uniform(LEFT_M - SIDE_M, RIGHT_M + SIDE_M), rng.uniform(ground.far_edge_m, TOP_M)
        wide, high = np.exp(rng.normal([0.0, 0.0], 0.9)).tolist()
        color = random_color(rng)
        count = int(rng.integers(2, 14)) if rng.random() < 0.4 else 1
        step = wide * rng.uniform(1.05, 2.5)
        for i in range(count):
            box(x + i * step, y, x + i * step + wide, y + high, color)


def _draw_crowd(box: Box, ground: Ground, rng: np.random.Generator) -> None:
    bottom = ground.far_edge_m + rng.uniform(0, 3)
    top, share, step = bottom + rng.uniform(0.8, 5.0), rng.uniform(0.3, 0.95), rng.uniform(0.3, 0.6)
    low, high = sorted(rng.uniform(10, 250, 2).tolist())
    for y in np.arange(bottom, top, step * 1.2):
        for x in np.arange(LEFT_M - SIDE_M, RIGHT_M + SIDE_M, step):
            if rng.random() < share:
                box(x, y, x + 0.6 * step, y + 0.7 * step, random_color(rng, low, high))


def _draw_water(image: Image.Image, ground: Ground, pixels_per_m: float, rng: np.random.Generator) -> None:
    top = int(np.clip((TOP_M - ground.far_edge_m) * pixels_per_m, 0, image.height - 2))
    color = random_color(rng, 20, 240)
    if rng.random() < 0.7:  # most pools are blue or green
        value = rng.uniform(60, 235)
        color = (int(value * rng.uniform(0.1, 0.8)), int(value * rng.uniform(0.6, 1.0)), int(value))
    water = _texture((image.width, image.height - top), pixels_per_m, color, rng)
    if rng.random() < 0.5:  # what stands behind the pool, upside down
        mirrored = np.asarray(image)[max(0, 2 * top - image.height) : top][::-1]
        share = rng.uniform(0.1, 0.6)
        part = water[: len(mirrored)]
        part[:] = (part * (1 - share) + mirrored * share).astype(np.uint8)
    near = int(np.clip((TOP_M - ground.near_edge_m) * pixels_per_m, top + 1, image.height))
    deck = image.height - near
    if deck > 0:
        water[near - top :] = _texture((image.width, deck), pixels_per_m, random_color(rng), rng)
    image.paste(Image.fromarray(water), (0, top))
    if rng.random() < 0.7:
        edge = random_color(rng, 60, 255)
        thick = max(1, round(rng.uniform(0.05, 0.5) * pixels_per_m))
        image.paste(edge, (0, max(0, top - thick), image.width, top))


def _draw_tower(box: Box, ground: Ground, height_m: float, rng: np.random.Generator) -> None:
    """What carries the board, other boards, rails and steps."""
    color = random_color(rng, 20, 250)
    wide = rng.uniform(0.15, 2.5)
    back = rng.uniform(-5.0, -1.2)
    box(back - wide, -0.4, back, height_m - 0.1, color)
    for level in (1.0, 3.0, 5.0, 7.5, 10.0):
        if rng.random() < 0.35 and abs(level - height_m) > 0.5:
            tip = rng.uniform(-4.5, 6.0) if rng.random() < 0.3 else rng.uniform(-5.0, -0.8)
            box(tip - rng.uniform(2, 7), level - rng.uniform(0.06, 0.35), tip, level, random_color(rng))
    if rng.random() < 0.6:
        rail = random_color(rng)
        for x in np.arange(-7.0, back + 1.0, rng.uniform(0.5, 1.5)):
            box(x, height_m, x + 0.05, height_m + 1.0, rail)
        box(-7.5, height_m + 0.95, back + 1.0, height_m + 1.0, rail)
    if rng.random() < 0.7:  # the deck under the board
        box(LEFT_M - SIDE_M, -0.5, rng.uniform(-4.5, -1.0), rng.uniform(0.1, 0.7), random_color(rng, 60, 240))
