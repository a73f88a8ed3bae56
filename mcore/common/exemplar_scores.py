"""Scores from exemplars: true score of each exemplar plus the predicted difference to it.

    chosen = nearest(tokens, bank.tokens, 10)  # (E,)
    predicted = predict_by_exemplars(bank.scores[chosen], delta)  # (E,)
    score, band = predicted.mean(), exemplar_range(predicted)

Shapes: E exemplars of one dive.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

RANGE_PERCENTILES = (10, 90)
"""The exemplar range goes from this to that percentile of the exemplars' predictions."""
_LEAST_LENGTH = 1e-12
"""A token of zeros is like none: its cosines are 0."""


def nearest(query: NDArray[np.float32], pool: NDArray[np.float32], count: int | None) -> NDArray[np.int64]:
    """Choose the exemplars that look most like a dive.

    Likeness is the mean over tokens of the cosine between the dive's token and the same token of the exemplar, as the
    contrastive loss has it. No score is looked at. Equally near ones are taken in their order.

    Args:
        query: (3K, D) the dive's tokens.
        pool: (M, 3K, D) those of the possible exemplars.
        count: how many, at least 1; None: all.

    Returns:
        (E,) positions in the pool, ascending.
    """
    if count is None or count >= len(pool):
        return np.arange(len(pool))
    lengths = np.linalg.norm(pool, axis=2) * np.linalg.norm(query, axis=1)  # (M, 3K)
    cosines = np.einsum("mkd,kd->mk", pool, query) / np.maximum(lengths, _LEAST_LENGTH)
    return np.sort(np.argsort(-cosines.sum(axis=1, dtype=np.float64), kind="stable")[:count])


def predict_by_exemplars(exemplar_scores: ArrayLike, delta: ArrayLike) -> NDArray[np.float64]:
    """Return the dive's score as each exemplar sees it; their mean is the dive's score.

    Args:
        exemplar_scores: (..., E) true scores of the exemplars, points.
        delta: (..., E) predicted score(dive) - score(exemplar), points.

    Returns:
        (..., E) float64, points.
    """
    return np.asarray(exemplar_scores, np.float64) + np.asarray(delta, np.float64)


def exemplar_range(predicted: ArrayLike) -> tuple[float, float] | None:
    """Return the 10th and 90th percentile of the exemplars' predictions (E,); None where E is 1.

    It is their disagreement, not a conformal interval: it says nothing of errors that all exemplars share.
    """
    values = np.asarray(predicted, np.float64)
    if len(values) < 2:
        return None
    low, high = np.percentile(values, RANGE_PERCENTILES)
    return float(low), float(high)


def exemplar_std(predicted: ArrayLike) -> float:
    """Return the standard deviation of the exemplars' predictions (E,), points; 0 where E is 1."""
    return float(np.std(np.asarray(predicted, np.float64)))
