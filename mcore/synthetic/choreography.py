"""Choreography of a dive number: poses before take-off and in flight, and the flight in labelled steps.

Times of the flight run from 0 (the feet leave) to 1 (the water). Times before it are seconds to take-off. Data sets of
dives name the steps between take-off and entry, such as "1.5 Twists" and "2.5 Soms.Pike".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcore.diving import DiveNumber
from mcore.diving.dive_number import POSITIONS, Position
from mcore.synthetic.body import pose
from mcore.synthetic.faults import Faults

Array = NDArray[np.float64]
Keys = Sequence[tuple[float, Array]]

StepKind = Literal["somersaults", "twists"]
_CHANGE_SHARE = 0.10
"""Part of the flight in which one pose becomes the next."""
_LATE = 0.55
"""Share of the last step after which a diver opens at the earliest."""

STAND = pose(ankle=75, arm=8, elbow=8)
REACH = pose(ankle=15, arm=172, elbow=4)
CROUCH = pose(hip=58, knee=78, ankle=75, arm=-28, elbow=10, neck=18)
SWING = pose(hip=18, knee=30, ankle=70, arm=95, elbow=12)
STEP_LEFT = pose(hip_l=32, knee_l=26, hip_r=-14, knee_r=12, ankle=70, arm_l=-22, arm_r=26, elbow=14)
STEP_RIGHT = pose(hip_r=32, knee_r=26, hip_l=-14, knee_l=12, ankle=70, arm_r=-22, arm_l=26, elbow=14)
HURDLE = pose(hip_l=78, knee_l=86, knee_r=5, ankle=20, arm=150, elbow=10)
HANDSTAND = pose(arm=178, ankle=5)
ENTRY_HEAD_FIRST = pose(arm=180)
ENTRY_FEET_FIRST = pose(arm=4)
STRAIGHT = pose(arm=25, elbow=10)
TUCK = pose(hip=128, knee=140, ankle=20, arm=70, elbow=52, neck=38)
PIKE = pose(hip=138, ankle=2, arm=122, elbow=18, neck=26)
TWIST = pose(arm_l=150, elbow_l=70, arm_r=55, elbow_r=95, ankle=2, neck=10)
HOLD: dict[str, Array] = {"A": STRAIGHT, "B": PIKE, "C": TUCK, "D": pose(hip=18, arm=60, elbow=85, neck=12)}
"""Pose that each position letter is held in."""

# What a gross fault adds to a pose. A pixel of the tiny preset covers some 4 x 9 cm, so less could not be seen there.
_APART, _FOLDED_APART = pose(splay=35, hip_l=36, hip_r=-36), pose(splay=45, hip_l=52, hip_r=-52)
_KNEES: dict[Position, Array] = {
    "A": pose(hip=30, knee=95), "B": pose(hip=-8, knee=95), "C": pose(knee=-85, arm=-16), "D": pose(hip=30, knee=95),
}  # fmt: skip
_HIPS: dict[Position, Array] = {
    "A": pose(hip=52), "B": pose(hip=-60, arm=-40), "C": pose(hip=-52, arm=-16), "D": pose(hip=48),
}  # fmt: skip
_ARMS_HEAD_FIRST = pose(arm_l=-72, arm_r=-34)
_ARMS_FEET_FIRST = pose(arm_l=82, arm_r=44)
_PIKED_LINE = pose(hip=48)
_SWAY_DEG, _SWAY_HZ = 13.0, 1.7
_FLYING_ARMS = pose(arm_l=70, arm_r=-70, elbow=20)
_BALANCED_S = 0.1
"""Before the take-off; a sway ends there, as the feet push off."""


def enters_head_first(dive: DiveNumber) -> bool:
    """Return whether the somersaults end with the head down."""
    return (dive.half_somersaults % 2 == 1) != dive.armstand


def spin_sign(dive: DiveNumber) -> int:
    """1 for a somersault away from the board (forward, back), -1 for one towards it (reverse, inward)."""
    return 1 if dive.direction in (1, 2) else -1


def facing(dive: DiveNumber) -> int:
    """1 if the diver looks away from the board at take-off, -1 if at it."""
    away = dive.direction in (1, 3)
    return (1 if away else -1) * (-1 if dive.armstand else 1)  # upside down, front and back change sides


def flight_poses(dive: DiveNumber, faults: Faults, opening: float) -> Keys:
    """Poses of the flight, faults included.

    Args:
        dive: the dive.
        faults: what the diver does wrong.
        opening: when the diver would begin to open without a fault, as a share of the flight.
    """
    start, end = start_pose(dive), entry_pose(dive, faults)
    hold = held_pose(dive.position, faults)
    opening = late_opening(opening, faults)
    opened = _opened(opening)
    if not dive.half_twists:
        return [(0.0, start), (0.16, hold), (opening, hold), (opened, end), (1.0, end)]
    twist = twisting_pose(faults)
    if dive.position == "D" or dive.half_somersaults <= 3:
        return [(0.0, start), (0.14, twist), (opening, twist), (opened, end), (1.0, end)]
    if dive.armstand or dive.direction == 1:  # somersaults first, then the twist out of them
        return [(0.0, start), (0.14, hold), (0.45, hold), (0.56, twist), (opening, twist), (opened, end), (1.0, end)]
    return [(0.0, start), (0.12, twist), (0.46, twist), (0.56, hold), (opening, hold), (opened, end), (1.0, end)]


def start_pose(dive: DiveNumber) -> Array:
    """Pose in which the feet, or the hands, leave the board."""
    return HANDSTAND if dive.armstand else REACH


def held_pose(position: Position, faults: Faults) -> Array:
    """Pose in which the somersaults are turned, faults included."""
    return HOLD[position] + _flight_faults(position, faults)


def twisting_pose(faults: Faults) -> Array:
    """Pose in which the twists are turned, faults included."""
    return TWIST + _flight_faults("A", faults)


def _flight_faults(position: Position, faults: Faults) -> Array:
    apart = _FOLDED_APART if position == "C" else _APART
    return np.asarray(faults.legs * apart + faults.knees * _KNEES[position] + faults.hips * _HIPS[position])


def entry_pose(dive: DiveNumber, faults: Faults) -> Array:
    """Pose that meets the water, faults included; those of the flight are over."""
    end, arms = (
        (ENTRY_HEAD_FIRST, _ARMS_HEAD_FIRST) if enters_head_first(dive) else (ENTRY_FEET_FIRST, _ARMS_FEET_FIRST)
    )
    return end + faults.arms * arms + faults.line * _PIKED_LINE


def late_opening(opening: float, faults: Faults) -> float:
    """Return when a diver begins to open, as a share of the flight, who would open at ``opening`` without a fault."""
    return opening + 0.8 * faults.opening * max(0.0, 0.95 - opening)


def _opened(opening: float) -> float:
    """Return when a diver is stretched who begins to open at ``opening``."""
    return opening + min(0.16, 0.7 * (1 - opening))


def twist_window(dive: DiveNumber, opening: float) -> tuple[float, float]:
    """Return begin and end of the twist, as shares of the flight."""
    if dive.position == "D" or dive.half_somersaults <= 3:
        return 0.08, opening + 0.06
    if dive.armstand or dive.direction == 1:
        return 0.48, opening + 0.04
    return 0.08, 0.50


def approach_poses(dive: DiveNumber) -> Keys:
    """Poses before take-off without faults, by seconds to it."""
    if dive.armstand:
        return [(-1.6, HANDSTAND), (0.0, HANDSTAND)]
    if dive.direction in (1, 3):
        return [
            (-1.6, STAND), (-1.34, STEP_LEFT), (-1.08, STEP_RIGHT), (-0.82, SWING), (-0.62, HURDLE), (-0.42, REACH),
            (-0.24, CROUCH), (-0.09, SWING), (0.0, REACH),
        ]  # fmt: skip
    return [
        (-1.6, STAND), (-1.0, pose(ankle=60, arm=90)), (-0.62, REACH), (-0.40, SWING), (-0.22, CROUCH),
        (-0.08, SWING), (0.0, REACH),
    ]  # fmt: skip


def unbalanced(dive: DiveNumber, faults: Faults, seconds_to_takeoff: Array) -> tuple[Array, Array]:
    """What a bad balance adds before the take-off.

    Args:
        dive: the dive.
        faults: what the diver does wrong.
        seconds_to_takeoff: (N,), negative.

    Returns:
        Degrees that the body sways, (N,), and joint angles for the pose, (N, angles). Nobody's arms fly in an armstand:
        there the legs part.
    """
    s = seconds_to_takeoff
    # Grows from 1.5 s before the take-off, and is over when the diver pushes off.
    strength = faults.balance * ease((s + 1.5) / 0.3) * ease((-_BALANCED_S - s) / 0.2)
    swing = strength * np.sin(2 * np.pi * _SWAY_HZ * s)
    limbs = _APART if dive.armstand else _FLYING_ARMS
    return _SWAY_DEG * swing, swing[:, None] * limbs


def approach_feet(dive: DiveNumber, seconds_to_takeoff: Array) -> tuple[Array, Array]:
    """Return the place of the lowest joint before take-off, relative to the board's tip: metres ahead, metres above."""
    s = seconds_to_takeoff
    if dive.armstand or dive.direction not in (1, 3):
        return np.full_like(s, -0.1), np.zeros_like(s)
    ahead = np.interp(s, [-1.6, -0.84, -0.40, 0.0], [-1.75, -0.75, -0.1, -0.1])
    hop = np.clip((s + 0.82) / 0.42, 0, 1)
    return ahead, 0.32 * 4 * hop * (1 - hop)


