"""Whose dive it was, and whose result: what a meet says and a camera sees, in every order in which both can come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mcore.common.errors import UserError
from mcore.diving import Penalty
from mcore_runtime.competition import Competition, Entry
from mcore_runtime.competition.entry import EntryState
from mcore_runtime.live.commands import Assign, Edit, GoTo, Reveal, Skip, TrustSender, Void
from mcore_runtime.live.events import DiveOpened, DiveScored, Event, MeetHeard
from mcore_runtime.live.meeting import restored_meet, saved_meet
from mcore_runtime.live.session_state import Change, SessionState
from mcore_runtime.live.snapshot import state_part
from mcore_runtime.live.state import apply
from mcore_runtime.meet.message import EventEnd, Message
from mcore_runtime.meet.record import MeetProgress
from mcore_runtime.session import DiveStatus
from tests.runtime.live.test_state import CUT, result
from tests.runtime.meet.made import announced, judged

ADA, BO = announced(), announced("Bo Sample", start_number=2, dive_number="205B", difficulty=3.0)
BO_JUDGED = judged(BO, 63.0)
AGAIN, CY = replace(ADA, attempt=2), announced("Cy", start_number=1)
A, B, A_OPEN, NOBODY = ("Ada Example", 71.4), ("Bo Sample", 63.0), ("Ada Example", None), ("", None)


class Meet:
    """A session that hears a meet: messages come and dives are seen, a minute apart if nothing else is said."""

    def __init__(self, entries: Sequence[Entry] = (), *, hold_back: bool = True) -> None:
        self.state = SessionState(Competition.begin(entries), meet=MeetProgress(), hold_back=hold_back)
        self.seconds = 0.0
        self.last = Change(self.state)

    def then(self, *events: Event | Message | str, sender: str = "10.0.0.1", after_s: float = 60.0) -> Meet:
        """Let something happen; "dive": the camera sees one, which is scored at once."""
        for event in events:
            self.seconds += after_s
            minutes, seconds = divmod(self.seconds, 60)
            now = f"2026-12-01T10:{int(minutes):02d}:{seconds:06.3f}+00:00"
            if isinstance(event, str):
                self._do(DiveOpened(CUT, now))
                number = max(self.state.dives)
                scored_as = self.state.dives[number].dive_number
                self._do(DiveScored(number, result(70.0 + number, scored_as), 120.0, now, CUT))
            else:
                is_message = not isinstance(event, Skip | GoTo | Void | Assign | Reveal | TrustSender | Edit)
                self._do(MeetHeard(event, sender, now) if is_message else event)  # type: ignore[arg-type]
        return self

    def _do(self, event: Event) -> None:
        self.last = apply(self.state, event)
        self.state = self.last.state

    @property
    def given(self) -> dict[int, tuple[str, float | None]]:
        """By the dive's number: whose it is, and the judges' points."""
        return {
            number: (dive.athlete, None if dive.judges is None else dive.judges.points)
            for number, dive in self.state.dives.items()
        }

    @property
    def part(self) -> dict[str, Any]:
        found = state_part(self.state)
        return {**found["meet"], "dives": found["dives"], "current": found["current"], "ranking": found["ranking"]}

    @property
    def questions(self) -> list[str]:
        return list(self.part["open_questions"])


def test_an_evening_as_it_should_be() -> None:
    meet = Meet().then(ADA, "dive", judged(), BO, "dive", BO_JUDGED)
    assert meet.given == {1: ("Ada Example", 71.4), 2: ("Bo Sample", 63.0)}
    assert [dive.dive_number for dive in meet.state.dives.values()] == ["407C", "205B"]
    assert [entry.difficulty for entry in meet.state.competition.entries] == [3.4, 3.0]
    assert not meet.questions
    compared = meet.part["agreement"]
    assert (compared["dives"], compared["bias"]) == (2, pytest.approx((71 - 71.4 + 72 - 63) / 2))
    assert compared["rank_correlation"] is None
    assert [dive.number for dive in meet.last.dives] == [2]


def test_no_score_is_shown_before_the_awards_are_in() -> None:
    meet = Meet().then(ADA, "dive")
    (row,) = meet.part["dives"]
    assert (row["status"], row["score"], row["low"], row["award"], row["held"]) == ("held", None, None, None, True)
    assert meet.state.dives[1].status is DiveStatus.SCORED
    assert "71" not in str(meet.state.dives[1].to_shown_json()["result"])
    assert not meet.part["ranking"]
    again = replace(meet.state.dives[1], notes=("seen twice", "scored again on 1 December; before: 71.0"))
    assert (again.shown_notes, again.to_shown_json()["notes"]) == (["seen twice"], ["seen twice"])
    meet.then(replace(judged(), awards=(7.0, 7.5, None, None, None, None, None), points=None))
    assert meet.part["dives"][0]["held"]
    meet.then(judged())
    assert (meet.part["dives"][0]["score"], meet.part["dives"][0]["status"]) == (71.0, "scored")
    assert meet.part["ranking"][0]["total"] == 71.0
    (saved,) = meet.last.dives
    assert not saved.held
    with pytest.raises(UserError, match="not held back"):
        apply(meet.state, Reveal(1))


def test_a_score_can_be_shown_earlier() -> None:
    assert Meet().then(ADA, "dive", Reveal(1)).part["dives"][0]["score"] == 71.0
    assert Meet(hold_back=False).then(ADA, "dive").part["dives"][0]["score"] == 71.0
    assert Meet().then(ADA, "dive", EventEnd("A", "DR1")).part["dives"][0]["score"] == 71.0


@pytest.mark.parametrize(
    ("happens", "given", "question"),
    [
        # Two dives while one is announced: one is a false alarm, or the first was repeated.
        ((ADA, "dive", "dive", judged()), {1: A_OPEN, 2: A_OPEN}, "dives 1, 2 were found"),
        ((ADA, "dive", "dive", judged(), Void(1)), {1: A_OPEN, 2: A}, None),
        ((ADA, "dive", "dive", Assign(2, None), judged()), {1: A, 2: NOBODY}, None),
        # A dive that the camera missed.
        ((ADA, judged(), BO, "dive", BO_JUDGED), {1: B}, "no dive was found"),
        # Seen between the awards and the next announcement: whose it is nobody knows.
        ((ADA, "dive", judged(), "dive", BO), {1: A, 2: NOBODY}, None),
        ((ADA, "dive", judged(), "dive", BO, BO_JUDGED, Assign(2, 2)), {1: A, 2: B}, None),
        # Seen before anybody was announced, and after the end.
        (("dive", ADA, "dive", judged()), {1: NOBODY, 2: A}, None),
        ((ADA, "dive", judged(), EventEnd("A", "DR1"), "dive"), {1: A, 2: NOBODY}, None),
        # A scratched diver, and one who comes back later.
        ((ADA, BO, "dive", BO_JUDGED), {1: B}, None),
        ((ADA, BO, "dive", BO_JUDGED, ADA, "dive", judged()), {1: B, 2: A}, None),
        # Awards that come, or are corrected, when the next diver is announced already.
        ((ADA, "dive", BO, judged(), "dive", BO_JUDGED), {1: A, 2: B}, None),
        ((ADA, "dive", judged(), BO, judged(points=70.0), "dive", BO_JUDGED), {1: ("Ada Example", 70.0), 2: B}, None),
        # A sender that begins again and says all once more, with and without the awards being gone in between.
        ((ADA, "dive", judged(), ADA, judged(), BO, "dive", BO_JUDGED), {1: A, 2: B}, None),
        ((ADA, "dive", ADA, judged(), judged()), {1: A}, None),
        # A dive that is repeated after its awards: the second one counts.
        ((ADA, "dive", judged(), AGAIN, "dive", judged(AGAIN, 68.0)), {1: A_OPEN, 2: ("Ada Example", 68.0)}, None),
        ((ADA, "dive", AGAIN, "dive", judged(AGAIN)), {1: A_OPEN, 2: A}, None),
        # It is repeated, and the sender begins again after that.
        (
            (ADA, "dive", judged(), AGAIN, "dive", judged(AGAIN, 68.0), ADA, judged(AGAIN, 68.0)),
            {1: A_OPEN, 2: ("Ada Example", 68.0)},
            None,
        ),
        # It is repeated, and the camera misses the second: the first is not what was judged.
        ((ADA, "dive", judged(), ADA, judged(points=50.0)), {1: A_OPEN}, "no dive was found"),
        # The first announcement was lost on the network.
        ((ADA, "dive", judged(), BO_JUDGED), {1: A}, "Bo Sample"),
        # A start number that passes to another diver, and the same diver in another event.
        ((ADA, CY, "dive", judged(CY)), {1: ("Cy", 71.4)}, None),
        ((ADA, "dive", judged(), replace(ADA, event_name="Mixed"), "dive"), {1: A, 2: A_OPEN}, None),
    ],
)  # fmt: skip
def test_nothing_is_lost_and_nothing_is_anothers(
    happens: tuple[Any, ...], given: dict[int, tuple[str, float | None]], question: str | None
) -> None:
    # What was seen before the first announcement belongs to nobody only where a meet leads.
    begun = Meet() if happens[0] != "dive" else Meet().then(EventEnd("A", "DR1"))
    meet = begun.then(*happens)
    assert meet.given == given
    assert [question in text for text in meet.questions if question is not None] == [True] * (question is not None)
    assert question is not None or not meet.questions


def test_a_dive_is_reported_a_moment_after_its_awards() -> None:
    meet = Meet().then(ADA, judged()).then("dive", after_s=2.0)
    assert meet.given == {1: ("Ada Example", 71.4)}
    assert not meet.part["dives"][0]["held"]
    assert Meet().then(ADA, judged()).then("dive", after_s=4.0).given == {1: ("", None)}


def test_only_the_scores_of_judged_dives_are_released() -> None:
    meet = Meet().then(ADA, "dive", BO, "dive")
    assert [row["held"] for row in meet.part["dives"]] == [True, True]
    meet.then(judged())  # late: the judges have not seen Bo's awards yet
    assert [row["held"] for row in meet.part["dives"]] == [False, True]
    meet.then(BO_JUDGED)
    assert [row["held"] for row in meet.part["dives"]] == [False, False]


def test_the_meet_is_right_and_the_start_list_says_who_is_meant() -> None:
    entries = (
        Entry(1, "SAMPLE Bo", "South", "107B", 3.1, 1),
        Entry(2, "Éxample, Ada", "", "405C", 2.7, 1),
        Entry(3, "Ada Example", "", "407C", 3.4, 2),
    )
    meet = Meet(entries).then(ADA, "dive", judged())
    assert meet.part["announced"]["order"] == 2
    assert list(meet.part["announced"]["notes"]) == ["the start list says 405C", "the start list says difficulty 2.7"]
    entry = meet.state.competition.entries[1]
    assert (entry.athlete, entry.dive_number, entry.difficulty, entry.club) == ("Éxample, Ada", "407C", 3.4, "North")
    assert meet.given == {1: ("Éxample, Ada", 71.4)}
    meet.then(announced("Cy Unlisted"), "dive")
    assert [entry.order for entry in meet.state.competition.entries] == [1, 2, 4, 3]
    assert meet.given[2] == ("Cy Unlisted", None)
    meet.then(BO, "dive", judged(BO), announced(round=2), "dive")
    assert [order for _, order in meet.state.competition.dives] == [2, 4, 1, 3]


def test_until_the_meet_speaks_and_when_it_is_silent_the_operator_leads() -> None:
    entries = (Entry(1, "Ada Example"), Entry(2, "Bo Sample"), Entry(3, "Cy"))
    meet = Meet(entries).then("dive")
    assert meet.given == {1: ("Ada Example", None)}
    meet.then(BO, Skip(), "dive")
    assert meet.given[2] == ("Cy", None)
    meet.then(announced("Cy"), judged(announced("Cy")), BO, "dive")
    assert meet.given == {1: A_OPEN, 2: ("Cy", 71.4), 3: ("Bo Sample", None)}


def test_a_change_of_dive_after_it_was_made_has_it_scored_again() -> None:
    meet = Meet().then(ADA, "dive", replace(ADA, dive_number="405C", difficulty=2.7))
    assert meet.last.rescore == (1,)
    assert meet.state.dives[1].dive_number == "405C"
    meet.then(Edit(1, dive_number="403C"), replace(ADA, dive_number="405C", difficulty=2.7))
    assert meet.state.dives[1].dive_number == "403C"  # what the meet only repeats does not undo the operator's word


def test_pairs_penalties_and_agreement() -> None:
    pair = replace(announced("Ada Example / Bo Sample"), is_synchro=True, judges=11, awards=(None,) * 11)
    meet = Meet().then(pair, "dive", judged(pair, 71.4))
    assert meet.given == {1: ("Ada Example / Bo Sample", 71.4)}
    assert meet.part["dives"][0]["judges"]["panel"][0] == "E1"
    meet.then(ADA, "dive", judged(penalty=Penalty.FAILED, points=0.0))
    compared = meet.part["agreement"]
    assert (compared["dives"], compared["left_out"], compared["bias"]) == (1, 1, pytest.approx(71 - 71.4))


def test_only_one_sender_is_believed_until_the_operator_says_otherwise() -> None:
    meet = Meet().then(ADA).then(BO, sender="10.0.0.9").then("dive")
    assert meet.given == {1: ("Ada Example", None)}
    assert meet.part["other_senders"] == ["10.0.0.9"]
    assert meet.then(BO, sender="10.0.0.9").last.log is None
    for index in range(40):
        meet.then(BO, sender=f"10.0.1.{index}", after_s=1.0)
    assert len(meet.part["other_senders"]) <= 8
    meet.then(TrustSender("10.0.0.9")).then(BO, "dive", sender="10.0.0.9")
    assert meet.given[2] == ("Bo Sample", None)
    with pytest.raises(UserError, match="no computer that sends"):
        apply(meet.state, TrustSender("10.9.9.9"))


def test_a_session_that_goes_on_waits_for_the_next_announcement() -> None:
    meet = Meet().then(ADA, "dive", judged(), BO)
    kept = restored_meet(saved_meet(meet.state))
    assert kept is not None
    assert (kept.announced, kept.sender, len(kept.dives)) == (None, "10.0.0.1", 2)
    meet.state = replace(meet.state, meet=kept)
    meet.then("dive", BO_JUDGED)
    assert meet.given == {1: ("Ada Example", 71.4), 2: ("", None)}
    assert "Bo Sample" in meet.questions[0]
    with pytest.raises(UserError, match="meet's software"):
        restored_meet({"dives": 3})


def test_scratched_entries_are_skipped_and_the_board_is_empty_at_the_end() -> None:
    meet = Meet().then(ADA, BO, "dive", BO_JUDGED, EventEnd("A", "DR1"), EventEnd("A", "DR1"))
    assert [entry.state for entry in meet.state.competition.entries] == [EntryState.SKIPPED, EntryState.DONE]
    assert meet.part["current"] is None
    assert meet.part["is_over"]
    meet.then(judged(BO, 63.0))
    assert meet.part["is_over"]  # results are shown again when all is over
