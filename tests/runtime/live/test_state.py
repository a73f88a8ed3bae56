"""The state of a session as pure functions: what each event does, without threads and disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mcore.common.errors import UserError
from mcore_runtime.competition import Competition, Entry
from mcore_runtime.live.commands import Assign, Edit, GoTo, Restore, SetDive, Skip, Void
from mcore_runtime.live.cut_dive import CutDive
from mcore_runtime.live.events import (
    DiveDoubted,
    DiveFailed,
    DiveOpened,
    DiveRescored,
    DiveScored,
    Event,
    Logged,
    RescoreBegun,
    RescoreFailed,
    VideoLost,
)
from mcore_runtime.live.session_state import Change, SessionState
from mcore_runtime.live.state import apply, restored_session, saved_state
from mcore_runtime.scoring.result import BackendFacts, DiveScore, ExemplarComparison, VideoFacts
from mcore_runtime.session import DiveStatus, FoundBy
from mcore_runtime.session.dive import SCORED_AGAIN
from tests.runtime.session.made import noise

NOW = "2026-11-23T12:00:00.000+00:00"
ENTRIES = (Entry(1, "Ada", "North", "407C"), Entry(2, "Bo", "South", None), Entry(3, "Cy"))


def cut(*reasons: str, video: bytes | None = b"mp4") -> CutDive:
    return CutDive(
        found_by=FoundBy.MOTION, source="camera://0", clip=noise(1), start_s=1.0, end_s=4.0, takeoff_s=2.0, entry_s=3.0,
        arrived_s=0.0, dropped=0, reasons=reasons, notes=(), video=video, video_start_s=0.5,
    )  # fmt: skip


CUT = cut()
OPENED = DiveOpened(CUT, NOW)


def result(score: float = 70.0, dive_number: str | None = "407C") -> DiveScore:
    return DiveScore(
        score=score, low=None, high=None, dive_number=dive_number, description=None, difficulty=None,
        same_dive_number=True, transitions=(2, 5), transitions_s=(0.5, 1.5), stage_deltas=(0.0, 0.0, 0.0),
        exemplars=(ExemplarComparison("e", "407C", 60.0, score - 60.0, score),), timing_ms={"total": 1.0},
        video=VideoFacts("camera://0", "pyav", 64, 48, 60, 3.0),
        backend=BackendFacts("onnxruntime", "CPU", "fp32", "0" * 64),
    )  # fmt: skip


def scored(number: int = 1, scored_as: str | None = "407C", score: float = 70.0) -> DiveScored:
    return DiveScored(number, result(score, scored_as), 120.0, NOW, CUT)


def after(*events: Event, entries: Sequence[Entry] = ENTRIES) -> Change:
    change = Change(SessionState(Competition.begin(entries)))
    for event in events:
        change = apply(change.state, event)
    return change


def test_a_dive_is_the_current_entrys_and_a_record_of_its_own_once_it_is_scored() -> None:
    opened = after(OPENED)
    dive = opened.state.dives[1]
    assert (dive.status, dive.athlete, dive.dive_number, dive.order) == (DiveStatus.SCORING, "Ada", "407C", 1)
    assert not opened.dives
    assert opened.keep is None
    assert opened.state.with_scorer == {1}
    done = after(OPENED, scored())
    (dive,) = done.dives
    assert (dive.status, dive.score, dive.recording) == (DiveStatus.SCORED, 70.0, "clips/dive-0001.mp4")
    assert (done.keep, done.state.with_scorer, done.state.scores) == ((1, CUT), frozenset(), {1: 70.0})
    assert done.state.competition.current == 2


def test_a_dive_that_must_not_or_cannot_be_scored_says_why() -> None:
    invalid = after(DiveOpened(cut("a gap", video=None), NOW))
    assert [(dive.status, dive.reasons, dive.recording) for dive in invalid.dives] == [
        (DiveStatus.INVALID, ("a gap",), None)
    ]
    assert invalid.state.with_scorer == frozenset()
    failed = after(OPENED, DiveFailed(1, "no device", NOW, CUT))
    assert [(dive.status, dive.reasons) for dive in failed.dives] == [(DiveStatus.FAILED, ("no device",))]
    again = apply(failed.state, RescoreFailed(1, "still no device"))
    assert again.dives[0].reasons == ("still no device",)


@pytest.mark.parametrize(
    ("ended", "status"),
    [(scored(), DiveStatus.SCORED), (DiveFailed(1, "no device", NOW, CUT), DiveStatus.FAILED)],
)
def test_what_the_operator_says_of_a_dive_that_is_with_the_scorer_stays(ended: Event, status: DiveStatus) -> None:
    meanwhile = (Edit(1, athlete="Zoë", dive_number="5253B"), Void(1))
    change = after(OPENED, *meanwhile, ended)
    (dive,) = change.dives
    assert (dive.status, dive.status_before, dive.athlete, dive.dive_number) == (
        DiveStatus.VOID, status, "Zoë", "5253B",
    )  # fmt: skip
    assert (dive.notes == ("was scored as 407C; score it again",)) == (status is DiveStatus.SCORED)
    assert change.state.competition.current == 1, "its athlete dives again"
    restored = apply(change.state, Restore(1))
    assert [dive.status for dive in restored.dives] == [status]


def test_a_void_dive_counts_no_more_until_it_is_restored() -> None:
    void = after(OPENED, scored(), Void(1))
    assert (void.state.scores, void.state.competition.current) == ({}, 1)
    assert after(OPENED, scored(), Void(1), Restore(1)).state == after(OPENED, scored()).state
    for event, words in ((Void(1), "void already"), (RescoreBegun(1), "void; restore it first")):
        with pytest.raises(UserError, match=words):
            apply(void.state, event)


@pytest.mark.parametrize("before", [(OPENED,), (OPENED, scored()), (OPENED, scored(), Void(1))])
def test_a_dive_that_may_be_a_replay_says_so_and_is_the_operators_to_void(before: tuple[Event, ...]) -> None:
    change = after(*before, DiveDoubted(1, "may be slow motion"))
    (dive,) = change.dives
    assert dive == replace(after(*before).state.dives[1], notes=("may be slow motion",))
    assert change.log == Logged("detector", "dive 1: may be slow motion")


def test_a_restored_dive_follows_what_was_corrected_while_it_was_void() -> None:
    void = after(OPENED, scored(), Void(1), Edit(1, athlete="Zoë", dive_number="5253B"))
    assert (void.state.dives[1].athlete, void.dives) == ("Ada", ())
    restored = apply(void.state, Restore(1))
    assert [(dive.athlete, dive.dive_number) for dive in restored.dives] == [("Zoë", "5253B")]
    assert restored.rescore == (1,)


def test_a_restored_dive_that_is_still_with_the_scorer_waits_for_its_score() -> None:
    assert after(OPENED, Void(1), Restore(1), scored()).dives[0].status is DiveStatus.SCORED


@pytest.mark.parametrize(
    ("command", "number", "again"),
    [
        (Edit(1, dive_number="107B"), "107B", (1,)),
        (Edit(1, club="West"), "407C", ()),
        (Edit(2, dive_number="107B"), "407C", ()),
        (Assign(1, 2), None, (1,)),
        (Assign(1, None), None, (1,)),
        (SetDive("107b"), "407C", ()),
        (Edit(1, difficulty=3.2), "407C", (1,)),
        (Edit(2, difficulty=3.2), "407C", ()),
    ],
)
def test_a_dive_with_another_number_or_difficulty_is_to_be_scored_again(
    command: Any, number: str | None, again: Any
) -> None:
    change = after(OPENED, scored(), command)
    assert (change.state.dives[1].dive_number, change.rescore) == (number, again)
    assert change.log is not None


def test_another_score_takes_the_place_of_the_first_whoever_the_dive_belongs_to_now() -> None:
    first = after(OPENED, scored(), RescoreBegun(1), Assign(1, 3))
    new = after(OPENED, scored(score=80.0)).dives[0]
    change = apply(first.state, DiveRescored(new))
    (dive,) = change.dives
    assert (dive.score, dive.athlete, dive.order, change.state.with_scorer) == (80.0, "Cy", 3, frozenset())


def test_remarks_that_come_while_a_dive_is_scored_again_are_kept() -> None:
    begun = (OPENED, scored(), DiveDoubted(1, "may be a replay"), RescoreBegun(1))
    before = after(*begun).state.dives[1]
    again = f"{SCORED_AGAIN} on 2026-12-01"
    rescored = DiveRescored(replace(before, notes=(*before.notes, again)))
    meanwhile = (DiveDoubted(1, "may be slow motion"), VideoLost(1, "the disk is full"))
    (dive,) = after(*begun, *meanwhile, rescored).dives
    assert dive.notes == ("may be a replay", "may be slow motion", "no video was kept: the disk is full", again)
    (dive,) = after(*begun, *meanwhile, rescored, RescoreBegun(1), rescored).dives
    assert dive.notes.count(again) == 1


def test_a_lost_video_is_noted() -> None:
    (dive,) = after(OPENED, scored(), VideoLost(1, "the disk is full")).dives
    assert (dive.recording, dive.notes) == (None, ("no video was kept: the disk is full",))


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Void(2), "no dive 2"),
        (Restore(1), "scoring, not void"),
        (RescoreBegun(1), "is being scored"),
        (GoTo(9), "allowed: 1 to 3"),
        (Edit(1, difficulty=9.0), "0.9 to 6"),
        (SetDive("12"), "not a dive number"),
        (Assign(7, None), "no dive 7"),
    ],
)
def test_what_is_not_possible_is_said(event: Event, words: str) -> None:
    with pytest.raises(UserError, match=words):
        after(OPENED, event)


def test_a_saved_session_goes_on_and_dives_that_were_being_scored_never_will_be() -> None:
    state = after(OPENED, scored(), SetDive("107B"), OPENED, Skip()).state
    saved = saved_state(state)
    again = restored_session([state.dives[1]], saved)
    assert (again.competition, again.default_dive_number) == (state.competition, "107B")
    assert again.dives[1] == state.dives[1]
    assert again.dives[2].status is DiveStatus.FAILED
    assert "its frames are lost" in again.dives[2].reasons[0]
    finished = apply(state, scored(2, "107B")).state
    assert restored_session(finished.dives.values(), saved).dives == finished.dives, "the store's records are newer"
