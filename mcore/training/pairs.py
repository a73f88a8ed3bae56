"""Pairs of dives to learn from: each training dive as a query, with another dive of its number, both augmented.

Every random choice is a pure function of (seed, epoch, query), so that workers and restarts change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mcore.common.errors import UserError
from mcore.config import STAGES, ClipConfig
from mcore.data.cache import load_clip
from mcore.data.exemplars import RandomStream, by_dive_number
from mcore.data.label_fit import label_transitions
from mcore.data.manifest import DiveRecord
from mcore.devices.distributed import SINGLE_PROCESS, Processes
from mcore.devices.loader import ClipLoader
from mcore.evaluation.clips import frame_bytes
from mcore.video import crop

_NOT_KNOWN = (math.nan,) * len(STAGES)

# Shapes: B pairs, T frames, c crop size.


@dataclass(frozen=True)
class PairBatch:
    """Pairs to learn from; queries first, then their exemplars in the same order."""

    frames: Tensor
    """(2B, T, c, c, 3) uint8 RGB."""
    transitions: Tensor
    """(2B, 2) int64, true transitions."""
    scores: Tensor
    """(2B,) float32, true scores, points."""
    stage_points: Tensor
    """(2B, 3) float32, what the faults of each stage cost, points; NaN where it is not known."""
    faults: Tensor
    """(2B, F) float32, severity of each fault that the network is asked for, 0 to 1; NaN where it is not known."""

    @property
    def num_pairs(self) -> int:
        """B."""
        return len(self.scores) // 2

    def split(self, num_parts: int) -> list[PairBatch]:
        """Divide into parts of nearly equal size; fewer parts where there are fewer pairs."""
        if num_parts == 1:
            return [self]
        parts = []
        for rows in np.array_split(np.arange(self.num_pairs), min(num_parts, self.num_pairs)):
            both = torch.from_numpy(np.concatenate([rows, rows + self.num_pairs]))  # queries, then their exemplars
            columns = (self.frames, self.transitions, self.scores, self.stage_points, self.faults)
            parts.append(PairBatch(*(column[both] for column in columns)))
        return parts


@dataclass(frozen=True)
class Mix:
    """Dives of another list, to be learned from beside those of the run's own."""

    records: Sequence[DiveRecord]
    share: float
    """Of all pairs."""
    cache_dir: Path | None = None
    """Folder of its decoded clips."""


class PairDataset(Dataset[PairBatch]):
    """Training dives, each as a query with a random other dive of its number; and a part of another list's an epoch."""

    def __init__(
        self,
        records: Sequence[DiveRecord],
        config: ClipConfig,
        *,
        seed: int,
        flip_probability: float,
        faults: Sequence[str] = (),
        cache_dir: Path | None = None,
        mix: Mix | None = None,
    ) -> None:
        """Keep the dives that have a partner in their own list; ``faults`` names those whose severities a batch holds.

        Raises:
            UserError: no dive number has two dives, or a dive has no transitions.
        """
        self.records, self.single_numbers = _with_partner(records)
        self.mixed = [] if mix is None else _with_partner(mix.records)[0]
        share = 0.0 if mix is None else mix.share
        self.num_mixed = max(1, round(len(self.records) * share / (1 - share))) if self.mixed else 0
        self.config, self.cache_dir = config, cache_dir
        self._mix_cache_dir = None if mix is None else mix.cache_dir
        self.seed, self.flip_probability, self.faults = seed, flip_probability, faults
        self._partners = [
            by_dive_number([record.dive_number for record in each]) for each in (self.records, self.mixed)
        ]

    def __len__(self) -> int:
        """Pairs of an epoch."""
        return len(self.records) + self.num_mixed

    def __getitem__(self, key: tuple[int, int]) -> PairBatch:
        """Read the pair (epoch, query position) as a batch of one; mixed dives come after the run's own."""
        epoch, query = key
        is_mixed = query >= len(self.records)
        pool = self.mixed if is_mixed else self.records
        cache_dir = self._mix_cache_dir if is_mixed else self.cache_dir
        place = self._mixed_place(epoch, query - len(self.records)) if is_mixed else query
        partner = self._partner(epoch, query, self._partners[is_mixed][pool[place].dive_number], place)
        clips, transitions = [], []
        for role, position in enumerate((place, partner)):
            record = pool[position]
            clip = load_clip(record, self.config, cache_dir)
            rng = np.random.default_rng((self.seed, RandomStream.AUGMENTATION, epoch, query, role))
            clips.append(augment(clip.frames, self.config, rng, self.flip_probability))
            transitions.append(label_transitions(record, clip))
        both = [pool[place], pool[partner]]
        return PairBatch(
            torch.from_numpy(np.stack(clips)),  # (2, T, c, c, 3)
            torch.tensor(transitions),
            torch.tensor([record.score for record in both], dtype=torch.float32),
            torch.tensor([record.stage_points or _NOT_KNOWN for record in both], dtype=torch.float32),
            torch.tensor([self._severities(record) for record in both], dtype=torch.float32),
        )

    def _severities(self, record: DiveRecord) -> list[float]:
        known = record.faults or {}
        return [known.get(name, math.nan) for name in self.faults]

    def _mixed_place(self, epoch: int, slot: int) -> int:
        """Place of an epoch's mixed dive in its list; all are seen before one is seen again."""
        round_, place = divmod(epoch * self.num_mixed + slot, len(self.mixed))
        order = np.random.default_rng((self.seed, RandomStream.MIXED_DIVES, round_)).permutation(len(self.mixed))
        return int(order[place])

    def _partner(self, epoch: int, query: int, group: Sequence[int], place: int) -> int:
        """Draw the query's exemplar; each epoch pairs anew."""
        others = [other for other in group if other != place]
        return int(np.random.default_rng((self.seed, RandomStream.TRAINING_PARTNER, epoch, query)).choice(others))


