"""Which dive a clip shows, in numbers for ``mcore.common.recognition`` and in words for a referee."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mcore.common.recognition import LEVEL, Recognition, listed
from mcore_runtime.bundle.records import RecogniserRecord

POINTS = (5, 12, 5)
"""Moments of take-off, flight and entry that are looked at: five of a flight, as the stage tokens have, miss turns."""


def describe(features: NDArray[np.float32], transitions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return what a dive number is told from: the features at moments evenly over each stage.

    Args:
        features: (T, D) of each sampled frame.
        transitions: (2,) first frame of the flight and of the entry.

    Returns:
        (22 D,); see ``num_measures``.
    """
    edges = (0, *transitions.tolist(), len(features))
    moments = [
        np.linspace(begin, max(begin, end - 1), n) for (begin, end), n in zip(pairwise(edges), POINTS, strict=True)
    ]
    at = np.concatenate(moments)  # (22,) frames, between two of which is interpolated
    before = np.floor(at).astype(np.int64)
    share = (at - before).astype(np.float32)[:, None]
    after = np.minimum(before + 1, len(features) - 1)
    found: NDArray[np.float32] = (1 - share) * features[before] + share * features[after]
    return found.reshape(-1)


def num_measures(feature_dim: int) -> int:
    """Length of what ``describe`` returns."""
    return sum(POINTS) * feature_dim


def doubts(recognition: Recognition | None, announced: str | None) -> tuple[str, ...]:
    """Say that a dive does not look like what was announced; nothing where it may be that, or nobody can say."""
    if recognition is None or not recognition.is_doubted:
        return ()
    return (f"looks like {listed(recognition.numbers)}, not {announced} (p {recognition.announced_p_value:.2g})",)


def describe_recogniser(record: RecogniserRecord | None) -> str:
    """Say what a bundle knows of dive numbers; None: nothing."""
    if record is None:
        return (
            "this bundle cannot say which dive a clip shows: it has not learned dive numbers. Let it with: "
            "mcore-bundle exemplars BUNDLE --dives DIVES.jsonl --out NEW_BUNDLE"
        )
    return (
        f"tells {record.numbers} dive numbers apart, by {record.dives} dives of {record.source}; "
        f"{100 * LEVEL:.0f} % of its sets of possible numbers hold the right one, by {record.calibrated_on} others"
    )
