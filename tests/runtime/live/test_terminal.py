"""Lines of the terminal: intervals in the words of the report, and notes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcore_runtime.live.terminal import dive_line
from tests.runtime.live.test_state import OPENED, after, result, scored


@pytest.mark.parametrize(
    ("low", "high", "level", "printed"),
    [
        (62.5, 77.5, 0.8, ": 70.0 (80 %: 62.5 to 77.5); flight from 0.50 s"),
        (68.0, 72.0, None, ": 70.0 (exemplars say 68.0 to 72.0); flight from 0.50 s"),
        (None, None, None, ": 70.0; flight from 0.50 s"),
    ],
)
def test_an_interval_says_of_which_kind_it_is(
    low: float | None, high: float | None, level: float | None, printed: str
) -> None:
    event = replace(scored(), result=replace(result(), low=low, high=high, interval_level=level))
    assert printed in dive_line(after(OPENED, event).state.dives[1])


def test_notes_of_a_score_are_said_with_it() -> None:
    event = replace(scored(), result=replace(result(), notes=("a flight of 4.9 s is longer than any",)))
    assert dive_line(after(OPENED, event).state.dives[1]).endswith("; note: a flight of 4.9 s is longer than any")
