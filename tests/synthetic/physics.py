"""Laws that every planned dive keeps, single or replica."""

from __future__ import annotations

import numpy as np

from mcore.diving.physics import GRAVITY_M_S2
from mcore.synthetic import DivePlan


def assert_physical(plan: DivePlan) -> None:
    """The body falls freely between the transitions, which are when the feet leave and when the water is touched."""
    flight, entry = plan.transition_frames
    center = plan.motion.center_m[flight:entry]
    assert np.allclose(np.diff(center[:, 1], 2) * plan.frames_per_second**2, -GRAVITY_M_S2, atol=1e-6)
    assert np.ptp(np.diff(center[:, 0])) < 1e-9
    lowest, board = plan.motion.joints_m[..., 1].min(1), plan.motion.board_tip_m
    assert 0 < flight < entry < plan.num_frames == len(lowest)
    assert lowest[entry] <= 1e-6
    assert (lowest[flight + 1 : entry] > 0).all()
    assert (lowest[:flight] >= board[:flight] - 1e-6).all()  # on the board, or hopping on it
