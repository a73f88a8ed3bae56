"""Scores from exemplars, against figures reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mcore.common.exemplar_scores import exemplar_range, exemplar_std, predict_by_exemplars


def test_scores_and_differences_add_up_in_double_precision() -> None:
    predicted = predict_by_exemplars([50.0, 60.1], np.array([1.5, -2.25], np.float32))
    assert predicted.dtype == np.float64
    assert predicted.tolist() == [51.5, 60.1 - 2.25]


@pytest.mark.parametrize(
    ("predicted", "band", "std"),
    [([60.0], None, 0.0), ([50.0, 60.0], (51.0, 59.0), 5.0), (list(range(11)), (1.0, 9.0), np.sqrt(10.0))],
)
def test_range_and_deviation(predicted: list[float], band: tuple[float, float] | None, std: float) -> None:
    assert exemplar_range(predicted) == (None if band is None else pytest.approx(band))
    assert exemplar_std(predicted) == pytest.approx(std)
