"""Baselines: predictions that never look at the dive, which a network must beat.

Scores: the mean training score of the same dive number. Boundaries: the median training transitions, the same
for every dive. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.data.cache import load_clip
from mcore.data.exemplars import by_dive_number
from mcore.data.manifest import DiveRecord
from mcore.video import sample_indices, sampled_transitions


def dive_number_means(queries: Sequence[DiveRecord], training: Sequence[DiveRecord]) -> NDArray[np.float64]:
    """Predict each dive's score as the mean training score of its dive number.

    Returns:
        (N,) points.

    Raises:
        UserError: a dive's number has no training dive.
    """
    scores = np.array([record.score for record in training])
    groups = by_dive_number([record.dive_number for record in training])
    means = {number: float(scores[rows].mean()) for number, rows in groups.items()}
    if unknown := sorted({record.dive_number for record in queries} - set(means)):
        raise UserError(f"no training dive of number {', '.join(unknown)}")
    return np.array([means[record.dive_number] for record in queries])


def constant_transitions(
    training: Sequence[DiveRecord], config: ClipConfig, cache_dir: Path | None = None
) -> NDArray[np.int64]:
    """Predict the same transitions for every dive: the median of the training dives', on the sampled frames.

    Videos are opened only where the list does not say how many frames a dive has.

    Returns:
        (2,) frames.

    Raises:
        UserError: no training dive has transitions.
    """
    labelled: list[tuple[int, int]] = []
    for record in training:
        if record.transition_frames is None:
            continue
        if record.num_frames is not None:
            indices = sample_indices(record.num_frames, config.num_frames)
        else:
            indices = load_clip(record, config, cache_dir).indices
        labelled.append(sampled_transitions(record.transition_frames, indices))
    if not labelled:
        raise UserError(f"none of {len(training)} training dives has transition_frames")
    # To the nearest frame: a half goes to the later one. The first stays before the second, as in every dive.
    return np.floor(np.median(labelled, axis=0) + 0.5).astype(np.int64)
