"""Body of a diver: joint angles to joint positions in three dimensions, about the centre of mass.

Body axes: x to the front, y from pelvis to head, z to the diver's left. Lengths in metres, masses as shares
(after Winter, "Biomechanics and Motor Control of Human Movement", table 4.1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ANGLES = ("hip_l", "hip_r", "knee_l", "knee_r", "ankle", "arm_l", "arm_r", "elbow_l", "elbow_r", "neck", "splay")
"""Joint angles of a pose, degrees. 0 is standing straight with arms at the sides; hips and arms open to the front
(an arm at 180 points overhead), knees and elbows close, ankle 0 is a pointed foot, splay parts the legs sideways."""
JOINTS = (
    "pelvis", "neck", "head", "hip_l", "hip_r", "knee_l", "knee_r", "ankle_l", "ankle_r", "toe_l", "toe_r",
    "shoulder_l", "shoulder_r", "elbow_l", "elbow_r", "hand_l", "hand_r",
)  # fmt: skip
INDEX = {name: i for i, name in enumerate(JOINTS)}

TRUNK, NECK_TO_HEAD, THIGH, SHANK, FOOT, UPPER_ARM, FOREARM = 0.50, 0.17, 0.42, 0.42, 0.19, 0.29, 0.40
_HALF_HIPS, _HALF_SHOULDERS = 0.09, 0.18
_SEGMENTS = (
    ("pelvis", "neck", 0.50), ("head", "head", 0.08),
    ("hip_l", "knee_l", 0.10), ("hip_r", "knee_r", 0.10), ("knee_l", "toe_l", 0.06), ("knee_r", "toe_r", 0.06),
    ("shoulder_l", "elbow_l", 0.027), ("shoulder_r", "elbow_r", 0.027),
    ("elbow_l", "hand_l", 0.023), ("elbow_r", "hand_r", 0.023),
)  # fmt: skip


def pose(**degrees: float) -> Array:
    """Make a pose from the joint angles that are not zero; ``hip`` sets both hips, and so on."""
    values = np.zeros(len(ANGLES))
    for name, value in degrees.items():
        for i, angle in enumerate(ANGLES):
            if angle == name or angle in (f"{name}_l", f"{name}_r"):
                values[i] = value
    return values


def joints(poses: Array) -> Array:
    """Place the joints of poses in body axes, the centre of mass at the origin.

    Args:
        poses: (N, angles) degrees.

    Returns:
        (N, joints, 3) metres.
    """
    angle = {name: np.radians(poses[:, i]) for i, name in enumerate(ANGLES)}
    n = len(poses)
    at = np.zeros((n, len(JOINTS), 3))
    neck = np.stack([np.zeros(n), np.full(n, TRUNK), np.zeros(n)], -1)
    at[:, INDEX["neck"]] = neck
    tilt = angle["neck"]
    at[:, INDEX["head"]] = neck + NECK_TO_HEAD * np.stack([np.sin(tilt), np.cos(tilt), np.zeros(n)], -1)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        _leg(at, angle, side, sign)
        _arm(at, angle, side, sign)
    return at - centre_of_mass(at)[:, None]


def centre_of_mass(at: Array) -> Array:
    """Centre of mass of joints (N, joints, 3): (N, 3)."""
    total = sum(mass * (at[:, INDEX[a]] + at[:, INDEX[b]]) / 2 for a, b, mass in _SEGMENTS)
    return np.asarray(total) / sum(mass for *_, mass in _SEGMENTS)


def moment_of_inertia(at: Array) -> Array:
    """Moment about the somersault axis through the centre of mass, (N,) square metres for a mass of 1."""
    middle = np.stack([(at[:, INDEX[a]] + at[:, INDEX[b]]) / 2 for a, b, _ in _SEGMENTS], 1)
    length = np.stack([np.linalg.norm(at[:, INDEX[a]] - at[:, INDEX[b]], axis=-1) for a, b, _ in _SEGMENTS], 1)
    mass = np.array([mass for *_, mass in _SEGMENTS])
    return np.asarray((mass * (middle[..., 0] ** 2 + middle[..., 1] ** 2 + length**2 / 12)).sum(1) / mass.sum())


def turn(at: Array, somersault_deg: Array, twist_deg: Array, facing: int) -> Array:
    """Turn a body from its own axes to the scene's: x away from the board, y up, z towards the camera.

    Args:
        at: (N, joints, 3) in body axes.
        somersault_deg: (N,) clockwise as the camera sees it.
        twist_deg: (N,) about the long axis.
        facing: 1 facing away from the board, -1 facing it.
    """
    twist, roll = np.radians(twist_deg)[:, None], np.radians(somersault_deg)[:, None]
    front, up, left = at[..., 0], at[..., 1], at[..., 2]
    x = facing * (front * np.cos(twist) + left * np.sin(twist))
    z = facing * (left * np.cos(twist) - front * np.sin(twist))
    return np.stack([x * np.cos(roll) + up * np.sin(roll), up * np.cos(roll) - x * np.sin(roll), z], -1)


def _leg(at: Array, angle: dict[str, Array], side: str, sign: float) -> None:
    hip = np.zeros((len(at), 3))
    hip[:, 2] = sign * _HALF_HIPS
    thigh = angle[f"hip_{side}"]
    shank = thigh - angle[f"knee_{side}"]
    foot = shank + angle["ankle"]
    out = sign * np.sin(angle["splay"])
    knee = hip + THIGH * _limb_direction(thigh, out)
    ankle = knee + SHANK * _limb_direction(shank, out)
    at[:, INDEX[f"hip_{side}"]], at[:, INDEX[f"knee_{side}"]] = hip, knee
    at[:, INDEX[f"ankle_{side}"]], at[:, INDEX[f"toe_{side}"]] = ankle, ankle + FOOT * _limb_direction(foot, 0.0 * out)


def _arm(at: Array, angle: dict[str, Array], side: str, sign: float) -> None:
    shoulder = np.zeros((len(at), 3))
    shoulder[:, 1], shoulder[:, 2] = TRUNK - 0.04, sign * _HALF_SHOULDERS
    upper = angle[f"arm_{side}"]
    lower = upper + angle[f"elbow_{side}"]
    overhead = np.clip((upper - np.radians(120)) / np.radians(60), 0, 1)  # hands meet over the head
    inwards = -sign * 0.35 * overhead
    elbow = shoulder + UPPER_ARM * _limb_direction(upper, inwards)
    at[:, INDEX[f"shoulder_{side}"]], at[:, INDEX[f"elbow_{side}"]] = shoulder, elbow
    at[:, INDEX[f"hand_{side}"]] = elbow + FOREARM * _limb_direction(lower, inwards * 0.6)


def _limb_direction(flexion: Array, sideways: Array | float) -> Array:
    """Unit vectors that point down, turned to the front by ``flexion`` and out by ``sideways``."""
    side = np.broadcast_to(sideways, flexion.shape)
    rest = np.sqrt(1 - side**2)
    return np.stack([np.sin(flexion) * rest, -np.cos(flexion) * rest, side], -1)
