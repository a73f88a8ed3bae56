"""Worlds of made-up dives: the standard one, random pools, and another pool that no network knows.

In random pools each dive has a pool, a camera, a diver and a recording of its own, so that a network must look at what
all of them share; judges are the usual ones. The other pool stands in for one's own where no real dives are at hand: a
network meets it as delivered, and learns from it (``mcore-adapt``). It shares neither looks nor dives with the others,
and no shipped network was trained on it.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from mcore.synthetic.pool import random_color, random_look
from mcore.synthetic.scene import Color, Look, draw_look

World = Literal["standard", "pools", "other"]
JUDGES: Mapping[World, Mapping[str, float]] = {
    "standard": {},
    "pools": {},
    # Stricter on the whole; they look at the entry, and forgive bent knees and parted legs.
    "other": {"splash": 2.2, "angle": 1.7, "line": 2.0, "arms": 2.0, "lean": 1.5, "knees": 0.4, "legs": 0.5},
}
"""How many times as much as usual the judges of a world take off for a fault; once for those that are not named."""
FIRST_SEED: Mapping[World, int] = {"standard": 0, "other": 1_000_000_007, "pools": 2_000_000_011}
"""Added to the seeds of a world's dives, so that two worlds share no dive."""


def draw_world_look(world: World, rng: np.random.Generator) -> Look:
    """Draw how a dive of a world looks: venue, camera and diver."""
    if world == "pools":
        return _random_look(rng)
    return draw_look(rng) if world == "standard" else _other_look(rng)


def _random_look(rng: np.random.Generator) -> Look:
    """A pool, a person, a camera and a recording of any kind."""
    wall = random_color(rng, 10, 235)
    person, gain = random_look(rng, wall), float(rng.uniform(0.7, 1.2))
    tint = np.clip(rng.normal(1.0, 0.06, 3), 0.8, 1.2)
    red, green, blue = (gain * tint).tolist()
    return replace(
        person,
        wall=wall,
        concrete=random_color(rng, 40, 250),
        random_pool=True,
        view_height_m=float(np.exp(rng.uniform(np.log(2.6), np.log(6.0)))),
        camera_low_m=float(rng.uniform(0.2, 1.2)),
        camera_lead_m=float(rng.normal(0.1, 0.3)),
        camera_above_m=float(rng.normal(-0.1, 0.3)),
        camera_lag_frames=float(rng.uniform(1.0, 9.0)),
        camera_shake_m=float(rng.choice([0.0, rng.uniform(0.0, 0.08)])),
        camera_yaw_deg=float(rng.normal(0.0, 35.0)),
        zoom_in=float(np.exp(rng.choice([0.0, rng.normal(0.0, 0.15)]))),
        light=(red, green, blue),
        contrast=float(np.exp(rng.normal(0.0, 0.25))),
        noise=float(1.0 + rng.exponential(3.0)),
        blur=float(rng.choice([0.0, rng.uniform(0.0, 0.015)])),
        mirrored=bool(rng.random() < 0.5),
    )


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
