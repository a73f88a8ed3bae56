"""Dives as PyTorch datasets: single clips to be scored, and augmented pairs to learn from.

Frames stay uint8 until they are on the device: a quarter of the memory traffic of floats.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.data.augment import augment
from mcore.data.cache import LoadedClip, load_clip
from mcore.data.manifest import DiveRecord
from mcore.data.pairs import augmentation_stream, by_dive_number, epoch_order, training_partner
from mcore.video import crop, sampled_transitions

# Shapes: B pairs, N clips, T frames, c crop size.


@dataclass(frozen=True)
class ClipBatch:
    """Clips to be encoded."""

    frames: Tensor
    """(N, T, c, c, 3) uint8 RGB, centre crop."""
    transitions: Tensor
    """(N, 2) int64 true transitions on the sampled frames; -1 where they are not labelled."""


@dataclass(frozen=True)
class PairBatch:
    """Pairs to learn from; queries first, then their exemplars in the same order."""

    frames: Tensor
    """(2B, T, c, c, 3) uint8 RGB."""
    transitions: Tensor
    """(2B, 2) int64."""
    scores: Tensor
    """(2B,) float32 points."""

    @property
    def num_pairs(self) -> int:
        """B."""
        return len(self.scores) // 2


class ClipDataset(Dataset[ClipBatch]):
    """Single dives, centre crop, for validation and evaluation."""

    def __init__(self, records: Sequence[DiveRecord], config: ClipConfig, cache_dir: Path | None = None) -> None:
        self.records, self.config, self.cache_dir = list(records), config, cache_dir

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, position: int) -> ClipBatch:
        """Read one dive as a batch of one."""
        record = self.records[position]
        clip = load_clip(record, self.config, self.cache_dir)
        known = record.transition_frames is not None
        transitions = label_transitions(record, clip) if known else (-1, -1)
        return ClipBatch(
            torch.from_numpy(np.array(crop(clip.frames, self.config)))[None],
            torch.tensor([transitions]),
        )


class PairDataset(Dataset[PairBatch]):
    """Training dives, each as a query with a random other dive of its number."""

    def __init__(
        self,
        records: Sequence[DiveRecord],
        config: ClipConfig,
        *,
        seed: int,
        flip_probability: float,
        cache_dir: Path | None = None,
    ) -> None:
        """Keep the dives that have a partner.

        Raises:
            UserError: no dive number has two dives, or a dive has no transitions.
        """
        check_labelled(records)
        groups = by_dive_number([record.dive_number for record in records])
        self.single_numbers = sorted(number for number, group in groups.items() if len(group) == 1)
        self.records = [record for record in records if len(groups[record.dive_number]) > 1]
        if not self.records:
            raise UserError(f"none of {len(records)} training dives has another dive of its number to be compared with")
        self.config, self.cache_dir = config, cache_dir
        self.seed, self.flip_probability = seed, flip_probability
        self._groups = by_dive_number([record.dive_number for record in self.records])

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> PairBatch:
        """Read the pair (epoch, query position) as a batch of one."""
        epoch, query = key
        candidates = self._groups[self.records[query].dive_number]
        exemplar = training_partner(candidates, query, self.seed, epoch)
        query_clip = self._augmented(query, augmentation_stream(self.seed, epoch, query, 0))
        exemplar_clip = self._augmented(exemplar, augmentation_stream(self.seed, epoch, query, 1))
        scores = [self.records[query].score, self.records[exemplar].score]
        return PairBatch(
            torch.from_numpy(np.stack([query_clip[0], exemplar_clip[0]])),
            torch.tensor([query_clip[1], exemplar_clip[1]]),
            torch.tensor(scores, dtype=torch.float32),
        )

    def _augmented(self, position: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        record = self.records[position]
        clip = load_clip(record, self.config, self.cache_dir)
        return augment(clip.frames, self.config, rng, self.flip_probability), label_transitions(record, clip)


class EpochBatches:
    """Batch sampler: (epoch, query) keys in the epoch's order, from any step on (for resuming)."""

    def __init__(self, num_items: int, batch_size: int, seed: int) -> None:
        self.num_items, self.batch_size, self.seed = num_items, batch_size, seed
        self.epoch, self.first_step = 0, 0

    def __len__(self) -> int:
        """Steps of a whole epoch; the last batch may be smaller."""
        return -(-self.num_items // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = epoch_order(self.num_items, self.seed, self.epoch)
        for start in range(self.first_step * self.batch_size, self.num_items, self.batch_size):
            yield [(self.epoch, int(query)) for query in order[start : start + self.batch_size]]


def pair_loader(dataset: PairDataset, batches: EpochBatches, workers: int = 0) -> DataLoader[PairBatch]:
    """Batches of pairs in the order of ``batches``; workers change their speed, nothing else."""
    # A generator of its own: otherwise every iteration draws from the global one, and a resumed run,
    # which starts one iteration more, would drop out other units than an uninterrupted one.
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=_join_pairs,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_leave_interrupts_to_the_parent,
        generator=torch.Generator(),
    )


def clip_loader(dataset: ClipDataset, batch_size: int, workers: int = 0) -> DataLoader[ClipBatch]:
    """Batches of single clips in the dataset's order."""
    return DataLoader(
        dataset,
        batch_size,
        collate_fn=_join_clips,
        num_workers=workers,
        worker_init_fn=_leave_interrupts_to_the_parent,
        generator=torch.Generator(),
    )


def label_transitions(record: DiveRecord, clip: LoadedClip) -> tuple[int, int]:
    """True transitions of a dive on its sampled frames.

    Raises:
        UserError: not labelled, or so close to each other or the ends that a stage has no sampled frame.
    """
    if record.transition_frames is None:
        raise UserError(f"{record.path} has no transition_frames")
    first, second = sampled_transitions(record.transition_frames, clip.indices)
    num_frames = len(clip.indices)
    if not 0 < first < second < num_frames:
        raise UserError(
            f"{record.path}: transition_frames {record.transition_frames} become {first} and {second} "
            f"of {num_frames} sampled frames, which leaves a stage empty: check the labels, or sample more"
        )
    return first, second


def check_labelled(records: Sequence[DiveRecord]) -> None:
    """Refuse dives without transitions, all at once.

    Raises:
        UserError: some have none.
    """
    if bare := [record for record in records if record.transition_frames is None]:
        raise UserError(
            f"{len(bare)} of {len(records)} dives have no transition_frames (the first: {bare[0].path}); "
            "training needs the first frame of the flight and of the entry: add them to the list of dives"
        )


def _leave_interrupts_to_the_parent(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; a worker that died of it would fail the step to be finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _join_pairs(pairs: Sequence[PairBatch]) -> PairBatch:
    def join(name: str) -> Tensor:
        columns = [getattr(pair, name) for pair in pairs]
        return torch.cat([column[:1] for column in columns] + [column[1:] for column in columns])

    return PairBatch(join("frames"), join("transitions"), join("scores"))


def _join_clips(clips: Sequence[ClipBatch]) -> ClipBatch:
    return ClipBatch(
        torch.cat([clip.frames for clip in clips]),
        torch.cat([clip.transitions for clip in clips]),
    )
