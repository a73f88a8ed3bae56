"""What somebody does in a shot: dives, breaks off, or moves on land; exact in take-off and entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcore.diving import DiveNumber
from mcore.diving.physics import GRAVITY_M_S2
from mcore.synthetic import body, choreography
from mcore.synthetic.faults import draw_faults
from mcore.synthetic.motion import HARMLESS_TRAVEL_M, LEAN_DEG, Flight, Timing, fall, flight_seconds, trace
from mcore.synthetic.untrimmed.approach import before_takeoff, draw_approach

Array = NDArray[np.float64]

BOARDS_M = (1.0, 3.0, 5.0, 7.5, 10.0)
ActionKind = Literal["dive", "breaks off", "on land", "nothing"]
_BOARD_SHARES = (0.25, 0.4, 0.1, 0.07, 0.18)
_SPEEDS = {1.0: (3.3, 5.8), 3.0: (3.3, 6.2), 5.0: (0.8, 3.6), 7.5: (0.8, 3.6), 10.0: (0.6, 3.6)}
"""Upward at take-off, metres a second, by the height of the board."""
_PAIR_SHARE = 0.1
"""Of dives from the boards that synchronised events have."""
_PAIR_BOARDS_M = (3.0, 10.0)
_PAIR_APART_M = (0.9, 3.2)
"""From the middle of a platform's halves to two springboards with a gap between them."""
_PAIR_LATE_S = 0.04
"""Standard deviation of how much later the other diver is, seconds."""
_ARMSTAND_SPEED = (0.1, 1.4)
_NUMBERS = (
    "101B", "101C", "103B", "103C", "104C", "105B", "105C", "107B", "107C", "109C", "201A", "201B", "202C",
    "203B", "203C", "205B", "205C", "207C", "301A", "301B", "302C", "303B", "303C", "305B", "305C", "307C", "401B",
    "401C", "402C", "403B", "403C", "405B", "405C", "407C", "5122D", "5132D", "5152B", "5154B", "5221D", "5231D",
    "5233D", "5235D", "5253B", "5331D", "5333D", "5335D", "5353B", "612B", "614B", "624C", "626C", "6142D", "6243D",
)  # fmt: skip
"""Dives of every group; those of few somersaults from low boards."""
_MOST_HALF_SOMERSAULTS = {1.0: 5, 3.0: 7, 5.0: 7, 7.5: 8, 10.0: 9}


@dataclass(frozen=True, eq=False)
class Action:
    """A body in each of N frames."""

    joints_m: Array
    """(N, joints, 3) metres in the scene; frames in which nobody is there have no numbers."""
    tip_m: Array
    """(N,) height of the board's tip."""
    height_m: float
    """Height of the board."""
    takeoff_s: float | None
    """Time of the shot at which the feet leave the board; None: no dive."""
    entry_s: float | None
    splash: float
    """Severity of the splash, 0 to 1."""
    partner: Partner | None = None
    """The other diver of a synchronised pair."""


@dataclass(frozen=True)
class Partner:
    """The other diver of a synchronised pair: does the same, beside the first."""

    aside_m: float
    """How far to the camera's side of the first diver; negative: behind."""
    late_s: float
    """How much later; negative: earlier."""


def draw_dive(num_frames: int, rate: float, before_s: float, rng: np.random.Generator) -> Action:
    """Draw a dive.

    Args:
        num_frames: of the shot.
        rate: frames for each second of the dive.
        before_s: from the first frame to the take-off, seconds of the dive.
        rng: decides all of it.
    """
    height = float(rng.choice(BOARDS_M, p=_BOARD_SHARES))
    dive = _draw_number(height, rng)
    springboard = height <= 3
    faults = draw_faults(rng)
    opening = float(rng.uniform(0.6, 0.8))
    poses = choreography.flight_poses(dive, faults, opening)
    travel = float(rng.uniform(*HARMLESS_TRAVEL_M))
    flight = Flight(dive, height, faults, poses, (choreography.twist_window(dive, opening),), travel)
    start, reach = fall(flight)
    speed = float(rng.uniform(*(_ARMSTAND_SPEED if dive.armstand else _SPEEDS[height])))
    seconds = flight_seconds(start[1], reach, speed)
    first = round(before_s * rate)
    motion = trace(flight, Timing(rate, num_frames, first, seconds), start, speed)
    joints, tip = motion.joints_m.copy(), motion.board_tip_m.copy()
    since = np.asarray((np.arange(first) - first + 0.5) / rate, np.float64)
    approach = draw_approach(dive, springboard, rng)
    joints[:first], tip[:first] = before_takeoff(approach, dive, height, flight.lean_deg, since)
    partner = _draw_partner(rng) if height in _PAIR_BOARDS_M and rng.random() < _PAIR_SHARE else None
    return Action(joints, tip, height, first / rate, first / rate + seconds, faults.splash, partner)


