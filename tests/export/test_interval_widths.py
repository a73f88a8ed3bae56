"""Both kinds of width on the same dives: how wide, and how even over difficulties."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from mcore.common.conformal import ConformalInterval
from mcore_export.exemplars.dive_scores import Scores
from mcore_export.interval_widths import width_rows, width_table

DIFFICULTIES = [2.0] * 10 + [3.0] * 10 + [4.0] * 10 + [float("nan")]
"""The last dive has none, and counts for neither kind."""


def test_errors_in_proportion_to_the_difficulty_are_held_evenly_by_a_width_that_follows_it() -> None:
    share = np.tile(np.arange(1, 11) / 10 - 0.01, 3)  # of the difficulty
    errors = np.append(share * DIFFICULTIES[:30], 99.0)
    scores = Scores(true=[60.0] * 31, difficulties=DIFFICULTIES)
    rows = width_rows(60.0 + errors, scores, ConformalInterval(0.8, 2.4, 31, 0.8), num_resamples=10)
    found = {row.follows: [each.value for each in row.coverage_by_difficulty] for row in rows}
    assert found == {"nothing": [1.0, 0.8, 0.6], "difficulty": [0.8, 0.8, 0.8]}
    assert [row.mean_half_width_points for row in rows] == pytest.approx([2.4, 2.4])
    assert [row.coverage.value for row in rows] == pytest.approx([0.8, 0.8])
    assert {row.dives for row in rows} == {30}
    assert rows[0].difficulties == ((2.0, 2.0), (3.0, 3.0), (4.0, 4.0))
    text = io.StringIO()
    Console(file=text, width=150).print(width_table(rows))
    assert "difficulty 4.0 to 4.0" in text.getvalue()


@pytest.mark.parametrize(("per_difficulty", "difficulties"), [(None, DIFFICULTIES), (0.8, [float("nan")] * 31)])
def test_nothing_is_said_where_a_width_or_the_difficulties_are_unknown(
    per_difficulty: float | None, difficulties: list[float]
) -> None:
    scores = Scores(true=[60.0] * 31, difficulties=difficulties)
    assert width_rows(np.full(31, 60.0), scores, ConformalInterval(0.8, 2.4, 31, per_difficulty), 10) == ()
