"""How what a meet's software says changes a live session: pure functions, like ``mcore_runtime.live.state``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from mcore.common.errors import UserError
from mcore.common.typed_json import convert
from mcore_runtime.live.events import Logged, MeetHeard
from mcore_runtime.live.session_state import Change, SessionState
from mcore_runtime.meet.follow import attributed, hear
from mcore_runtime.meet.record import MeetProgress
from mcore_runtime.session.dive import DiveStatus


def heard(state: SessionState, event: MeetHeard) -> tuple[Change, tuple[int, ...]]:
    """Return what a message changes, and the entries of the start list that say something else now."""
    meet = state.meet or MeetProgress()
    found = hear(meet, state.competition, event.message, event.sender, event.time)
    dives = {
        number: replace(dive, held=False)
        if dive.held and (found.releases_all or (found.released is not None and dive.order == found.released))
        else dive
        for number, dive in state.dives.items()
    }
    told = replace(state, meet=found.meet, competition=found.competition, dives=dives)
    released = (dive for number, dive in dives.items() if dive is not state.dives[number])
    changed = tuple(dive for dive in released if dive.status is not DiveStatus.SCORING)
    log = None if found.log is None else Logged("meet", found.log)
    return Change(told, changed, log=log), found.edited


def trust_sender(state: SessionState, sender: str) -> Change:
    """Believe another computer from now on.

    Raises:
        UserError: it was not heard.
    """
    meet = state.meet
    if meet is None or sender not in meet.others:
        heard = "" if meet is None else "; heard: " + (", ".join(meet.others) or "no other")
        raise UserError(f"{sender[:60]!r} is no computer that sends about this meet{heard}")
    others = tuple(dict.fromkeys((*(other for other in meet.others if other != sender), meet.sender or "")))
    trusted = replace(meet, sender=sender, others=tuple(filter(None, others)))
    return Change(replace(state, meet=trusted), log=Logged("operator", f"believes {sender} about the meet from now on"))


def with_judges(change: Change) -> Change:
    """Bring what the judges gave to the dives that it is of, and keep to whose turn the meet says it is."""
    state = change.state
    assert state.meet is not None
    competition = state.competition
    if state.meet.leads:
        current = state.meet.current
        competition = replace(competition, current=None if current is None else current.order)
    results = attributed(state.meet, competition)
    dives = {
        number: dive
        if results.get(number) == dive.judges
        # Whoever made it a judged dive, message or operator: its awards are in, so nothing is held back any more.
        else replace(dive, judges=results.get(number), held=dive.held and number not in results)
        for number, dive in state.dives.items()
    }
    numbers = {dive.number for dive in change.dives}
    # A dive that is with the scorer for the first time is saved once it is scored.
    numbers |= {
        number
        for number, dive in dives.items()
        if dive is not state.dives[number] and dive.status is not DiveStatus.SCORING
    }
    saved = tuple(dives[number] for number in sorted(numbers))
    return replace(change, state=replace(state, competition=competition, dives=dives), dives=saved)


def led_by_hand(state: SessionState) -> SessionState:
    """The operator says whose turn it is, until the meet's next announcement."""
    return state if state.meet is None else replace(state, meet=replace(state.meet, leads=False))


def saved_meet(state: SessionState) -> Any:
    """Return as plain containers what the meet's software has said; None: nobody listened."""
    return msgspec.to_builtins(state.meet)


def restored_meet(saved: Any) -> MeetProgress | None:
    """Read what ``saved_meet`` returned; who is on the board now is known from the next announcement on.

    Raises:
        UserError: it is something else.
    """
    if saved is None:
        return None
    return replace(convert(MeetProgress, saved, "what the meet's software has said cannot be read"), announced=None)
