"""Score listed dives against exemplars from another list: what validation and evaluation have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.data.dataset import ClipDataset, clip_loader
from mcore.data.manifest import DiveRecord
from mcore.data.pairs import choose_exemplars
from mcore.engine import encode_dives, score_dives
from mcore.errors import UserError
from mcore.model import MCoRe

CLIPS_A_BATCH = 8


@dataclass(frozen=True)
class Plan:
    """Which dives are scored, and against which."""

    queries: list[DiveRecord]
    """Dives that have an exemplar."""
    skipped: list[DiveRecord]
    """Dives of numbers that the pool lacks."""
    pool: list[DiveRecord]
    """The exemplars that some query uses."""
    exemplars: list[NDArray[np.int64]]
    """For each query, positions in ``pool``."""

    @property
    def num_clips(self) -> int:
        """Clips to encode."""
        return len(self.queries) + len(self.pool)

    @property
    def num_batches(self) -> int:
        """Batches in which ``predict`` encodes them."""
        return sum(-(-len(part) // CLIPS_A_BATCH) for part in (self.queries, self.pool))


@dataclass(frozen=True)
class Predictions:
    """What the network says about the queries of a plan."""

    scores: NDArray[np.float64]
    """(N,) points."""
    spread: NDArray[np.float64]
    """(N,) points: standard deviation over the exemplars."""
    transitions: NDArray[np.int64]
    """(N, 2) predicted, sampled frames."""
    true_transitions: NDArray[np.int64]
    """(N, 2) labelled, sampled frames; -1 where unknown."""


def plan_scoring(
    queries: Sequence[DiveRecord],
    pool: Sequence[DiveRecord],
    *,
    num_exemplars: int,
    seed: int,
    shared: bool = False,
) -> Plan:
    """Choose exemplars for each dive and keep only what is needed.

    Args:
        queries: dives to score.
        pool: training dives.
        num_exemplars: exemplars of each dive, fewer where there are fewer.
        seed: of the choice.
        shared: the same exemplars for all dives of a number.

    Raises:
        UserError: no dive has an exemplar.
    """
    query_numbers = [record.dive_number for record in queries]
    pool_numbers = [record.dive_number for record in pool]
    chosen = choose_exemplars(query_numbers, pool_numbers, num_exemplars, seed, shared=shared)
    kept = [row for row, positions in enumerate(chosen) if len(positions)]
    if not kept:
        raise UserError(
            f"none of {len(queries)} dives has an exemplar of its number; dive numbers among the "
            f"{len(pool)} training dives: {', '.join(sorted(set(pool_numbers))) or 'none'}"
        )
    used, positions = np.unique(np.concatenate([chosen[row] for row in kept]), return_inverse=True)
    ends = np.cumsum([len(chosen[row]) for row in kept])
    return Plan(
        queries=[queries[row] for row in kept],
        skipped=[record for row, record in enumerate(queries) if not len(chosen[row])],
        pool=[pool[row] for row in used],
        exemplars=np.split(positions.astype(np.int64), ends[:-1]),
    )


def predict(
    model: MCoRe,
    plan: Plan,
    *,
    cache_dir: Path | None = None,
    workers: int = 0,
    after_batch: Callable[[], object] = lambda: None,
) -> Predictions:
    """Encode each dive of a plan once and score the queries; boundaries are the predicted ones.

    Args:
        model: network.
        plan: from ``plan_scoring``.
        cache_dir: folder of decoded clips.
        workers: processes that read clips; 0 reads in this one.
        after_batch: called after each batch of clips; may raise to stop.
    """
    clip_config = model.config.clip
    encoded_queries, encoded_pool = (
        encode_dives(
            model,
            clip_loader(ClipDataset(records, clip_config, cache_dir), CLIPS_A_BATCH, workers),
            after_batch,
        )
        for records in (plan.queries, plan.pool)
    )
    pool_scores = np.array([record.score for record in plan.pool])
    scored = score_dives(model, encoded_queries.tokens, encoded_pool.tokens, pool_scores, plan.exemplars)
    return Predictions(scored.scores, scored.spread, encoded_queries.transitions, encoded_queries.true_transitions)
