"""Dive numbers, difficulty and judging against the rules."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore.common.errors import DiveNumberError, UserError
from mcore.diving import DiveNumber, difficulty, dive_score
from mcore.diving.difficulty import HeightM
from tools.check_published import load_module


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("107B", "forward 3 1/2 somersaults pike"),
        ("407c", "inward 3 1/2 somersaults tuck"),
        (" 5253B ", "back 2 1/2 somersaults 1 1/2 twists pike"),
        ("5231D", "back 1 1/2 somersaults 1/2 twist free"),
        ("5152B", "forward 2 1/2 somersaults 1 twist pike"),
        ("6243D", "armstand back 2 somersaults 1 1/2 twists free"),
        ("626C", "armstand back 3 somersaults tuck"),
        ("612B", "armstand forward 1 somersault pike"),
        ("610A", "armstand forward fall straight"),
        ("301B", "reverse dive pike"),
        ("113C", "forward flying 1 1/2 somersaults tuck"),
        ("4011C", "inward 5 1/2 somersaults tuck"),
    ],
)
def test_dive_numbers_in_words(text: str, words: str) -> None:
    assert DiveNumber.parse(text).describe() == words


NO_DIVES = "407 707C 407E 4O7C 100B 1012C 5150B 5053B 107D 113A 64243D 407CC 600A -1"


@pytest.mark.parametrize("text", ["", *NO_DIVES.split()])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(DiveNumberError):
        DiveNumber.parse(text)


@st.composite
def dives(draw: st.DrawFn) -> DiveNumber:
    group = draw(st.integers(1, 6))
    position = draw(st.sampled_from("ABC"))
    if group <= 4:
        flying = position != "A" and draw(st.booleans())
        return DiveNumber(group, group, draw(st.integers(1, 11)), 0, position, flying)  # type: ignore[arg-type]
    direction = draw(st.integers(1, 4 if group == 5 else 3))
    somersaults = draw(st.integers(1 if group == 5 else 0, 9))
    twists = draw(st.integers(1 if group == 5 else 0, 9))
    return DiveNumber(group, direction, somersaults, twists, position)  # type: ignore[arg-type]


@given(dives())
def test_every_dive_survives_its_own_number(dive: DiveNumber) -> None:
    assert DiveNumber.parse(dive.text) == dive
    assert DiveNumber.parse(dive.text.lower()) == dive


# The worked examples of the rule book.
EXAMPLES: dict[HeightM, str] = {
    3: "207B 3.9, 309B 4.7, 207C 3.6, 309C 4.4, 5253B 3.4, 5255B 3.8, 5355B 3.7",
    10: "307B 3.7, 309B 4.8, 307C 3.4, 309C 4.5, 5371B 3.3, 5371C 3.0, 5257B 4.1, 6247D 4.0",
}


@pytest.mark.parametrize("height_m", EXAMPLES)
def test_difficulty_of_the_rule_books_examples(height_m: HeightM) -> None:
    for example in EXAMPLES[height_m].split(", "):
        number, expected = example.split()
        assert difficulty(number, height_m) == float(expected), example


def test_difficulty_equals_a_second_transcription_for_every_dive(reference_dir: Path) -> None:
    reference = load_module(reference_dir / "degree_of_difficulty.py")
    texts = [f"{g}0{n}{p}" for g, n, p in itertools.product("1234", range(1, 12), "ABC")]
    texts += [f"5{d}{n}{t}{p}" for d, n, t, p in itertools.product("1234", range(1, 10), range(1, 10), "ABCD")]
    texts += [f"6{d}{n}{t or ''}{p}" for d, n, t, p in itertools.product("123", range(10), range(10), "ABC")]
    for text in texts:
        for height in (3, 10):
            assert difficulty(text, height) == reference.DD(text, height == 10), (text, height)


def test_difficulty_where_there_is_none() -> None:
    assert difficulty("612B", 3) is None  # no armstand on the springboard
    assert difficulty("113C", 3) is None  # the tables have no flying dives
    with pytest.raises(UserError, match="3 m and 10 m"):
        difficulty("107B", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("awards", "factor", "expected"),
    [
        ([7, 7.5, 8], 3.0, 67.5),
        ([6, 7, 7.5, 8, 9], 3.0, 67.5),
        ([5, 6, 7, 7.5, 8, 9, 10], 3.2, 72.0),
        ([10] * 7, 4.1, 123.0),
    ],
)
def test_dive_score(awards: list[float], factor: float, expected: float) -> None:
    assert dive_score(awards, factor) == expected


@pytest.mark.parametrize("awards", [[7, 7], [7, 7, 7.3], [7, 7, 11], [7, 7, -0.5]])
def test_impossible_awards_are_refused(awards: list[float]) -> None:
    with pytest.raises(UserError):
        dive_score(awards, 3.0)
