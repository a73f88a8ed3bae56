"""Rendered dives: each a pure function of its dive number and a seed, with awards that follow from its faults.

Example:
    >>> dive = render_dive("407C", seed=7)
    >>> write_video("dive.mp4", dive.frames, dive.plan.fps)
"""

from mcore.synthetic.plan import DEMO_NUMBERS, DivePlan, plan_dive
from mcore.synthetic.render import RenderedDive, render_dive, render_plan
from mcore.synthetic.video import write_video

__all__ = [
    "DEMO_NUMBERS",
    "DivePlan",
    "RenderedDive",
    "plan_dive",
    "render_dive",
    "render_plan",
    "write_video",
]
