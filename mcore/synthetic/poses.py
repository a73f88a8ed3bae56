"""Poses of drawn divers as a camera sees them: targets that a backbone can learn from every single frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore.synthetic.body import INDEX

_Vectors = NDArray[np.float64]
_SIDES = ("_l", "_r")
_TRUNK = ("pelvis", "neck")
_THIGH, _SHIN = ("hip", "knee"), ("knee", "ankle")
_UPPER_ARM, _FOREARM = ("shoulder", "elbow"), ("elbow", "hand")
_LIMBS = (_THIGH, _SHIN, _UPPER_ARM, _FOREARM)
_BENDS = ((_TRUNK, _THIGH), (_THIGH, _SHIN), (_TRUNK, _UPPER_ARM), (_UPPER_ARM, _FOREARM))
NUM_DIRECTIONS = 2 + 4 * len(_LIMBS)
"""Numbers that tell directions; bends follow."""
NUM_TARGETS = NUM_DIRECTIONS + 2 * len(_BENDS) + 1
"""Numbers that describe a pose."""
MIRRORED = (0, *range(2, NUM_DIRECTIONS, 4))
"""Those that change their sign where the picture is mirrored left to right."""
_SUNK_M = -0.6
"""Depth of the lowest joint from which a diver is hardly seen."""


def describe_poses(joints_m: NDArray[np.float64]) -> NDArray[np.float32]:
    """Describe poses by where trunk and limbs point in the picture, and by how far joints are bent.

    Directions turn with the body: in a somersault their mean over some frames says nothing. Bends do not, so that
    pooled tokens can hold them. Left and right look alike from the side. So each pair of limbs is told by its mean and
    by how far it is apart, which do not depend on which is which.

    Args:
        joints_m: (N, joints, 3) as the camera sees them: x to the right of the picture, y up.

    Returns:
        (N, 27): metres in the picture, x and y of the trunk, then of each pair of limbs x and y of the mean and of the
        absolute difference; then radians in space, of hips, knees, shoulders and elbows the mean bend and the absolute
        difference; then the angle between the thighs. NaN where the diver is under water.
    """
    poses = np.concatenate([_directions(joints_m), _bends(joints_m)], axis=1).astype(np.float32)
    poses[joints_m[..., 1].min(axis=1) < _SUNK_M] = np.nan
    return poses


def _directions(joints_m: _Vectors) -> _Vectors:
    columns = [_along(joints_m, _TRUNK, "")[:, :2]]
    for limb in _LIMBS:
        left, right = (_along(joints_m, limb, side)[:, :2] for side in _SIDES)
        columns += [(left + right) / 2, np.abs(left - right)]
    return np.concatenate(columns, axis=1)


def _bends(joints_m: _Vectors) -> _Vectors:
    columns = []
    for upper, lower in _BENDS:
        left, right = (
            _angle(_along(joints_m, upper, "" if upper is _TRUNK else side), _along(joints_m, lower, side))
            for side in _SIDES
        )
        columns += [(left + right) / 2, np.abs(left - right)]
    columns.append(_angle(*(_along(joints_m, _THIGH, side) for side in _SIDES)))
    return np.stack(columns, axis=1)


def _along(joints_m: _Vectors, limb: tuple[str, str], side: str) -> _Vectors:
    """(N, 3) from a limb's start to its end."""
    start, end = (INDEX[joint + side] for joint in limb)
    return np.asarray(joints_m[:, end] - joints_m[:, start])


def _angle(a: _Vectors, b: _Vectors) -> _Vectors:
    """(N,) radians between vectors (N, 3)."""
    # The arctangent is exact for nearly parallel vectors, where the arccosine is not.
    return np.asarray(np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(axis=1)))
