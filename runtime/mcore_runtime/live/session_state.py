"""All that a live session knows, and what an event changes of it, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mcore_runtime.competition import Competition
from mcore_runtime.live.cut_dive import CutDive
from mcore_runtime.live.events import Logged
from mcore_runtime.meet.record import MeetProgress
from mcore_runtime.session.dive import LiveDive


@dataclass(frozen=True)
class SessionState:
    """All that a session knows."""

    competition: Competition = field(default_factory=Competition)
    default_dive_number: str | None = None
    """Number of dives of which the start list says nothing; None: unknown."""
    dives: Mapping[int, LiveDive] = field(default_factory=dict)
    """Records by the dive's number; never changed in place."""
    with_scorer: frozenset[int] = frozenset()
    """Dives that are being scored, for the first time or again."""
    accept_unlike: bool = False
    """Count scores also of dives that are unlike those that the bundle knows."""
    meet: MeetProgress | None = None
    """What the meet's software has said; None: nobody listens to one."""
    hold_back: bool = False
    """Keep the score of every dive from everybody until the judges' awards are in."""

    @property
    def scores(self) -> dict[int, float]:
        """Points of the dives whose scores count and may be seen, by number."""
        dives = self.dives.items()
        return {number: dive.score for number, dive in dives if dive.score is not None and not dive.held}


@dataclass(frozen=True, eq=False)
class Change:
    """Effect of an event; all of it is saved together."""

    state: SessionState
    dives: tuple[LiveDive, ...] = ()
    """Records to be saved and shown, with what they hold now."""
    log: Logged | None = None
    keep: tuple[int, CutDive] | None = None
    """Number of a dive whose frames and video are to be kept now."""
    rescore: tuple[int, ...] = ()
    """Dives whose number or difficulty is another now: a score by that of another dive is not their score."""
