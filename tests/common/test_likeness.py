"""The promise of a conformal p-value, on any dives, and what sets a clip apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mcore.common.likeness import REFUSED, KnownDives, Likeness, Side, describe_known_dives

SIDES: dict[str, Side] = {"motion": "both", "distance": "high", "certainty": "low"}
values = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([0.0, 1.0]))  # ties too


def known(rows: NDArray[np.float64]) -> KnownDives:
    """Dives from an array (N, 3)."""
    return KnownDives({name: tuple(rows[:, i].tolist()) for i, name in enumerate(SIDES)}, "dives.jsonl", "val")


def compare(rows: NDArray[np.float64], clip: NDArray[np.float64]) -> Likeness:
    return known(rows).compare(dict(zip(SIDES, clip.tolist(), strict=True)), SIDES)


@settings(max_examples=30)
@given(arrays(np.float64, st.tuples(st.integers(2, 24), st.just(3)), elements=values))
def test_no_more_dives_are_refused_than_promised(rows: NDArray[np.float64]) -> None:
    """Whichever of N + 1 dives is the new one: chance picks each as often, so this is the promise itself."""
    answers = [compare(np.delete(rows, i, axis=0), row) for i, row in enumerate(rows)]
    refused = [answer for answer in answers if answer.reasons]
    assert len(refused) <= answers[0].refused * len(rows) + 1e-9
    assert all(answer.p_value <= answer.refused for answer in refused)


def test_one_in_a_hundred_takes_ninety_nine_dives() -> None:
    rng = np.random.default_rng(0)
    promised = {n: known(rng.normal(size=(n, 3))).refused for n in (1, 24, 98, 99, 400)}
    assert promised == {1: 1 / 2, 24: 1 / 25, 98: 1 / 99, 99: REFUSED, 400: REFUSED}
    rows = rng.standard_t(3, size=(400, 3))
    answers = [compare(np.delete(rows, i, axis=0), rows[i]) for i in range(0, 400)]
    assert sum(bool(answer.reasons) for answer in answers) == 4  # all that may be refused are


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, ()),
        ({"motion": -50.0}, ("motion",)),
        ({"motion": 50.0}, ("motion",)),
        ({"distance": 50.0}, ("distance",)),
        ({"distance": -50.0}, ()),
        ({"certainty": -50.0}, ("certainty",)),
        ({"certainty": 50.0}, ()),
        ({"distance": 40.0, "certainty": -60.0}, ("distance", "certainty")),
    ],
)
def test_a_clip_is_strange_on_the_strange_side_only(changes: dict[str, float], reasons: tuple[str, ...]) -> None:
    rows = np.random.default_rng(1).normal(size=(120, 3))
    found = known(rows).compare(dict.fromkeys(SIDES, 0.0) | changes, SIDES)
    assert found.reasons == reasons
    if reasons:
        assert found.p_value == 1 / 121
    else:
        assert found.p_value > REFUSED


def test_a_measure_with_far_dives_hides_no_other() -> None:
    """In quartiles its far dives are farther than any other measure ever comes."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(400, 3))
    rows[:, 2] = rng.standard_t(2, size=400)  # certainty
    assert known(rows).compare({"motion": 0.0, "distance": 4.5, "certainty": 0.0}, SIDES).reasons == ("distance",)


@pytest.mark.parametrize("count", [20, 30, 227])
def test_no_clip_hides_itself_by_moving_the_unit(count: int) -> None:
    rows = np.random.default_rng(5).normal(size=(count, 3))
    far, farther = (compare(rows, np.array([0.0, distance, 0.0])).strangeness for distance in (50.0, 5000.0))
    assert farther > 99 * far


def test_a_measure_that_a_clip_lacks_refuses_nothing() -> None:
    rows = np.random.default_rng(2).normal(size=(120, 3))
    assert known(rows).compare({"motion": 50.0, "certainty": 0.0}, SIDES).reasons == ("motion",)
    assert known(rows).compare({"certainty": 0.0, "distance": 0.0}, SIDES).reasons == ()
    with pytest.raises(ValueError, match="expected as many each"):
        KnownDives({"motion": (1.0, 2.0), "distance": (1.0,)}, "dives.jsonl", "val")


def test_a_bundle_says_what_it_refuses() -> None:
    rows = np.random.default_rng(3).normal(size=(120, 3))
    few = "clips unlike the 24 val dives of dives.jsonl are refused, with at most 1 in 25 dives like these"
    assert describe_known_dives(known(rows[:24])) == f"{few} (for 1 in 100 more are needed)"
    assert describe_known_dives(known(rows)).endswith("at most 1 in 100 dives like these")
    assert describe_known_dives(None).startswith("this bundle cannot say whether a clip is like the dives")
