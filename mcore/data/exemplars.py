"""Exemplars of dives to be scored: other dives of the same number, drawn at random.

Every draw is a pure function of the seed and of what it is for, never of what was drawn before it, so that workers,
restarts and the order of calls change nothing.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class RandomStream(IntEnum):
    """Use of random numbers: a part of their seed, so that no two uses share numbers."""

    EPOCH_ORDER = 0
    TRAINING_PARTNER = 1
    EXEMPLARS_OF_DIVE = 2
    AUGMENTATION = 3
    EXEMPLARS_OF_NUMBER = 4
    MIXED_DIVES = 5


def by_dive_number(dive_numbers: Sequence[str]) -> dict[str, list[int]]:
    """Group positions by dive number."""
    groups: dict[str, list[int]] = defaultdict(list)
    for position, dive_number in enumerate(dive_numbers):
        groups[dive_number].append(position)
    return dict(groups)


def shared_exemplars(pool_numbers: Sequence[str], count: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Draw exemplars for every dive number of a pool: what a bundle stores, and all dives of a number share.

    A number's exemplars depend on its own dives only, so that other numbers may come and go.

    Args:
        pool_numbers: dive numbers of the possible exemplars.
        count: exemplars of each number; all there are where there are fewer.
        seed: of the draw.

    Returns:
        By dive number, positions in the pool, ascending.
    """
    chosen = {}
    for dive_number, candidates in by_dive_number(pool_numbers).items():
        rng = np.random.default_rng((seed, RandomStream.EXEMPLARS_OF_NUMBER, zlib.crc32(dive_number.encode())))
        chosen[dive_number] = np.sort(rng.permutation(np.asarray(candidates, dtype=np.int64))[:count])
    return chosen


def choose_exemplars(
    query_numbers: Sequence[str],
    pool_numbers: Sequence[str],
    count: int,
    seed: int,
    *,
    shared: bool = False,
) -> list[NDArray[np.int64]]:
    """Draw the exemplars of each dive from the dives of the same number in the pool.

    Args:
        query_numbers: dive numbers of the dives to be scored.
        pool_numbers: dive numbers of the possible exemplars.
        count: exemplars of each dive; all there are where there are fewer.
        seed: of the draw.
        shared: all dives of a number get the same exemplars, those of ``shared_exemplars``.

    Returns:
        For each query the pool positions of its exemplars, ascending; empty where the pool has none.
    """
    none = np.empty(0, dtype=np.int64)
    if shared:
        of_number = shared_exemplars(pool_numbers, count, seed)
        return [of_number.get(dive_number, none) for dive_number in query_numbers]
    pool = by_dive_number(pool_numbers)
    chosen: list[NDArray[np.int64]] = []
    for query, dive_number in enumerate(query_numbers):
        candidates = np.asarray(pool.get(dive_number, none), dtype=np.int64)
        rng = np.random.default_rng((seed, RandomStream.EXEMPLARS_OF_DIVE, query))
        chosen.append(np.sort(rng.permutation(candidates)[:count]))
    return chosen
