"""State of a live session, and how events change it: no threads, no disk, no clock.

    change = apply(state, DiveOpened(cut, now))     # change.state is the next state
    change = apply(change.state, Void(1))           # an operator's command is an event too

A dive is opened when it was cut, is with the scorer until it is scored or has failed, and can be corrected, voided and
scored again at any time, also while it is with the scorer. What the operator has said meanwhile is never overwritten.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import Any

from mcore.common.errors import UserError
from mcore.diving import DiveNumber
from mcore_runtime.competition import Competition
from mcore_runtime.live.commands import (
    Accept,
    Assign,
    Back,
    Edit,
    GoTo,
    Restore,
    Reveal,
    SetDive,
    Skip,
    StateCommand,
    TrustSender,
    Void,
)
from mcore_runtime.live.cut_dive import CutDive
from mcore_runtime.live.events import (
    DiveDoubted,
    DiveFailed,
    DiveOpened,
    DiveRescored,
    DiveScored,
    Event,
    Logged,
    MeetHeard,
    PicturesLost,
    RescoreBegun,
    RescoreFailed,
    VideoLost,
)
from mcore_runtime.live.meeting import heard, led_by_hand, trust_sender, with_judges
from mcore_runtime.live.session_state import Change, SessionState
from mcore_runtime.meet.follow import take
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.session.dive import SCORED_AGAIN, DiveStatus, LiveDive
from mcore_runtime.session.rescoring import check_scorable

_FINAL = (DiveStatus.SCORED, DiveStatus.UNLIKE, DiveStatus.FAILED)
"""A dive that is one of these can be scored again."""


def apply(state: SessionState, event: Event) -> Change:
    """Return what an event does to a state.

    Raises:
        UserError: it is not possible now.
    """
    change = _apply(state, event)
    return change if change.state.meet is None else with_judges(change)


def _apply(state: SessionState, event: Event) -> Change:
    match event:
        case DiveOpened():
            return _open(state, event)
        case DiveScored():
            return _score(state, event)
        case DiveFailed():
            dive = replace(state.dives[event.number], created=event.created, reasons=(event.reason,))
            return _close(state, _without_score(dive, DiveStatus.FAILED), event.cut)
        case DiveDoubted(number, reason):
            dive = state.dives[number]
            noted = replace(dive, notes=(*dive.notes, reason))
            return replace(_changed(state, noted), log=Logged("detector", f"dive {number}: {reason}"))
        case RescoreBegun(number):
            check_rescorable(state, number)
            return Change(
                replace(state, with_scorer=state.with_scorer | {number}),
                log=Logged("operator", f"had dive {number} scored again"),
            )
        case DiveRescored(dive):
            return _rescored(state, dive)
        case RescoreFailed():
            return _rescore_failed(state, event)
        case VideoLost(number, reason):
            dive = state.dives[number]
            notes = (*dive.notes, f"no video was kept: {reason}")
            return _changed(state, replace(dive, recording=None, recording_start_s=None, notes=notes))
        case PicturesLost(number, reason):
            dive = state.dives[number]
            return _changed(state, replace(dive, notes=(*dive.notes, f"its pictures cannot be drawn: {reason}")))
        case MeetHeard():
            change, edited = heard(state, event)
            followed = _follow_entries(change, orders=edited)
            return replace(followed, dives=(*change.dives, *followed.dives))
        case Logged():
            return Change(state, log=event)
        case _:
            return _command(state, event)


def check_rescorable(state: SessionState, number: int) -> LiveDive:
    """Return a dive that may be scored again.

    Raises:
        UserError: there is no such dive, it is being scored, or must not be.
    """
    dive = _find(state, number)
    if dive.status is DiveStatus.SCORING:
        raise UserError(f"dive {number} is being scored; wait for its score")
    check_scorable(dive)
    return dive


def saved_state(state: SessionState) -> dict[str, Any]:
    """Return as plain containers what a store keeps besides the records of dives that are scored, and the meet."""
    unscored = [dive.to_json() for dive in state.dives.values() if _is_unscored(dive)]
    return {**state.competition.to_json(), "dive_number": state.default_dive_number, "scoring": unscored}


def restored_session(dives: Iterable[LiveDive], saved: Mapping[str, Any]) -> SessionState:
    """Return the state of a session that goes on; dives that were being scored will never be.

    Args:
        dives: records of the store.
        saved: what ``saved_state`` returned; empty: nothing was saved.

    Raises:
        UserError: the saved start list or a dive cannot be read.
    """
    unscored = [LiveDive.from_json(values, "a dive that was being scored") for values in saved.get("scoring", ())]
    kept = {dive.number: dive for dive in (*unscored, *dives)}  # the store's are never older
    return SessionState(
        competition=Competition.from_json(saved),
        default_dive_number=saved.get("dive_number"),
        dives={
            number: _failed_by_restart(dive) if _is_unscored(dive) else dive for number, dive in sorted(kept.items())
        },
    )


def parse_dive_number(text: str | None) -> str | None:
    """Return a dive number as the rules spell it; None stays None.

    Raises:
        DiveNumberError: not a dive number.
    """
    return None if text is None else DiveNumber.parse(text).text


def _open(state: SessionState, event: DiveOpened) -> Change:
    cut, number = event.cut, max(state.dives, default=0) + 1
    competition, notes, held = state.competition, cut.notes, state.hold_back
    if state.meet is not None and state.meet.leads:
        taken = take(state.meet, competition, number, event.created)
        competition, notes, held = taken.competition, (*notes, *taken.notes), held and not taken.is_judged
    else:
        competition = competition.add_dive(number)
    is_invalid = bool(cut.reasons) or cut.clip is None
    dive = LiveDive(
        number=number,
        status=DiveStatus.INVALID if is_invalid else DiveStatus.SCORING,
        dive_number=None,
        found_by=cut.found_by,
        created=event.created,
        source=cut.source,
        start_s=cut.start_s,
        end_s=cut.end_s,
        takeoff_s=cut.takeoff_s,
        entry_s=cut.entry_s,
        dropped=cut.dropped,
        reasons=cut.reasons,
        notes=notes,
        recording_start_s=cut.video_start_s,
        held=held,
    )
    opened = replace(state, competition=competition, with_scorer=state.with_scorer | {number})
    dive = _with_entry_of(opened, dive)
    if is_invalid:
        return _close(opened, _without_score(dive, DiveStatus.INVALID), cut)
    # It becomes a record of its own with its score; until then it is saved with the competition.
    return Change(_with_dive(opened, dive))


def _score(state: SessionState, event: DiveScored) -> Change:
    before = state.dives[event.number]
    notes = before.notes
    scored_as = event.result.dive_number
    if scored_as != before.dive_number:  # corrected while it was with the scorer
        notes = (*notes, f"was scored as {scored_as or 'unknown'}; score it again")
    elif not _has_difficulty_of_entry(state, event.number, event.result):
        notes = (*notes, f"was scored with difficulty {event.result.difficulty}; score it again")
    dive = replace(before, notes=notes, time_to_score_ms=event.time_to_score_ms, created=event.created)
    return _close(state, dive.judged(event.result, accept_unlike=state.accept_unlike), event.cut)


def _close(state: SessionState, dive: LiveDive, cut: CutDive) -> Change:
    """A dive is done with, and its frames and its video are to be kept."""
    if cut.video is not None:
        dive = replace(dive, recording=f"clips/dive-{dive.number:04d}.mp4")
    settled = replace(state, with_scorer=state.with_scorer - {dive.number})
    return replace(_changed(settled, dive), keep=(dive.number, cut))


def _rescored(state: SessionState, new: LiveDive) -> Change:
    old = state.dives[new.number]
    assert new.result is not None
    # Whose dive it is, and whether it counts, may have been corrected meanwhile, and remarks may have come: the new
    # record knows nothing of that. All that it adds to the remarks is that the dive was scored again.
    kept = (note for note in old.notes if not note.startswith(SCORED_AGAIN))
    added = (note for note in new.notes if note.startswith(SCORED_AGAIN))
    dive = replace(
        new,
        notes=(*kept, *added),
        order=old.order,
        athlete=old.athlete,
        club=old.club,
        recording=old.recording,
        recording_start_s=old.recording_start_s,
        status=old.status,
        status_before=old.status_before,
        judges=old.judges,
        held=old.held,
    )
    settled = replace(state, with_scorer=state.with_scorer - {new.number})
    return _changed(settled, dive.judged(new.result, accept_unlike=state.accept_unlike or old.is_accepted))


def _rescore_failed(state: SessionState, event: RescoreFailed) -> Change:
    old = state.dives[event.number]
    settled = replace(state, with_scorer=state.with_scorer - {event.number})
    log = Logged("scorer", f"dive {event.number} could not be scored again: {event.reason}")
    if old.status is not DiveStatus.FAILED:
        return Change(settled, log=log)
    return replace(_changed(settled, replace(old, reasons=(event.reason,))), log=log)


def _command(state: SessionState, command: StateCommand) -> Change:
    competition = state.competition
    match command:
        case Skip():
            skipped, competition = competition.current_entry, competition.skip()
            assert skipped is not None
            return _compete(led_by_hand(state), competition, f"skipped {skipped.order}, {skipped.athlete}")
        case Back():
            return _moved_to_entry(led_by_hand(state), competition.back(), "went back to")
        case GoTo(order):
            return _moved_to_entry(led_by_hand(state), competition.go_to(order), "went to")
        case Edit(order):
            competition = competition.edit(order, command.changes)
            edited = next(entry for entry in competition.entries if entry.order == order)
            text = f"edited {order}: " + ", ".join(f"{name} {getattr(edited, name)}" for name in command.changes)
            return _follow_entries(_compete(state, competition, text), orders=[order])
        case Assign(number, order):
            _find(state, number)
            text = f"gave dive {number} to " + ("nobody" if order is None else f"entry {order}")
            return _follow_entries(_compete(state, competition.assign(number, order), text), numbers=[number])
        case SetDive(dive_number):
            number_text = parse_dive_number(dive_number)
            log = Logged("operator", f"set the dive number to {number_text or 'unknown'}")
            return Change(replace(state, default_dive_number=number_text), log=log)
        case Void(number):
            return _void(state, number)
        case Reveal(number):
            dive = _find(state, number)
            if not dive.held:
                raise UserError(f"the score of dive {number} is not held back")
            log = Logged("operator", f"showed the score of dive {number} before the awards were in")
            return replace(_changed(state, replace(dive, held=False)), log=log)
        case TrustSender(sender):
            return trust_sender(state, sender)
        case Accept(number):
            return _accept(state, number)
        case Restore(number):
            dive = _find(state, number)
            if dive.status is not DiveStatus.VOID:
                raise UserError(f"dive {number} is {dive.status.value}, not void")
            assert dive.status_before is not None
            restored = _with_dive(state, replace(dive, status=dive.status_before, status_before=None))
            change = _compete(restored, competition.restore(number), f"restored dive {number}")
            if change.state.competition.entry_of(number) is not None:
                change = _follow_entries(change, numbers=[number])  # it may have been corrected meanwhile
            # Saved also where it waits for its first score: its newest record says that it is void.
            return replace(change, dives=(change.state.dives[number],))


def _moved_to_entry(state: SessionState, competition: Competition, text: str) -> Change:
    entry = competition.current_entry
    assert entry is not None
    return _compete(state, competition, f"{text} {entry.order}, {entry.athlete}")


def _void(state: SessionState, number: int) -> Change:
    dive = _find(state, number)
    if dive.status is DiveStatus.VOID:
        raise UserError(f"dive {number} is void already")
    competition = state.competition.make_void(number)
    entry = competition.current_entry
    is_repeated = entry is not None and entry.order == dive.order
    again = f"; {entry.order}, {entry.athlete} dives again" if entry is not None and is_repeated else ""
    change = _compete(state, competition, f"voided dive {number}{again}")
    return replace(
        _changed(change.state, replace(dive, status=DiveStatus.VOID, status_before=dive.status)), log=change.log
    )


def _accept(state: SessionState, number: int) -> Change:
    dive = _find(state, number)
    if dive.status is not DiveStatus.UNLIKE:
        raise UserError(f"dive {number} is {dive.status.value}, not unlike the known dives: there is nothing to accept")
    note = f"accepted by the operator, although unlike the known dives: {'; '.join(dive.reasons)}"
    accepted = replace(dive, status=DiveStatus.SCORED, reasons=(), notes=(*dive.notes, note))
    return replace(_changed(state, accepted), log=Logged("operator", f"accepted dive {number}"))


def _compete(state: SessionState, competition: Competition, text: str) -> Change:
    return Change(replace(state, competition=competition), log=Logged("operator", text))


def _follow_entries(change: Change, orders: Container[int | None] = (), numbers: Container[int] = ()) -> Change:
    """Bring the dives of some entries, and some other dives, up to date with the start list."""
    state, changed, rescore = change.state, list[LiveDive](), list[int]()
    for number, before in change.state.dives.items():
        if before.status is DiveStatus.VOID or (before.order not in orders and number not in numbers):
            continue  # a void dive has no entry until it is restored
        after = _with_entry_of(state, before)
        state = _with_dive(state, after)
        # A dive that is with the scorer for the first time is saved once it is scored.
        changed += [] if after.status is DiveStatus.SCORING else [after]
        is_same = after.dive_number == before.dive_number and _has_difficulty_of_entry(state, number, after.result)
        if not is_same and after.status in _FINAL:
            rescore.append(number)
    return replace(change, state=state, dives=tuple(changed), rescore=tuple(rescore))


def _with_entry_of(state: SessionState, dive: LiveDive) -> LiveDive:
    entry = state.competition.entry_of(dive.number)
    if entry is None:
        return replace(dive, order=None, athlete="", club="", dive_number=state.default_dive_number)
    number = entry.dive_number or state.default_dive_number
    return replace(dive, order=entry.order, athlete=entry.athlete, club=entry.club, dive_number=number)


def _has_difficulty_of_entry(state: SessionState, number: int, result: DiveScore | None) -> bool:
    """Return whether a result was made with the difficulty that the start list gives, if it gives one."""
    given = state.competition.difficulty_of(number)
    return result is None or given is None or given == result.difficulty


def _without_score(dive: LiveDive, status: DiveStatus) -> LiveDive:
    """Set a dive's status; one that is void meanwhile stays so, and would be this again."""
    return replace(dive, status_before=status) if dive.status is DiveStatus.VOID else replace(dive, status=status)


def _with_dive(state: SessionState, dive: LiveDive) -> SessionState:
    return replace(state, dives={**state.dives, dive.number: dive})


def _changed(state: SessionState, dive: LiveDive) -> Change:
    return Change(_with_dive(state, dive), (dive,))


def _find(state: SessionState, number: int) -> LiveDive:
    if number not in state.dives:
        raise UserError(f"there is no dive {number}")
    return state.dives[number]


def _is_unscored(dive: LiveDive) -> bool:
    return DiveStatus.SCORING in (dive.status, dive.status_before)


def _failed_by_restart(dive: LiveDive) -> LiveDive:
    """Say of a dive that it will never be scored; it may be void besides."""
    reasons = (*dive.reasons, "the program ended while it was being scored; its frames are lost")
    if dive.status is DiveStatus.VOID:
        return replace(dive, status_before=DiveStatus.FAILED, reasons=reasons)
    return replace(dive, status=DiveStatus.FAILED, reasons=reasons)
