"""Events of a live session: what happens to its dives, and what an operator commands."""

from __future__ import annotations

from dataclasses import dataclass

from mcore_runtime.live.commands import StateCommand
from mcore_runtime.live.cut_dive import CutDive
from mcore_runtime.meet.message import Message
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.session.dive import LiveDive


@dataclass(frozen=True, eq=False)
class DiveOpened:
    """A dive was cut; it is the current entry's."""

    cut: CutDive
    created: str
    """Time of this event, ISO 8601, UTC."""


@dataclass(frozen=True, eq=False)
class DiveScored:
    """A dive has its first score."""

    number: int
    result: DiveScore
    time_to_score_ms: float
    created: str
    cut: CutDive


@dataclass(frozen=True, eq=False)
class DiveFailed:
    """A dive could not be scored."""

    number: int
    reason: str
    created: str
    cut: CutDive


@dataclass(frozen=True)
class DiveDoubted:
    """The detector sees by now that a dive may have been none; whether it counts is the operator's decision."""

    number: int
    reason: str


@dataclass(frozen=True)
class RescoreBegun:
    """A dive is with the scorer again."""

    number: int


@dataclass(frozen=True)
class DiveRescored:
    """A dive has another score, from the frames that were kept."""

    dive: LiveDive
    """As ``mcore_runtime.session.rescoring.rescore`` returned it."""


@dataclass(frozen=True)
class RescoreFailed:
    """A dive could not be scored again, and keeps what it had."""

    number: int
    reason: str


@dataclass(frozen=True)
class VideoLost:
    """A dive's video could not be written."""

    number: int
    reason: str


@dataclass(frozen=True)
class PicturesLost:
    """A dive's pictures could not be drawn."""

    number: int
    reason: str


@dataclass(frozen=True)
class MeetHeard:
    """The meet's software said something."""

    message: Message
    sender: str
    """Address of the computer that sent it."""
    time: str
    """Time at which it came, ISO 8601, UTC."""


@dataclass(frozen=True)
class Logged:
    """Something happened besides dives, which is kept and changes nothing."""

    kind: str
    """Origin of the line, such as ``source``, ``operator`` or ``scorer``."""
    text: str


Event = (
    DiveOpened
    | DiveScored
    | DiveFailed
    | DiveDoubted
    | RescoreBegun
    | DiveRescored
    | RescoreFailed
    | VideoLost
    | PicturesLost
    | MeetHeard
    | Logged
    | StateCommand
)