def augment(
    frames: NDArray[np.uint8], config: ClipConfig, rng: np.random.Generator, flip_probability: float
) -> NDArray[np.uint8]:
    """Crop at one random position and flip the whole clip left to right with a probability.

    Args:
        frames: (T, resize_height, resize_width, 3).
        config: crop size.
        rng: source of the three random numbers.
        flip_probability: 0..1.

    Returns:
        (T, crop, crop, 3), contiguous.
    """
    top = int(rng.integers(0, config.resize_height - config.crop_size + 1))
    left = int(rng.integers(0, config.resize_width - config.crop_size + 1))
    cropped = crop(frames, config, top, left)
    if rng.random() < flip_probability:
        cropped = cropped[:, :, ::-1]
    return np.ascontiguousarray(cropped)


class EpochBatches:
    """Batch sampler: (epoch, query) keys in the epoch's order, from any step on (for resuming).

    Of several processes each gets its share of every batch, so that together they see each dive once an epoch.
    """

    def __init__(self, num_items: int, batch_size: int, seed: int, processes: Processes = SINGLE_PROCESS) -> None:
        """Begin with the first epoch.

        Args:
            num_items: training dives.
            batch_size: pairs of a step, of all processes together.
            seed: of the order.
            processes: those that share the batches.
        """
        self.num_items, self.batch_size, self.seed, self.processes = num_items, batch_size, seed, processes
        self.epoch, self.first_step = 0, 0

    def __len__(self) -> int:
        """Steps of a whole epoch; the last batch may be smaller."""
        return -(-self.num_items // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, RandomStream.EPOCH_ORDER, self.epoch)).permutation(self.num_items)
        for start in range(self.first_step * self.batch_size, self.num_items, self.batch_size):
            keys = [(self.epoch, int(query)) for query in order[start : start + self.batch_size]]
            # A process must make every step; where a short batch has no pair for it, it gets one not to be counted.
            yield list(self.processes.share(keys)) or keys[:1]

    def pairs_in_step(self, step: int) -> int:
        """Pairs of a step of an epoch in all processes together; the last step may have fewer."""
        return min(self.batch_size, self.num_items - step * self.batch_size)


def pair_loader(dataset: PairDataset, batches: EpochBatches, workers: int = 0) -> ClipLoader[PairBatch]:
    """Batches of pairs in the order of ``batches``; workers change their speed, nothing else."""
    pairs = -(-min(batches.batch_size, batches.num_items) // batches.processes.world_size)
    batch_bytes = 2 * pairs * frame_bytes(dataset.config)
    return ClipLoader(dataset, _join, workers, batch_bytes, batch_sampler=batches, persistent_workers=workers > 0)


def _with_partner(records: Sequence[DiveRecord]) -> tuple[list[DiveRecord], list[str]]:
    """Keep the dives of numbers that have two; also says which numbers have one."""
    _check_labelled(records)
    groups = by_dive_number([record.dive_number for record in records])
    kept = [record for record in records if len(groups[record.dive_number]) > 1]
    if not kept:
        raise UserError(f"none of {len(records)} training dives has another dive of its number to be compared with")
    return kept, sorted(number for number, group in groups.items() if len(group) == 1)


def _check_labelled(records: Sequence[DiveRecord]) -> None:
    """Refuse dives without transitions, all at once."""
    if bare := [record for record in records if record.transition_frames is None]:
        raise UserError(
            f"{len(bare)} of {len(records)} dives have no transition_frames (the first: {bare[0].path}); "
            "training needs the first frame of the flight and of the entry: add them to the list of dives"
        )


def _join(pairs: Sequence[PairBatch]) -> PairBatch:
    """All queries, then all exemplars."""

    def join(name: str) -> Tensor:
        columns = [getattr(pair, name) for pair in pairs]
        return torch.cat([column[:1] for column in columns] + [column[1:] for column in columns])

    return PairBatch(join("frames"), join("transitions"), join("scores"), join("stage_points"), join("faults"))
