"""Frames of a rendered dive: a camera that follows the diver, the venue behind, the splash in front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mcore.common.errors import UserError
from mcore.diving import DiveNumber
from mcore.synthetic.camera import Array, Sensor, View, seen_from, smooth_path, unit_drift
from mcore.synthetic.diver import draw_springboard, paste_diver
from mcore.synthetic.plan import DivePlan, plan_dive, random_stream
from mcore.synthetic.pool import SIDE_M, Ground, draw_pool
from mcore.synthetic.scene import BOTTOM_M, TOP_M, Look, draw_venue
from mcore.synthetic.splash import draw_splash_parameters, paste_splash
from mcore.synthetic.worlds import draw_world_look

Hideable = Literal["diver", "splash"]
"""What can be left out of a picture, to see whether somebody misses it."""
RENDERER_VERSION = 2
"""Raise it when the same arguments give other pixels: data sets of two versions are not mixed."""
_NOISE_PATTERNS = 4
_VENUE_DETAIL = 0.2
"""Finest scale of the venue, for each pixel of a frame's height."""
_UNSTEADY_FRAMES = 8.0
"""A hand is unsteady over a third of a second."""


@dataclass(frozen=True, eq=False)
class RenderedDive:
    """A dive as frames."""

    plan: DivePlan
    frames: NDArray[np.uint8]
    """(N, H, W, 3) RGB."""


def render_dive(dive_number: str, seed: int, *, width: int = 320, height: int = 180) -> RenderedDive:
    """Render a dive; the same arguments give the same pixels.

    Args:
        dive_number: such as ``407C``.
        seed: not negative.
        width: of a frame, pixels, even.
        height: of a frame, pixels, even.

    Raises:
        DiveNumberError: not a dive number.
        UserError: the rules have no difficulty for the dive, or a size is odd or below 32.

    Example:
        >>> dive = render_dive("407C", seed=7)
        >>> dive.frames.shape, dive.plan.score, dive.plan.transition_frames
    """
    check_size(width, height)
    return render_plan(plan_dive(dive_number, seed), width=width, height=height)


def check_size(width: int, height: int) -> None:
    """Raise ``UserError`` for a frame size that cannot be rendered or encoded."""
    if min(width, height) < 32 or width % 2 or height % 2:
        raise UserError(f"frames of {width} x {height}; allowed: even sizes from 32 on, which video files need")


def render_plan(plan: DivePlan, *, width: int, height: int, hidden: Hideable | None = None) -> RenderedDive:
    """Render a planned dive at a size, in a venue and with a look that its seed decides."""
    dive = DiveNumber.parse(plan.dive_number)
    return render_look(
        plan,
        look_of(plan),
        width=width,
        height=height,
        venue_rng=random_stream(dive, plan.seed, "venue"),
        splash_rng=random_stream(dive, plan.seed, "splash"),
        rng=random_stream(dive, plan.seed, "pixels"),
        hidden=hidden,
    )


def look_of(plan: DivePlan) -> Look:
    """Decide a planned dive's look by its seed."""
    return draw_world_look(plan.world, random_stream(DiveNumber.parse(plan.dive_number), plan.seed, "look"))


def seen_joints(plan: DivePlan, look: Look) -> Array:
    """Joints (N, joints, 3) as they lie in the pictures: x to the right, metres."""
    joints = seen_from(plan.motion.joints_m, look.camera_yaw_deg)
    return joints * [-1, 1, 1] if look.mirrored else joints


def render_look(
    plan: DivePlan,
    look: Look,
    *,
    width: int,
    height: int,
    venue_rng: np.random.Generator,
    splash_rng: np.random.Generator,
    rng: np.random.Generator,
    hidden: Hideable | None = None,
) -> RenderedDive:
    """Render a planned dive with a given look.

    Args:
        plan: the dive.
        look: venue's colours, camera, light, diver's appearance.
        width: of a frame, pixels.
        height: of a frame, pixels.
        venue_rng: decides what stands in the venue.
        splash_rng: decides droplets; how many numbers it gives depends on the dive.
        rng: decides the operator's hand and the noise.
        hidden: what is left out of the picture; all else stays as it is.
    """
    # Pixels per metre. What lies behind the diver is out of focus, so that it need not be drawn any finer.
    venue_scale = min(_VENUE_DETAIL * height, height / look.view_height_m * max(1.0, look.zoom_in))
    venue, pad_m = _draw_surroundings(plan, look, venue_scale, venue_rng)
    splash = draw_splash_parameters(plan.faults.splash, splash_rng)
    sensor = Sensor(look, width, height, _NOISE_PATTERNS, rng)
    joints = seen_from(plan.motion.joints_m, look.camera_yaw_deg)  # (N, joints, 3)
    centers = _follow(plan, look, rng)  # (N, 2)
    scales = height / look.view_height_m * look.zoom_in ** np.linspace(0.0, 1.0, plan.num_frames)  # a slow, even zoom
    entry_frame = plan.transition_frames[1]
    entry_x = float(joints[entry_frame, joints[entry_frame, :, 1].argmin(), 0])  # where the lowest joint is

    frames = np.empty((plan.num_frames, height, width, 3), np.uint8)
    for i, (center, scale) in enumerate(zip(centers, scales.tolist(), strict=True)):
        view = View(center, scale, width, height)
        image = view.crop(venue, venue_scale, pad_m)
        if plan.height_m == 3:
            draw_springboard(image, view, float(plan.motion.board_tip_m[i]), look)
        if hidden != "diver":
            paste_diver(image, view, joints[i], look)
        if hidden != "splash":
            paste_splash(image, view, splash, (i - entry_frame + 0.5) / plan.frames_per_second, entry_x)
        if look.blur > 0:
            image = image.filter(ImageFilter.GaussianBlur(look.blur * height))
        frames[i] = sensor.record(sensor.expose(image), rng)
    if look.mirrored:
        frames = np.ascontiguousarray(frames[:, :, ::-1])
    return RenderedDive(plan, frames)


def _draw_surroundings(
    plan: DivePlan, look: Look, pixels_per_m: float, rng: np.random.Generator
) -> tuple[Image.Image, float]:
    """Draw what stands still, and say how far it goes on to either side of ``LEFT_M`` and ``RIGHT_M``, metres."""
    if not look.random_pool:
        return draw_venue(plan.height_m, look, pixels_per_m, rng), 0.0
    ground = Ground(far_edge_m=float(rng.uniform(0.1, 2.5)), near_edge_m=float(-rng.uniform(0.8, 5.0)))
    return draw_pool(ground, look.wall, plan.height_m, pixels_per_m, rng), SIDE_M


def _follow(plan: DivePlan, look: Look, rng: np.random.Generator) -> Array:
    """Camera centres (N, 2), metres: the diver's path, smoothed as an operator would, kept inside the venue."""
    center = plan.motion.center_m.copy()
    center[:, 0] *= np.cos(np.radians(look.camera_yaw_deg))  # the path as the turned camera sees it
    entry_frame = plan.transition_frames[1]
    center[entry_frame:, 0] = center[entry_frame, 0]  # nobody follows a diver under water
    center[:, 0] += look.camera_lead_m
    center[:, 1] = np.maximum(center[:, 1] + look.camera_above_m, look.camera_low_m)
    smooth = smooth_path(center, look.camera_lag_frames)
    if look.camera_shake_m > 0:
        smooth += look.camera_shake_m * unit_drift(rng, plan.num_frames, _UNSTEADY_FRAMES)
    half = look.view_height_m / 2
    smooth[:, 1] = np.clip(smooth[:, 1], BOTTOM_M + half, TOP_M - half)
    return smooth
