"""Scores of listed dives against exemplars from another list, for validation and evaluation.

Every clip is encoded once and stored tokens are compared, where the published code encodes both videos again
for each exemplar; the numbers are the same (docs/reference/network.md, section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcore.common.errors import UserError
from mcore.common.exemplar_scores import nearest, predict_by_exemplars
from mcore.config import DEFAULT_DECODING, Decoding
from mcore.data.exemplars import choose_exemplars
from mcore.data.manifest import DiveRecord
from mcore.devices.distributed import SINGLE_PROCESS, Processes
from mcore.evaluation.clips import ClipBatch, ClipDataset, clip_loader, normalise
from mcore.network.model import MCoRe

CLIPS_PER_BATCH = 8
COLLAPSED_POINTS = 1e-3
"""Predicted differences that vary less than this say nothing about the dives."""

# Shapes: N dives, M exemplars, K tokens a stage, D features.


@dataclass(frozen=True)
class ScoringPlan:
    """Dives to be scored, and the exemplars of each."""

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

    def num_batches(self, processes: Processes = SINGLE_PROCESS) -> int:
        """Batches in which ``predict`` encodes them, in this process."""
        return sum(-(-len(processes.share(part)) // CLIPS_PER_BATCH) for part in (self.queries, self.pool))


@dataclass(frozen=True)
class Predictions:
    """Predictions for the queries of a plan."""

    scores: NDArray[np.float64]
    """(N,) points."""
    exemplar_std: NDArray[np.float64]
    """(N,) points: standard deviation over the exemplars."""
    transitions: NDArray[np.int64]
    """(N, 2) predicted, sampled frames."""
    true_transitions: NDArray[np.int64]
    """(N, 2) labelled, sampled frames; -1 where unknown."""


def collapsed_difference(predictions: Predictions, plan: ScoringPlan) -> float | None:
    """The difference of a regression that has collapsed to a constant, points; None: it tells dives apart.

    Such a network still ranks dives, by the scores of their exemplars, and every graph of it passes every comparison.
    """
    known = [np.mean([plan.pool[at].score for at in exemplars]) for exemplars in plan.exemplars]
    differences = predictions.scores - np.array(known)
    alike = len(differences) > 1 and np.ptp(differences) < COLLAPSED_POINTS
    return float(differences.mean()) if alike else None


@dataclass(frozen=True)
class EncodedDives:
    """Encodings that an evaluation keeps of its clips, in the loader's order."""

    tokens: Tensor
    """(N, 3K, D) float32 on the model's device, from the predicted transitions."""
    transitions: NDArray[np.int64]
    """(N, 2) predicted, sampled frames."""
    true_transitions: NDArray[np.int64]
    """(N, 2) labelled; -1 where unknown."""


def plan_scoring(
    queries: Sequence[DiveRecord],
    pool: Sequence[DiveRecord],
    *,
    num_exemplars: int | None,
    seed: int,
    shared: bool = False,
) -> ScoringPlan:
    """Choose exemplars for each dive and keep only what is needed.

    Each split has a draw of its own, so that its dives meet the same exemplars whatever other splits are scored beside.

    Args:
        queries: dives to score, of one split or several.
        pool: training dives.
        num_exemplars: exemplars of each dive, fewer where there are fewer; None takes all of its number.
        seed: of the choice.
        shared: the same exemplars for all dives of a number.

    Raises:
        UserError: no dive has an exemplar.
    """
    pool_numbers = [record.dive_number for record in pool]
    count = len(pool) if num_exemplars is None else num_exemplars
    draws = {
        split: iter(
            choose_exemplars(
                [record.dive_number for record in queries if record.split == split],
                pool_numbers,
                count,
                seed,
                shared=shared,
            )
        )
        for split in {record.split for record in queries}
    }
    chosen = [next(draws[record.split]) for record in queries]
    kept = [row for row, positions in enumerate(chosen) if len(positions)]
    if not kept:
        raise UserError(
            f"none of {len(queries)} dives has an exemplar of its number; dive numbers among the "
            f"{len(pool)} training dives: {', '.join(sorted(set(pool_numbers))) or 'none'}"
        )
    used, positions = np.unique(np.concatenate([chosen[row] for row in kept]), return_inverse=True)
    ends = np.cumsum([len(chosen[row]) for row in kept])
    return ScoringPlan(
        queries=[queries[row] for row in kept],
        skipped=[record for row, record in enumerate(queries) if not len(chosen[row])],
        pool=[pool[row] for row in used],
        exemplars=np.split(positions.astype(np.int64), ends[:-1]),
    )


