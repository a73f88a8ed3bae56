"""Dive numbers against the rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore.common.errors import DiveNumberError
from mcore.diving import DiveNumber


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
        ("640a", "armstand inward fall straight"),
        ("644C", "armstand inward 2 somersaults tuck"),
        ("301B", "reverse dive pike"),
        ("113C", "forward flying 1 1/2 somersaults tuck"),
        ("4011C", "inward 5 1/2 somersaults tuck"),
    ],
)
def test_dive_numbers_in_words(text: str, words: str) -> None:
    assert DiveNumber.parse(text).describe() == words


NO_DIVES = "650A 407 707C 407E 4O7C 100B 1012C 5150B 5053B 107D 113A 64243D 407CC 600A -1"


@pytest.mark.parametrize("text", ["", *NO_DIVES.split()])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(DiveNumberError):
        DiveNumber.parse(text)


def test_the_old_number_of_a_fall_names_the_new_ones() -> None:
    with pytest.raises(DiveNumberError, match=r"610A .* and 640A"):
        DiveNumber.parse("600a")


@st.composite
def dives(draw: st.DrawFn) -> DiveNumber:
    group = draw(st.integers(1, 6))
    position = draw(st.sampled_from("ABC"))
    if group <= 4:
        flying = position != "A" and draw(st.booleans())
        return DiveNumber(group, group, draw(st.integers(1, 11)), 0, position, flying)  # type: ignore[arg-type]
    direction = draw(st.integers(1, 4))
    somersaults = draw(st.integers(1 if group == 5 else 0, 9))
    twists = draw(st.integers(1 if group == 5 else 0, 9))
    return DiveNumber(group, direction, somersaults, twists, position)  # type: ignore[arg-type]


@given(dives())
def test_every_dive_survives_its_own_number(dive: DiveNumber) -> None:
    assert DiveNumber.parse(dive.text) == dive
    assert DiveNumber.parse(dive.text.lower()) == dive
