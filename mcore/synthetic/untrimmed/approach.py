"""Approaches: what a diver does on the board before take-off, such as standing, walking, a hurdle, swinging the arms.

Times are seconds to take-off, negative before it. A springboard goes down under the diver and is met again after a
hurdle, so that what looks like a take-off at first is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.diving import DiveNumber
from mcore.diving.physics import GRAVITY_M_S2
from mcore.synthetic import body, choreography
from mcore.synthetic.body import pose

Array = NDArray[np.float64]

TIP_M = -0.1
"""Place of the feet at take-off, from the board's tip."""
_SWINGS = (pose(ankle=60, arm=90), pose(ankle=15, arm=172), pose(ankle=75, arm=-25), pose(ankle=75, arm=40, elbow=20))
_KICK_UP = pose(hip=95, knee=20, ankle=40, arm=120)


@dataclass(frozen=True, eq=False)
class Hop:
    """Time in which nobody is on the board, before the take-off."""

    begin_s: float
    end_s: float
    high_m: float


@dataclass(frozen=True, eq=False)
class Approach:
    """Movement before a take-off."""

    poses: list[tuple[float, Array]]
    """Key poses by time."""
    ahead: list[tuple[float, float]]
    """Places of the feet, metres from the board's tip, by time."""
    hops: tuple[Hop, ...]
    presses: tuple[tuple[float, float], ...]
    """Times at which the board is lowest, the take-off's first, and how far down it is, metres."""
    handstand_s: float | None
    """When an armstand is reached; None: it is no armstand dive."""

    def feet(self, since_s: Array) -> tuple[Array, Array]:
        """Place of the lowest joint at times (N,): metres from the tip, metres above the board."""
        ahead = np.interp(since_s, [time for time, _ in self.ahead], [place for _, place in self.ahead])
        above = np.zeros_like(since_s)
        for hop in self.hops:
            share = np.clip((since_s - hop.begin_s) / (hop.end_s - hop.begin_s), 0, 1)
            above += 4 * hop.high_m * share * (1 - share)
        return ahead, above

    def dip_m(self, since_s: Array) -> Array:
        """Depth of the board's tip below its rest at times (N,), metres."""
        dip = np.zeros_like(since_s)
        for at_s, depth in self.presses:
            # A push shorter than 0.16 s ends a little below the rest, which the first frame of the flight makes up for.
            down, up = (since_s - at_s) / 0.16, (since_s - at_s) / max(-at_s, 0.16)
            # Down as a bell; up with growing speed, until the board throws the diver when it is level.
            dip += depth * np.where(since_s < at_s, np.exp(-(down**2)), np.clip(1 - up**2, 0, None))
        swing = 0.16 * np.exp(-2.6 * np.maximum(since_s, 0)) * np.sin(17 * since_s)
        return np.asarray(np.where(since_s < 0, dip, -swing if self.presses else 0.0))

    def base_deg(self, since_s: Array) -> Array:
        """Somersault of the body's base at times (N,), degrees: upside down in a handstand."""
        if self.handstand_s is None:
            return np.zeros_like(since_s)
        return np.asarray(180.0 * choreography.ease((since_s - self.handstand_s + 1.1) / 1.1))


def draw_approach(dive: DiveNumber, springboard: bool, rng: np.random.Generator) -> Approach:
    """Draw one of the ways in which a dive can begin."""
    if dive.armstand:
        return _armstand(rng)
    if dive.direction in (1, 3) and rng.random() < (0.85 if springboard else 0.5):
        return _hurdle(springboard, rng)
    return _standing(springboard, rng)


def before_takeoff(
    approach: Approach, dive: DiveNumber, height_m: float, lean_deg: float, since_s: Array
) -> tuple[Array, Array]:
    """Joints and board at times before take-off.

    Args:
        approach: how the dive begins.
        dive: decides where the diver looks, and leans to.
        height_m: of the board.
        lean_deg: at take-off.
        since_s: (N,) seconds to take-off.

    Returns:
        (N, joints, 3) metres in the scene, and (N,) height of the board's tip.
    """
    upright = body.joints(choreography.interpolate(approach.poses, since_s))
    lean = choreography.spin_sign(dive) * lean_deg * choreography.ease((since_s + 0.25) / 0.25)
    joints = body.turn(upright, approach.base_deg(since_s) + lean, np.zeros_like(since_s), choreography.facing(dive))
    tip = height_m - approach.dip_m(since_s)
    ahead, above = approach.feet(since_s)
    # The board bends most at its tip: who stands further back goes down less.
    ground = height_m + (tip - height_m) * np.clip(1 + ahead / 4.0, 0, 1)
    lowest = joints[..., 1].argmin(axis=1)
    foot = joints[np.arange(len(joints)), lowest]
    joints[..., 0] += (ahead - foot[:, 0])[:, None]
    joints[..., 1] += (ground + above - foot[:, 1])[:, None]
    return joints, tip


