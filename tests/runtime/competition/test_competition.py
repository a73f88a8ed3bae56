"""A competition: who is next, whose dive was whose, what can be put right, and who leads."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcore.common.errors import UserError
from mcore_runtime.competition import Competition, Entry, EntryState


def competition(count: int = 4) -> Competition:
    return Competition.begin(Entry(order, f"athlete {order % 2}", "club", "107B") for order in range(1, count + 1))


def after(meet: Competition, *dives: int) -> Competition:
    for number in dives:
        meet = meet.add_dive(number)
    return meet


def states(of: Competition) -> list[tuple[str, int | None]]:
    return [(entry.state.value, entry.dive) for entry in of.entries]


def test_it_advances_by_itself_to_the_end() -> None:
    meet = after(competition(2), 1, 2, 3)
    assert states(meet) == [("done", 1), ("done", 2)]
    assert meet.current is None
    assert meet.entry_of(3) is None


def test_a_skipped_athlete_is_not_waited_for() -> None:
    meet = after(competition(3).skip(), 1).skip()
    assert meet.current is None
    assert states(meet) == [("skipped", None), ("done", 1), ("skipped", None)]
    with pytest.raises(UserError, match="all have dived"):
        meet.skip()


def test_a_repeated_dive_counts_instead_of_the_first() -> None:
    meet = after(competition(3), 1).back()
    assert meet.current == 1
    assert meet.ranking({1: 50.0})[0].total == 50.0
    meet = after(meet, 2)
    assert states(meet)[0] == ("done", 2)
    assert meet.current == 2
    assert meet.ranking({1: 50.0, 2: 60.0})[0].total == 60.0
    assert meet.ranking({1: 50.0})[0].total == 50.0, "the repeated dive has no valid score: the first one counts"


def test_a_repeat_that_is_not_dived_leaves_the_dive_there_was() -> None:
    meet = after(competition(3), 1).back().skip()
    assert states(meet)[0] == ("done", 1)
    assert meet.current == 2
    assert states(meet.back().go_to(3))[0] == ("done", 1)


def test_who_was_passed_over_by_going_on_comes_at_the_end() -> None:
    meet = after(competition(4).go_to(3), 1, 2, 3, 4)
    assert [entry.dive for entry in meet.entries] == [3, 4, 1, 2]


def test_back_from_the_end_and_not_beyond_the_beginning() -> None:
    meet = competition(2)
    with pytest.raises(UserError, match="this is the first"):
        meet.back()
    assert after(meet, 1, 2).back().current == 2
    assert after(meet, 1, 2).back().back().current == 1
    with pytest.raises(UserError, match="no start list"):
        Competition().back()


def test_a_false_alarm_gives_the_entry_back() -> None:
    meet = after(competition(3), 1).make_void(1)
    assert meet.current == 1
    assert states(meet)[0] == ("waiting", None)
    meet = after(meet, 2)
    assert states(meet)[0] == ("done", 2)
    meet = meet.restore(1)
    assert states(meet)[0] == ("done", 2), "the later dive counts"
    assert meet.current == 2


def test_a_false_alarm_that_is_seen_late_can_be_put_right() -> None:
    meet = after(competition(4), 1, 2, 3).make_void(1)  # 1 was none: 2 and 3 are the dives of entries 1 and 2
    assert meet.current == 4, "whoever stands on the board is not sent down by an old mistake"
    meet = meet.assign(2, 1).assign(3, 2)
    assert [entry.dive for entry in meet.entries] == [2, 3, None, None]
    assert meet.current == 3


def test_a_restored_dive_takes_its_turn_back() -> None:
    meet = after(competition(2), 1).make_void(1).restore(1)
    assert states(meet) == [("done", 1), ("waiting", None)]
    assert meet.current == 2


def test_dives_of_nobody() -> None:
    nobody = after(Competition(), 1)
    assert nobody == nobody.make_void(1) == nobody.restore(1)
    assert nobody.ranking({1: 70.0}) == []
    meet = after(competition(1), 1).assign(1, None)
    assert states(meet) == [("waiting", None)]
    meet = meet.assign(1, 1)
    assert states(meet) == [("done", 1)]
    with pytest.raises(UserError, match="restore it first"):
        meet.make_void(1).assign(1, 1)


def test_edit_checks_all() -> None:
    meet = competition(2)
    edited = meet.edit(1, {"athlete": " Zoë \n Ma ", "dive_number": "5253b", "difficulty": "3,2"}).entries[0]
    assert (edited.athlete, edited.club, edited.dive_number, edited.difficulty) == ("Zoë Ma", "club", "5253B", 3.2)
    assert meet.edit(1, {"dive_number": None}).entries[0].dive_number is None
    for changes in ({"athlete": ""}, {"athlete": "X", "dive_number": "12"}, {"difficulty": "x"}):
        with pytest.raises(UserError):
            meet.edit(1, changes)


@pytest.mark.parametrize("order", [0, 3])
def test_entries_that_there_are_not(order: int) -> None:
    with pytest.raises(UserError, match="allowed: 1 to 2"):
        competition(2).go_to(order)


def test_ties_share_a_rank_and_leave_out_the_next() -> None:
    athletes = ["A", "B", "C", "D", "A", "B", "C", "E"]
    meet = after(Competition.begin(Entry(i, name) for i, name in enumerate(athletes, 1)), *range(1, 9))
    scores = {1: 40.1, 2: 50.0, 3: 45.0, 4: 95.0, 5: 50.1, 6: 40.2, 7: 45.001}
    rows = meet.ranking(scores)
    assert [(row.rank, row.athlete, row.total, row.dives) for row in rows] == [
        (1, "D", 95.0, 1), (2, "A", 90.2, 2), (2, "B", 90.2, 2), (4, "C", 90.0, 2),
    ]  # fmt: skip


def test_two_of_one_name_are_told_apart_by_their_clubs() -> None:
    meet = after(Competition.begin([Entry(1, "A", "x"), Entry(2, "A", "y")]), 1, 2)
    assert [(row.club, row.rank) for row in meet.ranking({1: 1.0, 2: 2.0})] == [("y", 1), ("x", 2)]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda saved: saved.update(entries=5),
        lambda saved: saved.update(current=9),
        lambda saved: saved["entries"][0].pop("athlete"),
        lambda saved: saved["entries"][0].update(state="gone"),
        lambda saved: saved.update(dives=[[1, 9]]),
        lambda saved: saved.update(dives=3),
    ],
)
def test_a_damaged_state_is_refused(spoil: Callable[[dict[str, object]], object]) -> None:
    saved = competition().to_json()
    spoil(saved)
    with pytest.raises(UserError, match="saved start list"):
        Competition.from_json(saved)


_ACTS = st.sampled_from(["dive", "skip", "back", "go_to", "make_void", "restore", "assign"])


@settings(max_examples=150)
@given(st.lists(st.tuples(_ACTS, st.integers(1, 6), st.integers(1, 12)), max_size=40))
@example([*[("dive", 1, 1)] * 3, ("assign", 3, 1), ("back", 1, 1), ("make_void", 1, 1)])
def test_whatever_is_done_the_books_agree_and_survive(acts: list[tuple[str, int, int]]) -> None:
    meet, made = competition(6), 0
    for act, order, number in acts:
        is_void = number in dict(meet.void)
        try:
            if act == "dive":
                made += 1
                meet = meet.add_dive(made)
            elif act in ("skip", "back"):
                meet = getattr(meet, act)()
            elif act == "go_to":
                meet = meet.go_to(order)
            elif number <= made and (act == "restore") == is_void:
                meet = meet.assign(number, order) if act == "assign" else getattr(meet, act)(number)
        except UserError:
            pass
        assert Competition.from_json(json.loads(json.dumps(meet.to_json()))) == meet
        for entry in meet.entries:
            assert entry.dive is None or (entry.dive not in dict(meet.void) and meet.entry_of(entry.dive) == entry)
            assert (entry.state is EntryState.DONE) <= (entry.dive is not None)
        waiting = [entry.order for entry in meet.entries if entry.state is EntryState.WAITING]
        assert meet.current in waiting if waiting else meet.current is None