def board_dip_m(seconds_to_takeoff: Array, springboard: bool) -> Array:
    """Return the depth of the board's tip below its rest, metres; it swings out after take-off."""
    s = seconds_to_takeoff
    if not springboard:
        return np.zeros_like(s)
    press = 0.38 * np.exp(-(((s + 0.2) / 0.13) ** 2))
    ringing = np.where(s > 0, 0.16 * np.exp(-2.6 * np.maximum(s, 0)) * np.sin(17 * s), 0.0)
    return np.asarray(press - ringing)


@dataclass(frozen=True)
class FlightStep:
    """One step between take-off and entry."""

    kind: StepKind
    position: Position
    """How the body is held."""


def flight_steps(dive: DiveNumber, names: Sequence[str] | None, count: int) -> tuple[FlightStep, ...]:
    """Say what happens in each step of a flight.

    Args:
        dive: the dive, whose number decides where a name does not.
        names: of the steps between take-off and entry, such as ``2.5 Soms.Pike``; None where they are not known.
        count: number of steps.
    """
    kinds = _default_step_kinds(dive, count)
    if names is not None and dive.half_twists and any("Twist" in name for name in names):
        kinds = ["twists" if "Twist" in name else "somersaults" for name in names]
    words = names or [""] * count
    return tuple(FlightStep(kind, _position(dive, word)) for kind, word in zip(kinds, words, strict=True))


