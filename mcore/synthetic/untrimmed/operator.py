"""How shots are filmed: from where, and with a camera that stands, that a hand holds, or that follows exactly.

The picture plane has y = 0 at the water where the diver enters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcore.synthetic.camera import seen_from, unit_drift
from mcore.synthetic.choreography import ease
from mcore.synthetic.scene import BOTTOM_M, TOP_M
from mcore.synthetic.untrimmed.action import Action

Array = NDArray[np.float64]
CameraKind = Literal["fixed", "hand-held", "broadcast"]
_CLIMB_M = 1.6
"""How high above the board a body is when a view of the whole dive is chosen."""
_LEAST_SHOWN = 0.7
"""Share of a flight that a camera shows at least."""


@dataclass(frozen=True)
class Position:
    """Where a camera stands."""

    yaw_deg: float
    """0 from the side, 90 from the front, 180 from the other side, 270 from behind."""
    pitch_deg: float
    """Above 0 it looks down."""

    def project(self, points_m: Array) -> Array:
        """Turn points of the scene (..., 3) to the picture plane; the third number still grows towards the camera."""
        turned = seen_from(points_m, self.yaw_deg)
        pitch = np.radians(self.pitch_deg)
        y, z = turned[..., 1], turned[..., 2]
        up, near = y * np.cos(pitch) - z * np.sin(pitch), z * np.cos(pitch) + y * np.sin(pitch)
        return np.stack([turned[..., 0], up, near], -1)


@dataclass(frozen=True, eq=False)
class Path:
    """What a camera shows in each of N frames."""

    center_m: Array
    """(N, 2) in the picture plane."""
    view_m: Array
    """(N,) height of what is seen."""


def draw_position(rng: np.random.Generator) -> Position:
    """Draw a place for a camera: from the side more often than from elsewhere, from the deck or a stand."""
    yaw = rng.choice([0.0, 180.0]) + rng.normal(0, 18) if rng.random() < 0.5 else rng.uniform(-180, 180)
    return Position(float(yaw), float(rng.normal(4, 9)))


def film(kind: CameraKind, action: Action, focus_m: Array, rate: float, rng: np.random.Generator) -> Path:
    """Decide what the camera shows.

    Args:
        kind: of camera.
        action: what happens.
        focus_m: (N, 2) middle of the body in the picture plane; not a number where nobody is.
        rate: frames a second of the video.
        rng: decides all of it.
    """
    num_frames = len(focus_m)
    high = action.height_m + _CLIMB_M
    whole = np.array([rng.normal(0.6, 0.8), high / 2])
    focus = np.where(np.isnan(focus_m), _wander(num_frames, rate, high, rng), focus_m)
    if kind == "fixed":
        view = (high + 1.0) * rng.uniform(1.05, 2.2)
        center = np.tile(whole + rng.normal(0, 0.12, 2) * view, (num_frames, 1))
        shake = rng.choice([0.0, rng.uniform(0, 0.01)])
        zoom = np.ones(num_frames)
    else:
        hand = kind == "hand-held"
        view = float(np.exp(rng.uniform(np.log(2.6), np.log(9.0))))
        share = rng.uniform(0.2, 1.0) if hand and rng.random() < 0.4 else 1.0
        target = whole + share * (focus + rng.normal(0, 0.08, 2) * view - whole)
        if rng.random() < 0.6:  # not below the water
            target[:, 1] = np.maximum(target[:, 1], rng.uniform(-0.5, 1.2))
        delay = round((rng.uniform(0.0, 0.35) if hand else rng.uniform(0.0, 0.08)) * rate)
        target = np.concatenate([np.repeat(target[:1], delay, axis=0), target[: num_frames - delay]])
        center = _follow(target, rate, rng.uniform(3, 12) if hand else rng.uniform(8, 25),
                         rng.uniform(0.35, 1.1) if hand else rng.uniform(0.8, 1.2))  # fmt: skip
        center += _arrives(num_frames, rate, view, rng) if rng.random() < 0.3 else 0.0
        shake = rng.uniform(0.0, 0.025) if hand else rng.uniform(0.0, 0.006)
        zoom = np.exp(rng.choice([0.0, 0.05, 0.2]) * _drift(rng, num_frames, rng.uniform(0.5, 2.0) * rate)[:, 0])
    center = center + shake * view * _drift(rng, num_frames, max(1.0, rng.uniform(0.05, 0.4) * rate))
    half = view / 2
    center[:, 1] = np.clip(center[:, 1], min(BOTTOM_M + half, 0.0), max(TOP_M - half, 0.0))
    return Path(center, view * zoom)


def shows(path: Path, focus_m: Array, flight: slice, aspect: float) -> bool:
    """Return whether a path shows a dive: the body's middle for most of the flight, and at the entry.

    Args:
        path: of the camera.
        focus_m: (N, 2) middle of the body in the picture plane.
        flight: its frames, from the take-off to the entry.
        aspect: width of a picture over its height.
    """
    away = np.abs(focus_m - path.center_m)[flight] / (path.view_m[flight, None] * [aspect, 1.0])
    inside: NDArray[np.bool_] = away.max(axis=1) < 0.5
    return bool(inside[-1] and inside.mean() >= _LEAST_SHOWN)


def _drift(rng: np.random.Generator, num_frames: int, lag_frames: float) -> Array:
    """Slow random movement (N, 2) of standard deviation 1: the middle of a longer one, whose ends are wilder."""
    ends = int(4 * lag_frames)
    return unit_drift(rng, num_frames + 2 * ends, lag_frames)[ends : ends + num_frames]


def _wander(num_frames: int, rate: float, high: float, rng: np.random.Generator) -> Array:
    """Look here and there, sometimes as fast as a diver falls: (N, 2)."""
    path = np.tile([rng.normal(0, 2), rng.uniform(0, high)], (num_frames, 1))
    for _ in range(int(rng.integers(0, 6))):
        begin, lasts = rng.integers(0, num_frames), max(1.0, rng.uniform(0.3, 3.0) * rate)
        share = ease((np.arange(num_frames) - begin) / lasts)
        path = path + (rng.normal(0, [2.0, 0.5 * high]) * share[:, None])
    return np.asarray(path)


def _follow(target: Array, rate: float, quick: float, damping: float) -> Array:
    """Follow a path (N, 2) as a mass on a spring does: late, and past the end where damping is below 1."""
    center, speed = target[0].copy(), np.zeros(2)
    path = np.empty_like(target)
    steps = max(1, int(np.ceil(quick / rate * 4)))
    dt = 1 / rate / steps
    for i, point in enumerate(target):
        for _ in range(steps):
            speed += (quick**2 * (point - center) - 2 * damping * quick * speed) * dt
            center = center + speed * dt
        path[i] = center
    return path


def _arrives(num_frames: int, rate: float, view: float, rng: np.random.Generator) -> Array:
    """Begin elsewhere and come to the diver, or leave for elsewhere: offset (N, 2)."""
    at, lasts = rng.integers(0, num_frames), max(1.0, rng.uniform(0.4, 2.5) * rate)
    share = ease((np.arange(num_frames) - at) / lasts)
    away = rng.normal(0, 0.8, 2) * view
    leaves = at > 0.7 * num_frames
    return np.asarray(away * (share if leaves else 1 - share)[:, None])
