"""From a plan to pictures: a camera that follows the diver, the venue behind, the splash in front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mcore.common.errors import UserError
from mcore.diving import DiveNumber
from mcore.synthetic.diver import draw_diver
from mcore.synthetic.plan import DivePlan, plan_dive, random_stream
from mcore.synthetic.scene import BOTTOM_M, LEFT_M, TOP_M, Look, draw_look, draw_venue, shade
from mcore.synthetic.splash import draw_splash_parameters, render_splash

Array = NDArray[np.float64]

_NOISE_PATTERNS = 4
_BOARD_LENGTH_M, _BOARD_THICKNESS_M = 4.8, 0.07


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


def render_plan(plan: DivePlan, *, width: int, height: int) -> RenderedDive:
    """Render a planned dive at a size, in a venue and with a look that its seed decides."""
    rng = random_stream(DiveNumber.parse(plan.dive_number), plan.seed, "look")
    return render_look(plan, draw_look(rng), width=width, height=height, venue_rng=rng, splash_rng=rng, rng=rng)


def render_look(
    plan: DivePlan,
    look: Look,
    *,
    width: int,
    height: int,
    venue_rng: np.random.Generator,
    splash_rng: np.random.Generator,
    rng: np.random.Generator,
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
    """
    largest_scale = height / look.view_height_m * max(1.0, look.zoom_in)
    venue = draw_venue(plan, look, largest_scale, venue_rng)
    splash = draw_splash_parameters(plan.faults.splash, splash_rng)
    noise = np.round(rng.normal(0.0, look.noise, (_NOISE_PATTERNS, height, width, 1))).astype(np.int16)
    lookup = light_table(look)
    joints = seen_from(plan.motion.joints_m, look.camera_yaw_deg)
    cameras = _follow(plan, look, rng)
    scales = _zoom(plan.num_frames, height, look)
    entry_frame = plan.transition_frames[1]
    entry_x = float(joints[entry_frame, joints[entry_frame, :, 1].argmin(), 0])

    frames = np.empty((plan.num_frames, height, width, 3), np.uint8)
    for i, (camera, scale) in enumerate(zip(cameras, scales, strict=True)):
        view = View(camera, scale, width, height)
        image = view.crop(venue, largest_scale)
        if plan.height_m == 3:
            draw_springboard(image, view, float(plan.motion.board_tip_m[i]), look)
        paste_diver(image, view, joints[i], look)
        drawn = render_splash(splash, (i - entry_frame + 0.5) / plan.frames_per_second, scale)
        if drawn is not None:
            paste(image, drawn[0], view.pixel(entry_x, 0.0) - drawn[1])
        pixels = np.stack([lookup[:, c][np.asarray(image)[..., c]] for c in range(3)], -1)
        pixels += noise[int(rng.integers(_NOISE_PATTERNS))]
        frames[i] = np.clip(pixels, 0, 255)
    if look.mirrored:
        frames = np.ascontiguousarray(frames[:, :, ::-1])
    return RenderedDive(plan, frames)


def light_table(look: Look) -> NDArray[np.int16]:
    """What light and contrast make of every grey level of red, green and blue: (256, 3)."""
    levels = 255 * (np.arange(256)[:, None] / 255) ** look.contrast if look.contrast != 1 else np.arange(256)[:, None]
    lit = np.clip(levels * np.array(look.light), 0, 255)
    return np.asarray(lit, np.int16)


def seen_from(joints_m: Array, yaw_deg: float) -> Array:
    """Joints as a camera sees them that stands off to one side: turned about the board's tip, upright."""
    if yaw_deg == 0:
        return joints_m
    yaw = np.radians(yaw_deg)
    x, z = joints_m[..., 0], joints_m[..., 2]
    return np.stack([x * np.cos(yaw) + z * np.sin(yaw), joints_m[..., 1], z * np.cos(yaw) - x * np.sin(yaw)], -1)


def _zoom(num_frames: int, height: int, look: Look) -> list[float]:
    """Pixels per metre in each frame; the zoom is slow and even."""
    share = np.linspace(0.0, 1.0, num_frames)
    return [float(scale) for scale in height / look.view_height_m * look.zoom_in**share]