def step_poses(
    dive: DiveNumber, faults: Faults, steps: Sequence[FlightStep], starts: Sequence[float], opening: float
) -> tuple[Keys, tuple[tuple[float, float], ...]]:
    """Poses and twists of a flight whose steps begin at given times.

    Args:
        dive: the dive.
        faults: what the diver does wrong.
        steps: of the flight.
        starts: when each begins, ascending shares of the flight; the first at 0.
        opening: when the diver would begin to open without a fault, as a share of the flight; later where the last step
            is late.

    Returns:
        Poses for ``Flight.poses`` and windows for ``Flight.twists``.
    """
    if len(steps) == 1:  # nothing is labelled within the flight
        return flight_poses(dive, faults, opening), (twist_window(dive, opening),)
    opening = late_opening(max(opening, starts[-1] + _LATE * (1 - starts[-1])), faults)
    opened = _opened(opening)
    end = entry_pose(dive, faults)
    keys: list[tuple[float, Array]] = [(0.0, start_pose(dive))]
    twists = []
    for step, (begin, finish) in zip(steps, itertools.pairwise([*starts, opening]), strict=True):
        held = held_pose(step.position, faults)
        if step.kind == "twists":
            held = twisting_pose(faults)
            twists.append((begin, finish))
        keys += [(begin + min(_CHANGE_SHARE, 0.5 * (finish - begin)), held), (finish, held)]
    keys += [(opened, end), (1.0, end)]
    # A body without twists turns in no window, but a window there must be.
    return keys, tuple(twists) or ((0.0, 1.0),)


def _default_step_kinds(dive: DiveNumber, count: int) -> list[StepKind]:
    """Order of steps whose names are not known: forward and armstand dives twist out of somersaults."""
    if not dive.half_twists:
        return ["somersaults"] * count
    first: StepKind = "somersaults" if dive.armstand or dive.direction == 1 else "twists"
    second: StepKind = "twists" if first == "somersaults" else "somersaults"
    return [second if i % 2 else first for i in range(count)]


def _position(dive: DiveNumber, name: str) -> Position:
    """Position of the body: as the number says, except in free dives, where the step's name says it."""
    if dive.position != "D":
        return dive.position
    named: list[Position] = [letter for letter, word in POSITIONS.items() if word in name.lower()]
    return named[0] if named else "D"


def interpolate(keys: Keys, times: Array) -> Array:
    """Poses at times (N,) between key poses, easing in and out of each: (N, angles)."""
    at = np.array([time for time, _ in keys])
    values = np.stack([key for _, key in keys])
    i = np.clip(np.searchsorted(at, times, side="right") - 1, 0, len(at) - 2)
    share = ease((times - at[i]) / (at[i + 1] - at[i]))[:, None]
    return np.asarray(values[i] * (1 - share) + values[i + 1] * share)


def ease(share: Array) -> Array:
    """Begin and end gently: 0 up to a share of 0, 1 from a share of 1, steepest in the middle."""
    share = np.clip(share, 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share))