def _draw_partner(rng: np.random.Generator) -> Partner:
    aside = float(rng.choice([-1, 1]) * rng.uniform(*_PAIR_APART_M))
    return Partner(aside, float(rng.normal(0, _PAIR_LATE_S)))


def draw_broken_off(num_frames: int, rate: float, rng: np.random.Generator) -> Action:
    """Draw a dive that is begun and broken off before the take-off, then walked back; or jumps on the board."""
    height = float(rng.choice(BOARDS_M, p=_BOARD_SHARES))
    dive = _draw_number(height, rng)
    now = np.asarray((np.arange(num_frames) + 0.5) / rate, np.float64)
    turn_s = rng.uniform(0.2, 0.9) * now[-1]
    since: Array = -rng.uniform(0.1, 0.5) - np.abs(now - turn_s) * np.where(now > turn_s, rng.uniform(0.3, 1.0), 1.0)
    joints, tip = before_takeoff(draw_approach(dive, height <= 3, rng), dive, height, LEAN_DEG, since)
    return Action(joints, tip, height, None, None, 0.0)


def draw_on_land(num_frames: int, rate: float, rng: np.random.Generator) -> Action:
    """Draw somebody who runs, jumps, turns cartwheels or somersaults, and lands on the ground."""
    now = np.asarray((np.arange(num_frames) + 0.5) / rate, np.float64)
    poses = [choreography.STAND, choreography.STEP_LEFT, choreography.STEP_RIGHT, choreography.REACH, choreography.TUCK,
             choreography.HURDLE, choreography.CROUCH, choreography.PIKE, choreography.STRAIGHT]  # fmt: skip
    keys, ground, turned = [(0.0, choreography.STAND)], [(0.0, 0.0)], [(0.0, 0.0)]
    high = np.zeros(num_frames)
    at_s, x, angle = float(rng.uniform(0, 3)), 0.0, 0.0
    while at_s < now[-1]:
        hop_m = float(rng.choice([0.0, 0.1, rng.uniform(0.2, 1.6)]))
        lasts = float(2 * np.sqrt(2 * hop_m / GRAVITY_M_S2) if hop_m else rng.uniform(0.2, 1.5))
        share = np.clip((now - at_s) / lasts, 0, 1)
        high += 4 * hop_m * share * (1 - share)
        keys.append((at_s, poses[int(rng.integers(len(poses)))]))
        ground.append((at_s, x))
        turned.append((at_s, angle))
        at_s, x = at_s + lasts, x + float(rng.normal(0.5, 1.0))
        if rng.random() < 0.4:
            angle += 360.0 * float(rng.choice([-1, 1]))
        ground.append((at_s, x))
        turned.append((at_s, angle))
        at_s += float(rng.exponential(0.4)) + 0.05
    keys.append((at_s, choreography.STAND))
    upright = body.joints(choreography.interpolate(keys, now))
    joints = body.turn(upright, _along(turned, now), np.zeros(num_frames), 1)
    level = float(rng.uniform(-0.5, 6.0))
    joints[..., 0] += _along(ground, now)[:, None]
    joints[..., 1] += (level + high - joints[..., 1].min(axis=1))[:, None]
    return Action(joints, np.full(num_frames, -20.0), level, None, None, 0.0)


def nobody(num_frames: int, rng: np.random.Generator) -> Action:
    """Nobody is on the board."""
    height = float(rng.choice(BOARDS_M, p=_BOARD_SHARES))
    return Action(
        np.full((num_frames, len(body.JOINTS), 3), np.nan), np.full(num_frames, height), height, None, None, 0.0
    )


def _along(points: list[tuple[float, float]], times: Array) -> Array:
    """Values at times, between points of time and value."""
    return np.asarray(np.interp(times, [time for time, _ in points], [value for _, value in points]))


def _draw_number(height_m: float, rng: np.random.Generator) -> DiveNumber:
    while True:
        dive = DiveNumber.parse(str(rng.choice(_NUMBERS)))
        if dive.half_somersaults <= _MOST_HALF_SOMERSAULTS[height_m] and not (dive.armstand and height_m < 5):
            return dive
