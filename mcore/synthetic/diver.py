"""Drawing of a diver, limb by limb from far to near, and of the springboard under the feet."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mcore.synthetic.body import INDEX
from mcore.synthetic.camera import View, paste
from mcore.synthetic.scene import Color, Look, shade

Array = NDArray[np.float64]

_OVERSAMPLING = 3
"""Pillow draws shapes without smooth edges: they are drawn larger and reduced."""
_MARGIN_M = 0.22
_BOARD_LENGTH_M, _BOARD_THICKNESS_M = 4.8, 0.07
# From joint, to joint, radius at either end in metres; the trunk and the head are drawn apart.
_LIMBS = (
    ("hip", "knee", 0.086, 0.058), ("knee", "ankle", 0.056, 0.036), ("ankle", "toe", 0.036, 0.020),
    ("shoulder", "elbow", 0.050, 0.040), ("elbow", "hand", 0.040, 0.026),
)  # fmt: skip


def draw_springboard(image: Image.Image, view: View, tip_m: float, look: Look) -> None:
    """Draw a 3 m board that bends towards its tip, whose height above the water is ``tip_m``."""
    draw = ImageDraw.Draw(image)
    along = np.linspace(0, 1, 9)  # from the fixed end to the tip
    length = _BOARD_LENGTH_M * float(np.cos(np.radians(look.camera_yaw_deg)))  # as a camera off to one side sees it
    y = 3.0 - 0.02 + (tip_m - 3.0) * along**2.2
    points = [tuple(view.pixel(-length * (1 - u), h).tolist()) for u, h in zip(along, y, strict=True)]
    thickness = max(1, round(_BOARD_THICKNESS_M * view.scale))
    draw.line(points, fill=(96, 104, 112), width=thickness + 1)
    draw.line(points, fill=(188, 198, 204), width=max(1, thickness // 2))


def paste_diver(image: Image.Image, view: View, joints_m: Array, look: Look) -> None:
    """Draw a diver into a frame; what is under water is seen through it, deeper is fainter.

    Args:
        image: the frame, changed.
        view: what it shows.
        joints_m: (joints, 3) metres in the scene.
        look: colours and build.
    """
    if joints_m[:, 1].max() < -1.5:  # too deep to be seen
        return
    x, y = view.pixel(joints_m[:, 0], joints_m[:, 1])
    picture, corner = draw_diver(np.stack([x, y, joints_m[:, 2]], -1), view.scale, look)
    surface = round(float(view.pixel(0.0, 0.0)[1])) - corner[1]  # row of the diver's picture
    if surface < picture.height:
        top = max(0, surface)
        under = picture.crop((0, top, picture.width, picture.height))
        tint = Image.new("RGBA", under.size, (*shade(look.water, 0.95), 255))
        alpha = np.asarray(under.getchannel("A"), np.float64)
        depth_m = (np.arange(under.height) + top - surface)[:, None] / view.scale
        alpha = alpha * np.clip(0.75 - depth_m / 1.6, 0, 1)
        under = Image.blend(under, tint, 0.45)
        under.putalpha(Image.fromarray(alpha.astype(np.uint8)))
        picture.paste(under, (0, top))
    paste(image, picture, np.array(corner, np.float64))


def draw_diver(joints_px: Array, pixels_per_m: float, look: Look) -> tuple[Image.Image, tuple[int, int]]:
    """Draw one pose.

    Args:
        joints_px: (joints, 3) pixels, y downwards; z towards the camera decides what hides what.
        pixels_per_m: scale.
        look: colours and build.

    Returns:
        An RGBA picture, and the pixel where its top left corner belongs.
    """
    margin = _MARGIN_M * pixels_per_m
    left, top = np.floor(joints_px[:, :2].min(0) - margin).astype(int)
    right, bottom = np.ceil(joints_px[:, :2].max(0) + margin).astype(int)
    scale = _OVERSAMPLING
    image = Image.new("RGBA", ((right - left) * scale, (bottom - top) * scale), (*look.skin, 0))
    draw = ImageDraw.Draw(image)
    points = (joints_px - [left, top, 0]) * scale
    unit = pixels_per_m * scale * look.build  # pixels of one metre of a limb's width
    for _, paint in sorted(_parts(points, unit, look), key=lambda part: part[0]):
        for shape, coordinates, color in paint:
            getattr(draw, shape)(coordinates, fill=(*color, 255))
    return image.resize((right - left, bottom - top), Image.Resampling.BOX), (int(left), int(top))


def _parts(at: Array, unit: float, look: Look) -> list[tuple[float, list[tuple[str, list[float], Color]]]]:
    """List each part of the body: its depth, and the shapes to draw in order; the far side is darker."""
    parts = [
        (float(at[INDEX["pelvis"], 2]), _trunk(at, unit, look)),
        (float(at[INDEX["head"], 2]), _head(at, unit, look)),
    ]
    middle = at[INDEX["pelvis"], 2]  # z grows towards the camera
    for side in ("l", "r"):
        for start, end, r0, r1 in _LIMBS:
            a, b = at[INDEX[f"{start}_{side}"]], at[INDEX[f"{end}_{side}"]]
            depth = float((a[2] + b[2]) / 2)
            color = shade(look.skin, 1.0 if depth >= middle else 0.80)
            limb = _capsule(a, b, r0 * unit, r1 * unit, color)
            if start == "hip":  # the leg of the suit
                limb += _capsule(
                    a,
                    a + 0.25 * (b - a),
                    r0 * unit,
                    0.95 * r0 * unit,
                    shade(look.suit, 1.0 if depth >= middle else 0.8),
                )
            parts.append((depth, limb))
    return parts


def _trunk(at: Array, unit: float, look: Look) -> list[tuple[str, list[float], Color]]:
    pelvis, neck = at[INDEX["pelvis"]], at[INDEX["neck"]]
    # Seen from the front the shoulders are wide, from the side the chest is deep: take the larger.
    shoulders = np.linalg.norm((at[INDEX["shoulder_l"]] - at[INDEX["shoulder_r"]])[:2]) / 2
    chest = neck + 0.18 * (pelvis - neck)
    upper, lower = max(0.115 * unit, shoulders * 0.95), max(0.095 * unit, shoulders * 0.62)
    top = look.suit if look.full_suit else look.skin
    body = _capsule(chest, pelvis, upper, lower, top)
    body += _capsule(pelvis + 0.14 * (neck - pelvis), pelvis, lower, lower, look.suit)
    return body + _capsule(neck, neck + 0.5 * (at[INDEX["head"]] - neck), 0.05 * unit, 0.05 * unit, look.skin)


def _head(at: Array, unit: float, look: Look) -> list[tuple[str, list[float], Color]]:
    head, neck = at[INDEX["head"]], at[INDEX["neck"]]
    crown = head + 0.32 * (head - neck)
    return _capsule(head, crown, 0.088 * unit, 0.085 * unit, look.skin) + _capsule(
        head + 0.24 * (head - neck), crown, 0.088 * unit, 0.088 * unit, look.hair
    )


def _capsule(a: Array, b: Array, ra: float, rb: float, color: Color) -> list[tuple[str, list[float], Color]]:
    """A limb with round ends."""
    dx, dy = float(b[0] - a[0]), float(b[1] - a[1])
    length = math.hypot(dx, dy)
    circles: list[tuple[str, list[float], Color]] = [
        ("ellipse", [p[0] - r, p[1] - r, p[0] + r, p[1] + r], color) for p, r in ((a, ra), (b, rb))
    ]
    if length < 1e-6:
        return circles
    nx, ny = -dy / length, dx / length  # unit normal of the limb
    corners = [
        a[0] + nx * ra, a[1] + ny * ra, b[0] + nx * rb, b[1] + ny * rb,
        b[0] - nx * rb, b[1] - ny * rb, a[0] - nx * ra, a[1] - ny * ra,
    ]  # fmt: skip
    return [("polygon", corners, color), *circles]
