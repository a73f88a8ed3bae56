"""Networks on the same dives of one's own: scored as their bundles would, and compared dive by dive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.config import EXEMPLARS_PER_NUMBER
from mcore.data.cache_folder import decode_missing
from mcore.data.manifest import DiveRecord
from mcore.devices.device import choose_device
from mcore.evaluation.assessment import Figure, Outcome, assess
from mcore.evaluation.run import trained_decoding
from mcore.evaluation.scoring import plan_scoring, predict
from mcore.network.checkpoint import build_model, read_checkpoint

CHOOSES = "mae_points"
"""Figure on the validation dives by which a network is chosen. The epoch was chosen by SRCC on the same dives, so that
SRCC would flatter the new network more."""


@dataclass(frozen=True)
class ScoredDive:
    """What a network makes of a dive."""

    points: float
    transitions: NDArray[np.int64]
    """(2,) predicted, sampled frames."""
    true_transitions: NDArray[np.int64]


Scored = Mapping[DiveRecord, ScoredDive]
"""Scored dives; those of numbers without exemplars are missing."""


@dataclass(frozen=True)
class Compared:
    """A network beside another, on the same dives."""

    dives: int
    figures: Mapping[str, Figure]
    """By metric, with 95 % intervals over dives."""
    less_other: Mapping[str, Figure]
    """Less the other's, on the same resamples of dives: an interval without 0 is a real difference."""

    @property
    def is_better(self) -> bool:
        """Whether its figure that chooses is below the other's."""
        difference = self.less_other[CHOOSES].value
        return difference is not None and difference < 0

    @property
    def can_tell(self) -> bool:
        """Whether these dives tell the two apart by that figure."""
        figure = self.less_other[CHOOSES]
        return figure.low is not None and figure.high is not None and (figure.low > 0 or figure.high < 0)


def score_dives(
    checkpoint_path: Path,
    queries: Sequence[DiveRecord],
    pool: Sequence[DiveRecord],
    cache_dir: Path | None,
    *,
    device: str,
    workers: int,
) -> Scored:
    """Score dives as a bundle of this checkpoint would, with exemplars from a pool.

    Raises:
        UserError: no dive has an exemplar of its number.
    """
    checkpoint = read_checkpoint(checkpoint_path)
    model = build_model(checkpoint, checkpoint_path).to(choose_device(device))
    plan = plan_scoring(queries, pool, num_exemplars=None, seed=0)
    if cache_dir is not None:
        decode_missing([*plan.queries, *plan.pool], model.config.clip, cache_dir, workers)
    found = predict(
        model, plan, cache_dir=cache_dir, workers=workers, decoding=trained_decoding(checkpoint),
        num_nearest=EXEMPLARS_PER_NUMBER,
    )  # fmt: skip
    rows = zip(found.scores.tolist(), found.transitions, found.true_transitions, strict=True)
    return {record: ScoredDive(*row) for record, row in zip(plan.queries, rows, strict=True)}


def compare(dives: Sequence[DiveRecord], one: Scored, other: Scored) -> Compared | None:
    """Compare two networks on the dives that both scored; None: there are fewer than two."""
    both = [record for record in dives if record in one and record in other]
    if len(both) < 2:
        return None
    ours, theirs = ([scored[record] for record in both] for scored in (one, other))
    outcome = Outcome(
        scores=np.array([dive.points for dive in ours]),
        true_scores=np.array([record.score for record in both]),
        baseline_scores=np.array([dive.points for dive in theirs]),
        dive_numbers=np.array([record.dive_number for record in both]),
        difficulties=np.full(len(both), np.nan),
        transitions=np.array([dive.transitions for dive in ours]),
        true_transitions=np.array([dive.true_transitions for dive in ours]),
        baseline_transitions=np.array([dive.transitions for dive in theirs]),
        exemplar_std=np.zeros(len(both)),
    )
    rows = assess(outcome)
    return Compared(len(both), {row.name: row.model for row in rows}, {row.name: row.difference for row in rows})