def _hurdle(springboard: bool, rng: np.random.Generator) -> Approach:
    """Steps, a jump onto the board's end, and the take-off from it."""
    depth = float(rng.uniform(0.25, 0.8)) if springboard else 0.0
    throw_s = float(rng.uniform(0.12, 0.26))
    landed_s = -throw_s - float(rng.uniform(0.12, 0.4))
    high = float(rng.uniform(0.15, 0.9) if springboard else rng.uniform(0.05, 0.3))
    # The board is lower when it is left, so that a hurdle lasts longer than its height says.
    lasts = 2 * np.sqrt(2 * high / GRAVITY_M_S2) + (float(rng.uniform(0.0, 0.35)) if springboard else 0.0)
    left_s = landed_s - lasts
    step_s = float(rng.uniform(0.25, 0.7))
    count = int(rng.integers(0, 6))
    length = float(rng.uniform(0.35, 0.9))
    jump_m = float(rng.uniform(0.3, 1.1))
    first_s = left_s - 0.25 - count * step_s
    poses = [(first_s - 0.3, choreography.STAND)]
    steps = (choreography.STEP_LEFT, choreography.STEP_RIGHT)
    poses += [(first_s + i * step_s, steps[i % 2]) for i in range(count)]
    poses += [
        (left_s - 0.12, choreography.CROUCH if rng.random() < 0.5 else choreography.SWING),
        (left_s + 0.25 * lasts, choreography.HURDLE),
        (left_s + 0.8 * lasts, choreography.REACH),
        (-throw_s, choreography.CROUCH),
        (-0.4 * throw_s, choreography.SWING),
        (0.0, choreography.REACH),
    ]
    ahead = [(first_s, TIP_M - jump_m - count * length), (left_s, TIP_M - jump_m), (landed_s, TIP_M), (0.0, TIP_M)]
    presses = [(-throw_s, depth), (left_s - 0.15, depth * float(rng.uniform(0.1, 0.6)))] if springboard else []
    return Approach(poses, ahead, (Hop(left_s, landed_s, high),), tuple(presses), None)


def _standing(springboard: bool, rng: np.random.Generator) -> Approach:
    """Stands at the end, swings the arms, may rock the board, jumps off."""
    throw_s = float(rng.uniform(0.12, 0.3))
    swings = int(rng.integers(0, 4))
    beat_s = float(rng.uniform(0.35, 0.9))
    begin_s = -throw_s - 0.3 - swings * beat_s
    # Who walks to the end, or stands there for long, does so before.
    walk_s = begin_s - float(rng.exponential(3.0))
    walked_m = float(rng.uniform(0.8, 3.0)) if rng.random() < 0.4 else 0.0
    poses = [(walk_s, choreography.STAND), (begin_s, choreography.STAND)]
    poses += [(begin_s + (i + 1) * beat_s, _SWINGS[int(rng.integers(len(_SWINGS)))]) for i in range(swings)]
    poses += [(-throw_s, choreography.CROUCH), (-0.4 * throw_s, choreography.SWING), (0.0, choreography.REACH)]
    presses: list[tuple[float, float]] = []
    if springboard:
        presses = [(-throw_s, float(rng.uniform(0.1, 0.5)))]
        presses += [(begin_s + (i + 0.7) * beat_s, float(rng.uniform(0, 0.15))) for i in range(swings)]
    ahead = [(walk_s - walked_m, TIP_M - walked_m), (walk_s, TIP_M), (0.0, TIP_M)]
    return Approach(poses, ahead, (), tuple(presses), None)


def _armstand(rng: np.random.Generator) -> Approach:
    """Kicks up to a handstand and holds it."""
    up_s = -float(rng.uniform(0.8, 5.0))
    poses = [
        (up_s - 2.5, choreography.STAND),
        (up_s - 1.6, _KICK_UP),
        (up_s - 0.6, _KICK_UP),
        (up_s, choreography.HANDSTAND),
        (0.0, choreography.HANDSTAND),
    ]
    return Approach(poses, [(up_s, TIP_M), (0.0, TIP_M)], (), (), up_s)
