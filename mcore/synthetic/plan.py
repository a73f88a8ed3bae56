"""A dive without its pixels: what moves where in every frame, what is wrong with it, and what the judges give.

Everything follows from the dive number and a seed.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.diving import DiveNumber, difficulty, dive_score
from mcore.diving.difficulty import HeightM
from mcore.errors import UserError
from mcore.synthetic import body, choreography
from mcore.synthetic.faults import MOST_DRIFT_M, Faults, draw_faults, judge

Array = NDArray[np.float64]

FPS = 25
GRAVITY = 9.81
TAKEOFF_SPEED: dict[HeightM, tuple[float, float]] = {3: (4.6, 5.2), 10: (2.4, 3.1)}
"""Upward speed at take-off, m/s: a springboard throws, a platform does not."""
_ARMSTAND_SPEED = (0.7, 1.1)
_SINK_RATE = 2.4
"""Per second: how fast the water takes a diver's speed."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the diver and the board are in each of N frames; metres, x away from the board, y up from the water."""

    center_m: Array
    """(N, 2) centre of mass."""
    joints_m: Array
    """(N, joints, 3) in the order of ``body.JOINTS``; z towards the camera."""
    board_tip_m: Array
    """(N,) height of the board's tip."""


@dataclass(frozen=True, eq=False)
class DivePlan:
    """One dive, ready to be rendered."""

    dive_number: str
    seed: int
    height_m: HeightM
    """Height of the board: 3 (springboard) or 10 (platform)."""
    difficulty: float
    awards: tuple[float, ...]
    """Seven judges."""
    score: float
    """Points, by the rules."""
    faults: Faults
    fps: int
    num_frames: int
    transition_frames: tuple[int, int]
    """First frame of the flight, first frame in which the diver touches the water."""
    motion: Motion


def plan_dive(dive_number: str, seed: int) -> DivePlan:
    """Plan a dive; the same arguments give the same dive, anywhere.

    Args:
        dive_number: such as ``407C``.
        seed: not negative.

    Raises:
        DiveNumberError: not a dive number.
        UserError: the rules' tables have no difficulty for it.
    """
    dive = DiveNumber.parse(dive_number)
    rng = random_stream(dive, seed, "dive")
    height, factor = _choose_height(dive, rng)
    faults = draw_faults(rng)
    awards = judge(faults, rng)
    motion, transitions = _move(dive, height, faults, rng)
    return DivePlan(
        dive_number=dive.text,
        seed=seed,
        height_m=height,
        difficulty=factor,
        awards=awards,
        score=dive_score(awards, factor),
        faults=faults,
        fps=FPS,
        num_frames=len(motion.center_m),
        transition_frames=transitions,
        motion=motion,
    )


def random_stream(dive: DiveNumber, seed: int, purpose: str) -> np.random.Generator:
    """Random numbers that only a dive, a seed and a purpose decide; looks never disturb the dive itself."""
    return np.random.default_rng([seed, zlib.crc32(dive.text.encode()), zlib.crc32(purpose.encode())])


def _choose_height(dive: DiveNumber, rng: np.random.Generator) -> tuple[HeightM, float]:
    heights: tuple[HeightM, ...] = (3, 10)
    known = [(h, d) for h in heights if (d := difficulty(dive, h)) is not None]
    if not known:
        raise UserError(f"{dive.text} ({dive.describe()}) has no degree of difficulty, so its score is unknown")
    return known[int(rng.integers(len(known)))]


