"""Rendered meets: a whole session before one camera, with the truth about when each dive happens. Torch-free.

Example:
    >>> meet = plan_meet(MeetSettings(seed=3, dives=2))
    >>> for frame in Scene(meet).frames():
    ...     show(frame)
    >>> meet.truth[0].takeoff_s
"""

from mcore.synthetic.meet.course import Meet, TrueDive, plan_meet
from mcore.synthetic.meet.scene import Scene
from mcore.synthetic.meet.settings import DISTRACTORS, MeetSettings

__all__ = ["DISTRACTORS", "Meet", "MeetSettings", "Scene", "TrueDive", "plan_meet"]
