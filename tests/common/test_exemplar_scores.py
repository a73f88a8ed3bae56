"""Scores from exemplars, against figures reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mcore.common.exemplar_scores import exemplar_range, exemplar_std, nearest, predict_by_exemplars


def test_the_nearest_have_the_highest_mean_cosine() -> None:
    rng = np.random.default_rng(0)
    pool = rng.standard_normal((9, 6, 4)).astype(np.float32)
    for query in rng.standard_normal((3, 6, 4)).astype(np.float32):
        cosines = [
            sum(float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b)) for a, b in zip(query, each, strict=True))
            for each in pool
        ]
        assert nearest(query, pool, 2).tolist() == sorted(sorted(range(9), key=lambda i: -cosines[i])[:2])
    assert nearest(7 * pool[3], pool, 1).tolist() == [3]  # size does not matter
    assert nearest(pool[3], pool[[0, 3, 3, 3]], 2).tolist() == [1, 2]  # equally near ones in their order
    assert nearest(pool[3], pool, None).tolist() == nearest(pool[3], pool, 12).tolist() == list(range(9))
    assert nearest(np.zeros_like(pool[0]), pool, 1).tolist() == [0]


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
