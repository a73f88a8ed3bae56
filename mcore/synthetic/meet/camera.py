"""Camera of a rendered meet: on a tripod, or in the hands of an operator who follows the divers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mcore.synthetic.camera import Array, smooth_path, unit_drift
from mcore.synthetic.choreography import ease
from mcore.synthetic.meet.course import WALK_S, Meet, event_frames, stream
from mcore.synthetic.scene import BOTTOM_M, TOP_M, Look

_FIXED_BOTTOM_M = -1.1
_FIXED_ABOVE_BOARD_M = 3.6
_FIXED_CENTER_X_M = 0.7
_LAG_S = 0.1
_LINGER_S, _RETURN_S = 2.2, 2.0
"""After an entry the operator stays on the water, then goes back up to the board."""
_LATE_S = (0.0, 0.08)
"""Delay of the operator behind the diver."""
_PAN_SHARE, _PAN_S, _MIN_PAN_S = 0.5, (0.7, 1.6), 6.5
"""In some pauses the operator looks down to the pool and back."""
_SWAY_PIXELS, _SWAY_S = 0.5, 0.3
_WIDER = 1.45
"""Picture of an operator who does not know when the next dive comes, against that of a clip of one dive."""
_JOLT_PIXELS, _JOLT_S, _JOLT_EVERY_S = 2.5, 0.12, 20.0


def view_height_m(meet: Meet, look: Look) -> float:
    """Height of the scene that a frame shows, metres."""
    if meet.settings.camera == "fixed":
        return meet.settings.height_m + _FIXED_ABOVE_BOARD_M - _FIXED_BOTTOM_M
    return _WIDER * look.view_height_m


def camera_path(meet: Meet, look: Look) -> Array:
    """Centres of the picture in every frame: (N, 2) metres."""
    height = view_height_m(meet, look)
    if meet.settings.camera == "fixed":
        path = np.tile([_FIXED_CENTER_X_M, _FIXED_BOTTOM_M + height / 2], (meet.num_frames, 1))
    else:
        path = smooth_path(_followed(meet, look), _LAG_S * meet.settings.rate)
        path[:, 1] = np.clip(path[:, 1], BOTTOM_M + height / 2, TOP_M - height / 2)
    if "shake" in meet.settings.distractors:
        path = path + _shake_pixels(meet) * height / meet.settings.height
    return path


def _followed(meet: Meet, look: Look) -> Array:
    """Points that the operator looks at: (N, 2) metres.

    The diver from walking up to the entry, the water for a while, then the board again.
    """
    rate = meet.settings.rate
    rng = stream(meet.settings, "operator")
    path = np.full((meet.num_frames, 2), np.nan)
    for dive in meet.dives:
        late = round(rng.uniform(*_LATE_S) * rate)
        first, entry = dive.first_frame, dive.first_frame + dive.plan.transition_frames[1]
        center = dive.plan.motion.center_m[: entry - first].copy()
        center[:, 0] *= np.cos(np.radians(look.camera_yaw_deg))  # the path as the turned camera sees it
        center[:, 0] += look.camera_lead_m
        center[:, 1] = np.maximum(center[:, 1] + look.camera_above_m, look.camera_low_m)
        path[first - round(WALK_S * rate) : first + late] = center[0]
        path[first + late : entry + late] = center
        path[entry + late : entry + round(_LINGER_S * rate)] = center[-1]
    # Between two dives nothing is decided yet: the operator goes back to the board, and may look around.
    known = np.flatnonzero(~np.isnan(path[:, 0]))
    for begin, end in pairwise(known.tolist()):
        if end - begin > 1:
            pans = "pans" in meet.settings.distractors and rng.random() < _PAN_SHARE
            path[begin + 1 : end] = _pause(path[begin], path[end], end - begin, rate, rng if pans else None)
    path[: known[0]], path[known[-1] + 1 :] = path[known[0]], path[known[-1]]
    return path


def _pause(water: Array, board: Array, frames: int, rate: int, rng: np.random.Generator | None) -> Array:
    """Back up to the board within the first seconds of a pause; with ``rng`` also a look down to the pool, and back."""
    t = np.arange(1, frames) / rate
    path = water + (board - water) * ease(t / min(_RETURN_S, frames / rate))[:, None]
    if rng is not None and frames / rate > _MIN_PAN_S:
        down, stay = rng.uniform(*_PAN_S), rng.uniform(0.2, 1.0)
        begin = rng.uniform(_RETURN_S, frames / rate - 2 * down - stay)
        away = ease((t - begin) / down) - ease((t - begin - down - stay) / down)
        path += (water - board) * (rng.uniform(0.4, 1.0) * away)[:, None]
    return path


def _shake_pixels(meet: Meet) -> Array:
    """Sway in the wind or in a hand, and now and then a jolt: (N, 2) pixels."""
    rng, rate = stream(meet.settings, "shake"), meet.settings.rate
    path = _SWAY_PIXELS * unit_drift(rng, meet.num_frames, _SWAY_S * rate)
    length = round(8 * _JOLT_S * rate)
    for first in event_frames(rng, meet.num_frames, rate, _JOLT_EVERY_S).tolist():
        t = np.arange(min(length, meet.num_frames - first)) / rate
        ringing = np.exp(-t / _JOLT_S) * np.cos(2 * np.pi * 6 * t)
        path[first : first + len(t)] += _JOLT_PIXELS * ringing[:, None] * rng.normal(0, 1, 2)
    return np.asarray(path * meet.settings.height / 180)  # the pixels above are of a frame of 180 rows
