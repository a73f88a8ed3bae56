"""How a network learns from few dives of one's own: what they are enough for, and the recipe. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mcore.common.conformal import MIN_DIVES
from mcore.common.errors import UserError
from mcore.data.leaks import distinct, unseen
from mcore.data.manifest import DiveRecord, read_manifest
from mcore.training.config import TrainingConfig
from mcore.training.losses import LOSSES

LEAST_TRAIN = 20
"""Training dives with a partner of their number, below which a network is not adapted: too few to learn a pool from."""
FEW_VAL = 50
"""Validation dives below which no epoch is chosen by them: by twenty, chance chose (docs/results/adapt.md)."""
FEW_TEST = 50
"""Test dives below which half a point of difference seldom shows."""
_PAIRS_ROOT = 240
"""Epochs times the root of the number of training dives: 44 epochs of 30 dives, 24 of 100, 8 of 1,000."""
_EPOCHS = (8, 48)
_VALIDATIONS = 8
_RATE_SHARE = 0.5
"""Of the learning rates that trained the network."""
_WARMUP_STEPS = 20


@dataclass(frozen=True)
class OwnDives:
    """One's own dives, without those that are there twice."""

    train: list[DiveRecord]
    val: list[DiveRecord]
    test: list[DiveRecord]

    def describe(self) -> list[str]:
        """Say what was found, and what it is not enough for."""
        lines = []
        for split, dives in vars(self).items():
            numbers = Counter(record.dive_number for record in dives)
            events = {record.event for record in dives} - {None}
            lines.append(
                f"{split:5}  {len(dives)} dives of {len(numbers)} numbers"
                + (f", {len(events)} events" if events else "")
                + (f": {', '.join(f'{number} {count}' for number, count in numbers.most_common())}" if numbers else "")
            )
        if len(self.val) < FEW_VAL:
            lines.append(
                f"note: {len(self.val)} validation dives are too few to choose a network well; {FEW_VAL} or more are "
                "worth having" + (f", and below {MIN_DIVES} there is no interval" if len(self.val) < MIN_DIVES else "")
            )
        if len(self.test) < FEW_TEST:
            lines.append(
                f"note: {len(self.test)} test dives are too few to tell a small difference: "
                f"the comparison may say nothing. {FEW_TEST} or more are worth having"
            )
        return lines


def read_own_dives(listing: Path, mixed: Sequence[DiveRecord]) -> OwnDives:
    """Read one's own list.

    Args:
        listing: the list.
        mixed: training dives of another list, none of which may measure the network.

    Raises:
        UserError: too few dives to learn from, or none to choose by.
    """
    records = read_manifest(listing)
    of: dict[str, list[DiveRecord]] = {
        split: distinct([record for record in records if record.split == split])[0]
        for split in ("train", "val", "test")
    }
    counts = Counter(record.dive_number for record in of["train"])
    paired = sum(count for count in counts.values() if count > 1)
    if paired < LEAST_TRAIN:
        raise UserError(
            f"{listing} has {len(of['train'])} training dives, {paired} of which have another of their number to be "
            f"compared with; a network is adapted to at least {LEAST_TRAIN}. With fewer, take the network as it is, "
            "with exemplars of your own: mcore-bundle exemplars"
        )
    known = [*of["train"], *mixed]
    val = unseen(of["val"], known)
    if sum(record.dive_number in counts for record in val) < 2:
        raise UserError(
            f"{listing} has fewer than two validation dives (split val) of numbers that are among its training dives: "
            "they are needed to choose a network"
        )
    return OwnDives(of["train"], val, unseen(of["test"], known))


def recipe(
    trained: TrainingConfig, own: Sequence[DiveRecord], mixed: Sequence[DiveRecord], *, share: float = 0.5,
    epochs: int | None = None, seed: int = 0,
) -> TrainingConfig:  # fmt: skip
    """Choose how to go on with a network.

    Everything learns, at half the rates that trained the network, falling to zero. Batch-norm's statistics are taken
    from one's own dives where the network's training estimated them: a pool's light and colours are in them.

    Args:
        trained: recipe that trained the network.
        own: training dives of one's own.
        mixed: those that are mixed in.
        share: of the pairs that come from them.
        epochs: None: fewer with more dives.
        seed: of all that is random.
    """
    chosen = epochs or min(max(round(_PAIRS_ROOT / len(own) ** 0.5), _EPOCHS[0]), _EPOCHS[1])
    records = (*own, *mixed)
    fed = {  # a loss whose column no dive has would be asked for in vain
        name: loss.column is None or any(getattr(record, loss.column) is not None for record in records)
        for name, loss in LOSSES.items()
    }
    return replace(
        trained,
        epochs=chosen,
        validate_every=max(1, chosen // _VALIDATIONS),
        learning_rate=trained.learning_rate * _RATE_SHARE,
        backbone_learning_rate=trained.backbone_learning_rate * _RATE_SHARE,
        schedule="cosine",
        warmup_steps=_WARMUP_STEPS,
        gradient_clip_norm=1.0,
        loss_weights={name: weight if fed[name] else 0.0 for name, weight in trained.loss_weights.items()},
        mix_share=share,
        seed=seed,
    )
