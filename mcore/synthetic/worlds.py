"""Worlds of made-up dives: the standard one, and another pool, whose camera, people and judges networks do not know.

The other one stands in for a pool of one's own where no real dives are at hand: a network meets it as delivered, and
learns from it (``mcore-adapt``). It shares neither looks nor dives with the standard one, and no shipped network was
trained on it.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Literal

import numpy as np

from mcore.synthetic.scene import Color, Look, draw_look

World = Literal["standard", "other"]
JUDGES: Mapping[World, Mapping[str, float]] = {
    "standard": {},
    # Stricter on the whole; they look at the entry, and forgive bent knees and parted legs.
    "other": {"splash": 2.2, "angle": 1.7, "line": 2.0, "arms": 2.0, "lean": 1.5, "knees": 0.4, "legs": 0.5},
}
"""How many times as much as usual the judges of a world take off for a fault; once for those that are not named."""
FIRST_SEED: Mapping[World, int] = {"standard": 0, "other": 1_000_000_007}
"""Added to the seeds of a world's dives, so that two worlds share no dive."""


def draw_world_look(world: World, rng: np.random.Generator) -> Look:
    """Draw how a dive of a world looks: venue, camera and diver."""
    return draw_look(rng) if world == "standard" else _other_look(rng)


def _other_look(rng: np.random.Generator) -> Look:
    """One open-air pool: a camera far off to one side, that sees slim divers small against the sky."""

    def hsv(hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]) -> Color:
        r, g, b = colorsys.hsv_to_rgb(*(float(rng.uniform(*span)) for span in (hue, saturation, value)))
        return round(255 * r), round(255 * g), round(255 * b)

    person, gain = draw_look(rng), float(rng.uniform(1.0, 1.25))
    return Look(
        wall=hsv((0.54, 0.62), (0.15, 0.45), (0.62, 0.85)),
        water=hsv((0.38, 0.48), (0.45, 0.75), (0.28, 0.5)),
        concrete=hsv((0.05, 0.12), (0.1, 0.3), (0.7, 0.95)),
        suit=hsv((0.0, 1.0), (0.7, 1.0), (0.75, 1.0)),
        full_suit=person.full_suit,
        skin=person.skin,
        hair=person.hair,
        build=float(rng.uniform(0.72, 0.9)),
        view_height_m=float(rng.uniform(3.7, 4.3)),
        camera_low_m=float(rng.uniform(1.2, 1.5)),
        camera_lead_m=float(rng.uniform(-0.6, -0.3)),
        camera_above_m=float(rng.uniform(0.2, 0.5)),
        camera_lag_frames=float(rng.uniform(4.0, 6.0)),
        camera_yaw_deg=float(rng.uniform(36.0, 44.0)),
        light=(gain * 1.06, gain, gain * 0.9),
        contrast=float(rng.uniform(0.75, 0.9)),
        noise=float(rng.uniform(5.0, 9.0)),
        mirrored=True,
    )
