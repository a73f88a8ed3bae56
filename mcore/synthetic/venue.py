"""Appearance of a replica besides its dive: venue, camera, light, diver, compression; never how good the dive is.

Venues are numbered; each split has its own, so that test dives happen where no training dive did.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from mcore.common.splits import Split
from mcore.synthetic.scene import VIEW_HEIGHT_M, Color, Look

VENUES: dict[Split, range] = {"train": range(0, 40), "val": range(40, 50), "test": range(50, 70)}
"""Venues of each split; no two splits share one."""
_VENUE_STREAM = 20_240_105
"""Venues are the same in every data set, whatever its seed."""
_SKINS: tuple[Color, ...] = ((244, 208, 184), (232, 190, 162), (206, 152, 118), (160, 108, 78), (112, 74, 54))
_HAIRS: tuple[Color, ...] = ((34, 24, 20), (70, 46, 30), (120, 88, 50), (176, 140, 84), (20, 20, 24))


@dataclass(frozen=True)
class Nuisance:
    """Everything visible in one replica that says nothing about its score."""

    venue: int
    look: Look
    crf: int
    """x264's quality: higher is worse."""


def venue_stream(venue: int) -> np.random.Generator:
    """Random numbers that only a venue decides: its colours, then what stands in it."""
    return np.random.default_rng([_VENUE_STREAM, venue])


def draw_nuisance(split: Split, rng: np.random.Generator) -> Nuisance:
    """Draw where and how a dive is filmed, and who dives.

    Args:
        split: decides which venues there are.
        rng: decides everything else.
    """
    venue = int(rng.choice(VENUES[split]))
    wall, water, concrete = venue_colors(venue)
    gain, warmth = rng.uniform(0.82, 1.14), rng.normal(0.0, 0.045)
    look = Look(
        wall=wall,
        water=water,
        concrete=concrete,
        suit=_hsv(rng.uniform(0, 1), rng.uniform(0.3, 1.0), rng.uniform(0.1, 0.75)),
        full_suit=bool(rng.random() < 0.5),
        skin=_jitter(_SKINS[int(rng.integers(len(_SKINS)))], rng),
        hair=_jitter(_HAIRS[int(rng.integers(len(_HAIRS)))], rng),
        build=float(rng.uniform(0.88, 1.16)),
        view_height_m=float(rng.uniform(*VIEW_HEIGHT_M)),
        camera_low_m=float(rng.uniform(0.5, 1.0)),
        camera_lead_m=float(rng.uniform(-0.3, 0.4)),
        camera_above_m=float(rng.uniform(-0.3, 0.2)),
        camera_lag_frames=float(rng.uniform(1.5, 3.5)),
        camera_shake_m=float(rng.uniform(0.0, 0.07)),
        camera_yaw_deg=float(rng.uniform(-22.0, 22.0)),
        zoom_in=float(np.exp(rng.uniform(-0.16, 0.16))),
        light=(gain * (1 + warmth), gain, gain * (1 - warmth)),
        contrast=float(np.exp(rng.uniform(-0.18, 0.18))),
        noise=float(rng.uniform(1.0, 6.0)),
        mirrored=bool(rng.random() < 0.5),
    )
    return Nuisance(venue, look, crf=int(rng.integers(19, 31)))


def venue_colors(venue: int) -> tuple[Color, Color, Color]:
    """Colours of a venue's wall, water and tower."""
    rng = venue_stream(venue)
    wall = _hsv(rng.uniform(0, 1), rng.uniform(0.05, 0.5), rng.uniform(0.22, 0.52))
    water = _hsv(rng.uniform(0.50, 0.61), rng.uniform(0.60, 0.85), rng.uniform(0.48, 0.78))
    concrete = _hsv(rng.uniform(0, 1), rng.uniform(0.0, 0.16), rng.uniform(0.45, 0.82))
    return wall, water, concrete


def _hsv(hue: float, saturation: float, value: float) -> Color:
    r, g, b = (round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
    return r, g, b


def _jitter(color: Color, rng: np.random.Generator) -> Color:
    r, g, b = np.clip(np.array(color) + rng.normal(0, 6, 3), 0, 255).astype(int).tolist()
    return r, g, b
