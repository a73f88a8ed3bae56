"""Rendered meets: dives with pauses, other things that move, and the truth about when each dive happened."""

from mcore_runtime.sources.rendered.connection import RenderedConnection
from mcore_runtime.sources.rendered.meet import Meet, TrueDive, plan_meet
from mcore_runtime.sources.rendered.settings import DISTRACTORS, MeetSettings, settings_of

__all__ = ["DISTRACTORS", "Meet", "MeetSettings", "RenderedConnection", "TrueDive", "plan_meet", "settings_of"]