def predict(
    model: MCoRe,
    plan: ScoringPlan,
    *,
    cache_dir: Path | None = None,
    workers: int = 0,
    after_batch: Callable[[], object] = lambda: None,
    decoding: Decoding = DEFAULT_DECODING,
    num_nearest: int | None = None,
    processes: Processes = SINGLE_PROCESS,
) -> Predictions:
    """Encode each dive of a plan once and score the queries; boundaries are the predicted ones.

    Args:
        model: network.
        plan: from ``plan_scoring``.
        cache_dir: folder of decoded clips.
        workers: processes that read clips; 0 reads in this one.
        after_batch: called after each batch of clips; may raise to stop.
        decoding: how transition logits become transitions.
        num_nearest: of each dive's exemplars, use only so many that look most like it; None uses all of the plan.
        processes: share the clips among them; all must call this, and all get the result.
    """
    queries, pool = (
        encode_records(
            model, records,
            cache_dir=cache_dir, workers=workers, after_batch=after_batch, decoding=decoding, processes=processes,
        )
        for records in (plan.queries, plan.pool)
    )  # fmt: skip
    exemplars = plan.exemplars
    if num_nearest is not None:
        query_tokens, pool_tokens = (tokens.cpu().numpy() for tokens in (queries.tokens, pool.tokens))
        exemplars = [
            positions[nearest(query, pool_tokens[positions], num_nearest)]
            for query, positions in zip(query_tokens, exemplars, strict=True)
        ]
    pool_scores = np.array([record.score for record in plan.pool])
    scores, exemplar_std = score_dives(model, queries.tokens, pool.tokens, pool_scores, exemplars)
    return Predictions(scores, exemplar_std, queries.transitions, queries.true_transitions)


def encode_records(
    model: MCoRe,
    records: Sequence[DiveRecord],
    *,
    cache_dir: Path | None = None,
    workers: int = 0,
    after_batch: Callable[[], object] = lambda: None,
    decoding: Decoding = DEFAULT_DECODING,
    processes: Processes = SINGLE_PROCESS,
) -> EncodedDives:
    """Encode dives in their order, each process its share; see ``predict``."""
    own, encoded = processes.share(records), None
    if own:
        clips = clip_loader(ClipDataset(own, model.config.clip, cache_dir), CLIPS_PER_BATCH, workers)
        encoded = encode_dives(model, clips, len(own), after_batch, decoding=decoding)
    if processes.world_size == 1 and encoded is not None:
        return encoded
    return _join(processes, encoded, len(records), next(model.parameters()).device)


def encode_dives(
    model: MCoRe,
    batches: Iterable[ClipBatch],
    num_dives: int,
    after_batch: Callable[[], object] = lambda: None,
    *,
    decoding: Decoding = DEFAULT_DECODING,
) -> EncodedDives:
    """Encode clips, one pass each, with their predicted transitions.

    Args:
        model: network; its mode does not matter.
        batches: clips, at least one.
        num_dives: clips in all batches together, N.
        after_batch: called after each batch; may raise to stop.
        decoding: how logits become transitions.
    """
    device = next(model.parameters()).device
    # All at once: a small block kept from each batch pins the large ones around it, 1.7 MB a dive at the default size.
    shape = (num_dives, model.config.num_tokens, model.config.backbone.feature_dim)
    tokens = torch.empty(shape, device=device)
    predicted, true = np.empty((num_dives, 2), np.int64), np.empty((num_dives, 2), np.int64)
    first = 0
    for batch in batches:
        encoding = model.encode(normalise(batch.frames.to(device), model.config.clip), decoding)
        rows = slice(first, first + len(encoding.tokens))
        tokens[rows], predicted[rows] = encoding.tokens, encoding.transitions.cpu().numpy()
        true[rows] = batch.transitions.numpy()
        first = rows.stop
        after_batch()
    return EncodedDives(tokens, predicted, true)


def score_dives(
    model: MCoRe,
    query_tokens: Tensor,
    exemplar_tokens: Tensor,
    exemplar_scores: NDArray[np.float64],
    exemplars: Sequence[NDArray[np.int64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score encoded dives by their exemplars: mean of exemplar score + predicted difference.

    Args:
        model: network.
        query_tokens: (N, 3K, D).
        exemplar_tokens: (M, 3K, D).
        exemplar_scores: (M,) points.
        exemplars: for each dive the positions of its exemplars, at least one.

    Returns:
        (N,) points, and (N,) points: their standard deviation over the exemplars.
    """
    scores, exemplar_stds = [], []
    for tokens, positions in zip(query_tokens, exemplars, strict=True):
        delta = model.compare(tokens[None], exemplar_tokens[torch.from_numpy(positions)])  # (E,)
        each = predict_by_exemplars(exemplar_scores[positions], delta.cpu().numpy())
        scores.append(each.mean())
        exemplar_stds.append(each.std())
    return np.array(scores), np.array(exemplar_stds)


def _join(processes: Processes, own: EncodedDives | None, total: int, device: torch.device) -> EncodedDives:
    """Put the shares of all processes back into one order; a process without a clip has None."""
    sent = None if own is None else (own.tokens.cpu().numpy(), own.transitions, own.true_transitions)
    shares = processes.gather(sent)
    first = next(share for share in shares if share is not None)
    joined = [np.empty((total, *column.shape[1:]), column.dtype) for column in first]
    for rank, share in enumerate(shares):
        if share is not None:
            for whole, part in zip(joined, share, strict=True):
                whole[rank :: processes.world_size] = part
    tokens, transitions, true_transitions = joined
    return EncodedDives(torch.from_numpy(tokens).to(device), transitions, true_transitions)
