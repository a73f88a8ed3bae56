"""Dive numbers from measures: what is promised holds, and what cannot be known is not claimed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.common.recognition import DOUBTED, LEVEL, Recogniser, fit_recogniser, listed

NUMBERS = np.array(["107B", "205B", "405C", "407C", "5253B"])
NUM_MEASURES = 12


def draw(count: int, seed: int, spread: float = 1.6) -> tuple[NDArray[np.float32], list[str]]:
    """Dives of all numbers, rare and frequent, around means of their own in directions of unequal spread."""
    rng, means = np.random.default_rng(seed), np.random.default_rng(7).normal(0, 1, (len(NUMBERS), NUM_MEASURES))
    of = rng.choice(len(NUMBERS), count, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    noise = rng.normal(0, spread, (count, NUM_MEASURES)) * np.linspace(0.2, 1.5, NUM_MEASURES)
    return (means[of] + noise).astype(np.float32), NUMBERS[of].tolist()


def fitted(seed: int, *, spread: float = 1.6, known: int = 400) -> Recogniser:
    found = fit_recogniser(*draw(600, seed, spread))
    assert found is not None
    return found.calibrated(*draw(known, seed + 1000, spread))


@pytest.mark.parametrize("spread", [0.1, 1.6, 5.0])
def test_possible_numbers_and_doubts_hold_what_they_promise(spread: float) -> None:
    """However well the numbers can be told apart."""
    held, doubted, first = [], [], []
    for seed in range(5):
        recogniser = fitted(seed, spread=spread)
        for measures, number in zip(*draw(400, seed + 2000, spread), strict=True):
            found = recogniser.recognise(measures, number)
            held.append(number in found.numbers)
            first.append(found.numbers[0] == number)
            doubted.append(found.is_doubted)
            assert found.possible == tuple(sorted(found.possible, key=lambda each: -each.probability))
    assert np.mean(held) >= LEVEL - 0.02
    assert np.mean(doubted) <= DOUBTED + 0.005
    assert np.mean(first) > {0.1: 0.99, 1.6: 0.5, 5.0: 0.3}[spread]


def test_probabilities_are_shares() -> None:
    """Of the dives that are named with some certainty, as many are named rightly: also by a classifier too sure."""
    recogniser = fitted(3)
    measures, numbers = draw(4000, 9000)
    for each in (recogniser, replace(recogniser, weights=8 * recogniser.weights, biases=8 * recogniser.biases)):
        probabilities = each.calibrated(*draw(400, 5000)).probabilities(measures)  # (N, C)
        right = each.numbers[probabilities.argmax(axis=1)] == np.array(numbers)
        assert abs(probabilities.max(axis=1).mean() - right.mean()) < 0.05


def test_a_wrong_announcement_is_doubted() -> None:
    recogniser = fitted(0, spread=0.3)
    measures, numbers = draw(200, 4000, 0.3)
    wrong = ["107B" if number != "107B" else "5253B" for number in numbers]
    found = [recogniser.recognise(each, number) for each, number in zip(measures, wrong, strict=True)]
    assert np.mean([each.is_doubted for each in found]) > 0.9
    assert all(each.announced_p_value is not None for each in found)


def test_what_was_not_learned() -> None:
    recogniser = fitted(0, spread=0.3, known=30)
    measures, numbers = draw(30, 1000, 0.3)
    found = recogniser.recognise(measures[0], "626B")
    assert (found.announced_p_value, found.is_doubted) == (None, False)
    assert found.doubted == recogniser.doubted == pytest.approx(1 / 31)
    # Validation dives of numbers that were not learned make it less sure of all: none of them was ever right.
    strange = recogniser.calibrated(measures, ["626B"] * 10 + numbers[10:])
    assert strange.p_values(np.zeros(5)).min() == pytest.approx(11 / 31)
    assert len(strange.recognise(measures[0]).numbers) == 5
    # Nothing says what would be unusual for a number of which no validation dive was: it is not doubted.
    few = recogniser.calibrated(measures[:20], ["407C"] * 20)
    assert few.recognise(measures[0], "107B").announced_p_value is None
    assert few.recognise(measures[0], "407C").announced_p_value is not None
    assert len(recogniser.recognise(np.full(NUM_MEASURES, 1e4, np.float32)).numbers) >= 1


def test_too_little_to_learn_from() -> None:
    measures, _ = draw(6, 0)
    assert fit_recogniser(measures, ["107B"] * 6) is None
    assert fit_recogniser(measures[:2], ["107B", "405C"]) is None
    with pytest.raises(ValueError, match="not calibrated"):
        fit_recogniser(measures, ["107B", "405C"] * 3).recognise(measures[0])  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="not a finite number"):
        replace(fitted(0), biases=np.full(5, np.nan))
    with pytest.raises(ValueError, match="2 dive numbers with weights"):
        replace(fitted(0), numbers=NUMBERS[:2])


def test_listed() -> None:
    assert listed(["407C"]) == "407C"
    assert listed(["407C", "405C"]) == "407C or 405C"
    assert listed(NUMBERS[:4].tolist()) == "107B, 205B, 405C or 407C"
    assert listed(NUMBERS.tolist()) == "107B, 205B, 405C or 2 others"
