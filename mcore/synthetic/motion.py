"""Motion of a diver and a board: carried by the board, in free fall, then slowed by the water.

The flight is physics: the centre of mass falls freely, and angular momentum is kept, so that a compact body turns
faster. Take-off and entry poses decide how far the centre of mass falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.diving import DiveNumber
from mcore.diving.physics import GRAVITY_M_S2
from mcore.synthetic import body, choreography
from mcore.synthetic.faults import Faults

Array = NDArray[np.float64]

LEAN_DEG, _MAX_LEAN_DEG = 8.0, 36.0
"""Lean in the direction of the somersault at take-off: without a fault, and at its worst."""
HARMLESS_TRAVEL_M = (0.7, 1.7)
"""Distances from the board at which nobody minds where a diver enters."""
_TOO_NEAR_M, _TOO_FAR_M = 0.25, 3.0
"""Gross faults of the distance."""
_SINK_RATE = 2.4
"""Per second: how fast the water takes a diver's speed."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Positions of diver and board in each of N frames; metres, x away from the board, y up from the water."""

    center_m: Array
    """(N, 2) centre of mass."""
    joints_m: Array
    """(N, joints, 3) in the order of ``body.JOINTS``; z towards the camera."""
    board_tip_m: Array
    """(N,) height of the board's tip."""


@dataclass(frozen=True, eq=False)
class Flight:
    """Movement of a body between board and water, as shares of the flight's time."""

    dive: DiveNumber
    height_m: float
    """Height of the board; up to 3 m it is a springboard."""
    faults: Faults
    poses: choreography.Keys
    twists: tuple[tuple[float, float], ...]
    """Windows in which the body turns about its long axis, each its length's share of all twists."""
    travel_m: float
    """How far from the board the diver would travel without a fault, in ``HARMLESS_TRAVEL_M``."""

    @property
    def lean_deg(self) -> float:
        """Lean at take-off in the direction of the somersault, degrees, faults included."""
        return LEAN_DEG + self.faults.lean * (_MAX_LEAN_DEG - LEAN_DEG)

    @property
    def distance_m(self) -> float:
        """How far from the board the diver travels, faults included."""
        worst = _TOO_NEAR_M if self.faults.too_near else _TOO_FAR_M
        return self.travel_m + self.faults.distance * (worst - self.travel_m)

    @property
    def final_deg(self) -> float:
        """Somersault at entry, degrees, faults included."""
        return 180.0 * self.dive.half_somersaults + self.faults.off_vertical_deg


@dataclass(frozen=True)
class Timing:
    """Times of a motion's frames; frame ``i`` shows the middle of its interval."""

    frames_per_second: float
    """Frames for each second of the motion: the video's rate, unless it plays slower or faster than life."""
    num_frames: int
    first_flight_frame: int
    flight_s: float
    """From the feet leaving the board to the water."""


def fall(flight: Flight) -> tuple[Array, float]:
    """Centre of mass where a flight begins, (2,) metres, and its height where the body touches the water."""
    ends = choreography.interpolate(flight.poses, np.array([0.0, 1.0]))
    turned = body.turn(
        body.joints(ends),
        _base_deg(flight.dive) + choreography.spin_sign(flight.dive) * np.array([flight.lean_deg, flight.final_deg]),
        np.array([0.0, 180.0 * flight.dive.half_twists]),
        choreography.facing(flight.dive),
    )
    lowest = int(turned[0, :, 1].argmin())
    start = np.array([-0.1 - turned[0, lowest, 0], flight.height_m - turned[0, :, 1].min()])
    return start, float(-turned[1, :, 1].min())


def flight_seconds(start_m: float, reach_m: float, speed: float) -> float:
    """Time that a centre of mass takes from a height to another below, thrown up at a speed in m/s."""
    return (speed + math.sqrt(speed**2 + 2 * GRAVITY_M_S2 * (start_m - reach_m))) / GRAVITY_M_S2


def takeoff_speed(start_m: float, reach_m: float, seconds: float) -> float:
    """Upward speed, m/s, that makes a flight last this long: the inverse of ``flight_seconds``."""
    return GRAVITY_M_S2 * seconds / 2 - (start_m - reach_m) / seconds


def trace(flight: Flight, timing: Timing, start: Array, speed: float) -> Motion:
    """Follow the body through every frame.

    Args:
        flight: what the body does.
        timing: when.
        start: (2,) centre of mass at take-off, from ``fall``.
        speed: upward at take-off, m/s, so that the water is touched after ``timing.flight_s``.
    """
    dive, seconds = flight.dive, timing.flight_s
    # Seconds after take-off (N,), negative before it: a frame shows the middle of its interval.
    middles = np.arange(timing.num_frames, dtype=np.float64) - timing.first_flight_frame + 0.5
    since = middles / timing.frames_per_second
    share = np.clip(since / seconds, 0.0, 1.0)
    sway, limbs = choreography.unbalanced(dive, flight.faults, np.minimum(since, 0.0))
    angles = np.where(
        (since < 0)[:, None],
        choreography.interpolate(choreography.approach_poses(dive), since) + limbs,
        choreography.interpolate(flight.poses, share),
    )
    upright = body.joints(angles)
    sign = choreography.spin_sign(dive)
    somersault = _base_deg(dive) + sign * _somersault(flight, share, since) + sway
    twist = np.where(since < 0, 0.0, _twist(flight, share))
    turned = body.turn(upright, somersault, twist, choreography.facing(dive))

    dip = choreography.board_dip_m(since, springboard=flight.height_m <= 3)
    drift = flight.distance_m / seconds + 0.1  # speed away from the board, m/s
    center = _center(dive, since, seconds, start, speed, drift, turned, flight.height_m - dip)
    joints = turned.copy()
    joints[..., :2] += center[:, None]
    return Motion(center, joints, flight.height_m - dip)


def _base_deg(dive: DiveNumber) -> float:
    return 180.0 if dive.armstand else 0.0


def _somersault(flight: Flight, share: Array, since: Array) -> Array:
    """Degrees turned: angular momentum is kept, so a compact body turns faster."""
    fine = np.linspace(0.0, 1.0, 201)  # shares of the flight at which the body's inertia is known
    inertia = body.moment_of_inertia(body.joints(choreography.interpolate(flight.poses, fine)))
    rate = 1 / inertia
    turned = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
    lean = flight.lean_deg
    in_flight = lean + (flight.final_deg - lean) * np.interp(share, fine, turned / turned[-1])
    leaning = lean * choreography.ease((since + 0.3) / 0.3)
    return np.where(since < 0, leaning, in_flight)


def _twist(flight: Flight, share: Array) -> Array:
    """Degrees turned about the long axis, faster in no window than in another."""
    total = sum(end - begin for begin, end in flight.twists)
    turned = np.zeros_like(share)
    for begin, end in flight.twists:
        turned = turned + (end - begin) / total * choreography.ease((share - begin) / (end - begin))
    return 180.0 * flight.dive.half_twists * turned


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
    flying = np.stack([start[0] + drift * since, start[1] + speed * since - GRAVITY_M_S2 * since**2 / 2], -1)
    entry = np.array([start[0] + drift * seconds, start[1] + speed * seconds - GRAVITY_M_S2 * seconds**2 / 2])
    velocity = np.array([drift, speed - GRAVITY_M_S2 * seconds])
    sunk = (1 - np.exp(-_SINK_RATE * np.maximum(since - seconds, 0.0))) / _SINK_RATE
    sinking = entry + velocity * sunk[:, None]
    return np.where((since < 0)[:, None], carried, np.where((since < seconds)[:, None], flying, sinking))