@dataclass(frozen=True, eq=False)
class View:
    """What the camera sees in one frame."""

    center: Array
    scale: float
    width: int
    height: int

    def pixel(self, x: float, y: float) -> Array:
        """Where a point of the scene, metres, is in the picture: (2,) pixels."""
        return np.array(
            [self.width / 2 + (x - self.center[0]) * self.scale, self.height / 2 - (y - self.center[1]) * self.scale]
        )

    def crop(self, venue: Image.Image, venue_scale: float) -> Image.Image:
        """Cut what the camera sees out of the venue, which was drawn at ``venue_scale`` pixels per metre."""
        left, top = self.center[0] - LEFT_M, TOP_M - self.center[1]
        ratio = venue_scale / self.scale
        offset = (left * venue_scale - ratio * self.width / 2, top * venue_scale - ratio * self.height / 2)
        matrix = (ratio, 0, offset[0], 0, ratio, offset[1])
        size = (self.width, self.height)
        return venue.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _follow(plan: DivePlan, look: Look, rng: np.random.Generator) -> Array:
    """Camera centres (N, 2): the diver's path, smoothed as an operator would, kept inside the venue."""
    center = plan.motion.center_m.copy()
    center[:, 0] *= np.cos(np.radians(look.camera_yaw_deg))
    entry_frame = plan.transition_frames[1]
    center[entry_frame:, 0] = center[entry_frame, 0]  # nobody follows a diver under water
    center[:, 0] += look.camera_lead_m
    center[:, 1] = np.maximum(center[:, 1] + look.camera_above_m, look.camera_low_m)
    smooth = smooth_path(center, look.camera_lag_frames)
    if look.camera_shake_m > 0:
        smooth += look.camera_shake_m * _unit_drift(rng, plan.num_frames)
    half = look.view_height_m / 2
    smooth[:, 1] = np.clip(smooth[:, 1], BOTTOM_M + half, TOP_M - half)
    return smooth


def smooth_path(path: Array, lag_frames: float) -> Array:
    """Smooth a path (N, 2) over time."""
    radius = int(4 * lag_frames)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / lag_frames) ** 2)
    padded = np.pad(path, ((radius, radius), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, axis], kernel / kernel.sum(), mode="valid") for axis in (0, 1)], -1)


def _unit_drift(rng: np.random.Generator, num_frames: int) -> Array:
    """Slow random movement (N, 2) of standard deviation 1: a hand is unsteady over a third of a second."""
    lag = 8.0
    white = rng.normal(0.0, 1.0, (num_frames, 2))
    return np.asarray(smooth_path(white, lag) * np.sqrt(2 * lag * np.sqrt(np.pi)))


def draw_springboard(image: Image.Image, view: View, tip_m: float, look: Look) -> None:
    """Draw a board that bends towards its tip."""
    draw = ImageDraw.Draw(image)
    along = np.linspace(0, 1, 9)
    length = _BOARD_LENGTH_M * float(np.cos(np.radians(look.camera_yaw_deg)))
    y = 3.0 - 0.02 + (tip_m - 3.0) * along**2.2
    points = [tuple(view.pixel(-length * (1 - u), h).tolist()) for u, h in zip(along, y, strict=True)]
    thickness = max(1, round(_BOARD_THICKNESS_M * view.scale))
    draw.line(points, fill=(96, 104, 112), width=thickness + 1)
    draw.line(points, fill=(188, 198, 204), width=max(1, thickness // 2))


def paste_diver(image: Image.Image, view: View, joints_m: Array, look: Look) -> None:
    """Draw the diver; what is under water is seen through it, deeper is fainter."""
    if joints_m[:, 1].max() < -1.5:
        return
    pixels = np.stack([*np.moveaxis(_project(view, joints_m), -1, 0), joints_m[:, 2]], -1)
    picture, corner = draw_diver(pixels, view.scale, look)
    surface = round(float(view.pixel(0.0, 0.0)[1])) - corner[1]
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


def _project(view: View, joints_m: Array) -> Array:
    x = view.width / 2 + (joints_m[:, 0] - view.center[0]) * view.scale
    y = view.height / 2 - (joints_m[:, 1] - view.center[1]) * view.scale
    return np.stack([x, y], -1)


def paste(image: Image.Image, picture: Image.Image, corner: Array) -> None:
    """Lay a picture with transparency over another, its top left corner at ``corner``."""
    x, y = np.round(corner).astype(int).tolist()
    image.paste(picture, (x, y), picture)
