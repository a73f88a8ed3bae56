"""Poses of drawn divers as a camera sees them: targets that a backbone can learn from every single frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore.synthetic.body import INDEX

_LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "hand"))
NUM_TARGETS = 2 + 4 * len(_LIMBS)
"""Numbers that describe a pose."""
MIRRORED = (0, *range(2, NUM_TARGETS, 4))
"""Those that change their sign where the picture is mirrored left to right."""
_SUNK_M = -0.6
"""Depth of the lowest joint from which a diver is hardly seen."""


def limb_directions(joints_m: NDArray[np.float64]) -> NDArray[np.float32]:
    """Describe poses by where trunk and limbs point in the picture.

    Left and right look alike from the side. So each pair of limbs is told by its mean and by how far it is apart,
    which do not depend on which is which.

    Args:
        joints_m: (N, joints, 3) as the camera sees them: x to the right of the picture, y up.

    Returns:
        (N, 18) metres: x and y of the trunk, then of each pair of limbs x and y of the mean and of the absolute
        difference; NaN where the diver is under water.
    """

    def along(start: str, end: str) -> NDArray[np.float64]:
        return np.asarray(joints_m[:, INDEX[end], :2] - joints_m[:, INDEX[start], :2])

    columns = [along("pelvis", "neck")]
    for start, end in _LIMBS:
        left, right = along(f"{start}_l", f"{end}_l"), along(f"{start}_r", f"{end}_r")
        columns += [(left + right) / 2, np.abs(left - right)]
    poses = np.concatenate(columns, axis=1).astype(np.float32)
    poses[joints_m[..., 1].min(axis=1) < _SUNK_M] = np.nan
    return poses