def _move(
    dive: DiveNumber, height: HeightM, faults: Faults, rng: np.random.Generator
) -> tuple[Motion, tuple[int, int]]:
    before, after = rng.uniform(0.6, 1.5), rng.uniform(0.7, 1.8)  # seconds; as loosely cut as broadcasts are
    first_flight_frame = round(before * FPS)
    opening = float(rng.uniform(0.70, 0.76))
    speed = float(rng.uniform(*(_ARMSTAND_SPEED if dive.armstand else TAKEOFF_SPEED[height])))
    lean = 9.0  # degrees in the direction of the somersault, at take-off
    final = 180.0 * dive.half_somersaults + faults.off_vertical_deg

    # The body at the moment of take-off and of entry decides how long the flight is.
    sign, facing = choreography.spin_sign(dive), choreography.facing(dive)
    base = 180.0 if dive.armstand else 0.0
    poses = choreography.flight_poses(dive, faults, opening)
    ends = choreography.interpolate(poses, np.array([0.0, 1.0]))
    turned = body.turn(
        body.joints(ends), base + sign * np.array([lean, final]), np.array([0.0, 180.0 * dive.half_twists]), facing
    )
    start = np.array([-0.1 - turned[0, _lowest(turned[0]), 0], height - turned[0, :, 1].min()])
    reach = -turned[1, :, 1].min()
    seconds = (speed + math.sqrt(speed**2 + 2 * GRAVITY * (start[1] - reach))) / GRAVITY
    drift = (1.1 + faults.distance * MOST_DRIFT_M) / seconds + 0.1

    flight_frames = math.ceil(seconds * FPS - 0.5)  # the first is half a frame after the feet leave
    entry_frame = first_flight_frame + flight_frames
    num_frames = entry_frame + round(after * FPS)
    since = (np.arange(num_frames) - first_flight_frame + 0.5) / FPS  # seconds since take-off
    share = np.clip(since / seconds, 0.0, 1.0)

    angles = np.where(
        (since < 0)[:, None],
        choreography.interpolate(choreography.approach_poses(dive), since),
        choreography.interpolate(poses, share),
    )
    upright = body.joints(angles)
    somersault = base + sign * _somersault(poses, share, since, lean, final)
    window = choreography.twist_window(dive, opening)
    twist = 180.0 * dive.half_twists * _ease((share - window[0]) / (window[1] - window[0]))
    turned = body.turn(upright, somersault, np.where(since < 0, 0.0, twist), facing)

    dip = choreography.board_dip_m(since, springboard=height == 3)
    center = _center(dive, since, seconds, start, speed, drift, turned, height - dip)
    joints = turned.copy()
    joints[..., :2] += center[:, None]
    return Motion(center, joints, height - dip), (first_flight_frame, entry_frame)


def _somersault(poses: choreography.Keys, share: Array, since: Array, lean: float, final: float) -> Array:
    """Degrees turned: angular momentum is kept, so a compact body turns faster."""
    fine = np.linspace(0.0, 1.0, 201)
    inertia = body.moment_of_inertia(body.joints(choreography.interpolate(poses, fine)))
    rate = 1 / inertia
    turned = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
    in_flight = lean + (final - lean) * np.interp(share, fine, turned / turned[-1])
    leaning = lean * _ease((since + 0.3) / 0.3)
    return np.where(since < 0, leaning, in_flight)


def _center(
    dive: DiveNumber,
    since: Array,
    seconds: float,
    start: Array,
    speed: float,
    drift: float,
    turned: Array,
    board: Array,
) -> Array:
    """Centre of mass (N, 2): carried by the board, in free flight, then slowed by the water."""
    ahead, above = choreography.approach_feet(dive, since)
    lowest = turned[..., 1].argmin(axis=1)
    foot = turned[np.arange(len(turned)), lowest]  # (N, 3)
    carried = np.stack([ahead - foot[:, 0], board + above - foot[:, 1]], -1)
    flying = np.stack([start[0] + drift * since, start[1] + speed * since - GRAVITY * since**2 / 2], -1)
    entry = np.array([start[0] + drift * seconds, start[1] + speed * seconds - GRAVITY * seconds**2 / 2])
    velocity = np.array([drift, speed - GRAVITY * seconds])
    sunk = (1 - np.exp(-_SINK_RATE * np.maximum(since - seconds, 0.0))) / _SINK_RATE
    sinking = entry + velocity * sunk[:, None]
    return np.where((since < 0)[:, None], carried, np.where((since < seconds)[:, None], flying, sinking))


def _lowest(joints: Array) -> int:
    return int(joints[:, 1].argmin())


def _ease(u: Array) -> Array:
    u = np.clip(u, 0.0, 1.0)
    return np.asarray(u * u * (3 - 2 * u))
