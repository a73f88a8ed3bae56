"""Scores from exemplars: true score of each exemplar plus the predicted difference to it.

    predicted = predict_by_exemplars(bank.scores, delta)  # (E,)
    score, band = predicted.mean(), exemplar_range(predicted)

Shapes: E exemplars of one dive.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

RANGE_PERCENTILES = (10, 90)
"""The exemplar range goes from this to that percentile of the exemplars' predictions."""


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
