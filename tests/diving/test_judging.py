"""From awards to points against the rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore.common.errors import UserError
from mcore.diving import Penalty, dive_score
from mcore.diving.judging import PANELS, MeanAward, counted_awards, fits_awards, mean_award, nearest_score

RESTART, FAILED, WRONG_POSITION, ARMS = Penalty
AWARDS = st.integers(0, 20).map(lambda halves: halves / 2)
PANEL_OF_AWARDS = st.sampled_from(sorted(PANELS)).flatmap(lambda n: st.lists(AWARDS, min_size=n, max_size=n))


@pytest.mark.parametrize(
    ("awards", "factor", "expected"),
    [
        ([7, 7.5, 8], 3.0, 67.5),
        ([6, 7, 7.5, 8, 9], 3.0, 67.5),
        ([5, 6, 7, 7.5, 8, 9, 10], 3.2, 72.0),
        ([10] * 7, 4.1, 123.0),
        # Nine: of four execution awards 7 and 7.5 count, of five for synchronisation 8, 8 and 8.5.
        ([6, 7, 7.5, 9, 7, 8, 8, 8.5, 9], 3.0, 3.0 * 0.6 * 39),
        # Eleven: the middle of each three, 8 and 6.5; then 7.5, 8 and 8.5.
        ([9, 7, 8, 0, 6.5, 10, 5, 7.5, 8, 8.5, 9.5], 3.0, 3.0 * 0.6 * 38.5),
        ([10] * 9, 3.5, 105.0),
        ([10] * 11, 3.5, 105.0),
        ([9.5] * 11, 2.0, 57.0),  # the assigned difficulty of a synchronised event's first rounds
    ],
)
def test_dive_score(awards: list[float], factor: float, expected: float) -> None:
    assert dive_score(awards, factor) == pytest.approx(expected)


@pytest.mark.parametrize("awards", [[7, 7], [7] * 8, [7] * 10, [7, 7, 7.3], [7, 7, 11], [7, 7, -0.5], []])
def test_impossible_awards_are_refused(awards: list[float]) -> None:
    with pytest.raises(UserError, match=r"3, 5, 7, 9, 11 judges|0 to 10"):
        dive_score(awards, 3.0)


SEVEN = [1.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]  # 5, 6 and 7 count


@pytest.mark.parametrize(
    ("awards", "penalties", "awards_sum"),
    [
        (SEVEN, [], 18),
        (SEVEN, [RESTART], 12),
        ([0.5, 0, 1, 1.5, 2, 3, 4], [RESTART], 0 + 0 + 0),  # never below 0: counted are 1, 1.5 and 2
        (SEVEN, [FAILED], 0),
        (SEVEN, [WRONG_POSITION], 6),
        ([0.5, 1, 1.5, 2, 5, 5, 5], [WRONG_POSITION], 1.5 + 2 + 2),  # awards below the limit stay
        (SEVEN, [ARMS], 13.5),
        ([3, 4, 4, 4.5, 5, 6, 6], [ARMS], 4 + 4.5 + 4.5),
        (SEVEN, [ARMS, RESTART], 7.5),  # the limit first
        (SEVEN, [ARMS, WRONG_POSITION], 6),
        (SEVEN, [ARMS, FAILED], 0),
        ([5, 6, 7, 7.5, 9], [RESTART], 14.5),
        ([6, 7, 7.5, 9, 7, 8, 8, 8.5, 9], [RESTART], 0.6 * 29),
        ([8] * 11, [ARMS], 0.6 * 22.5),
        ([8] * 11, [WRONG_POSITION], 0),  # of a pair, a failed dive
        ([0, 0, 0] + [8] * 8, [], 0),  # all execution judges of one diver
        ([8] * 3 + [0, 0, 0] + [8] * 5, [], 0),
        ([8] * 6 + [0] * 5, [], 0),  # all judges of synchronisation
        ([0, 0] + [8] * 7, [], 0),
        ([0, 0, 8] + [8] * 8, [], 0.6 * 32),
        ([0] * 7, [], 0),
    ],
)
def test_penalties(awards: list[float], penalties: list[Penalty], awards_sum: float) -> None:
    assert dive_score(awards, 3.0, penalties) == pytest.approx(3.0 * awards_sum)


def test_penalties_by_name() -> None:
    assert dive_score(SEVEN, 3.0, ["restart", "arms"]) == dive_score(SEVEN, 3.0, [RESTART, ARMS])
    for names in (["late"], "arms", [0]):
        with pytest.raises(UserError, match="allowed: restart, failed, wrong_position, arms"):
            dive_score(SEVEN, 3.0, names)  # type: ignore[arg-type]


@given(PANEL_OF_AWARDS, st.sets(st.sampled_from(Penalty)))
def test_no_penalty_adds_points_and_no_order_of_execution_judges_matters(
    awards: list[float], penalties: set[Penalty]
) -> None:
    score = dive_score(awards, 3.1)
    assert 0 <= dive_score(awards, 3.1, penalties) <= score <= 93.0
    panel = PANELS[len(awards)]
    assert len(counted_awards(awards)) == panel.counted == (5 if panel.synchronised else 3)
    assert panel.counted * panel.factor == 3
    assert fits_awards(score, 3.1, panel)
    assert nearest_score(score, 3.1, panel) == score


def test_a_mean_award_is_what_every_judge_would_have_given() -> None:
    for judges in PANELS:
        assert mean_award(dive_score([7.5] * judges, 3.2), None, None, 3.2) == MeanAward(7.5, None, None)


@pytest.mark.parametrize(
    ("interval", "difficulty", "text"),
    [
        ((61.0, 74.2), 3.2, "award 7.0 (6.4 to 7.7)"),
        ((None, None), 3.2, "award 7.0"),
        ((-3.0, 120.0), 3.2, "award 7.0 (0.0 to 10.0)"),
        ((61.0, 74.2), None, None),
    ],
)
def test_an_award_with_its_interval(
    interval: tuple[float | None, float | None], difficulty: float | None, text: str | None
) -> None:
    award = mean_award(67.2, *interval, difficulty)
    assert (None if award is None else award.text) == text


def test_scores_that_no_awards_give() -> None:
    assert not fits_awards(74.25, 3.4, PANELS[7])
    assert fits_awards(74.25, 3.3, PANELS[7])
    assert fits_awards(3.2 * 0.6 * 39.5, 3.2, PANELS[11])
    assert not fits_awards(3.2 * 0.6 * 39.5, 3.2, PANELS[7])
