"""Single clips as PyTorch batches: read, cropped in the centre, normalised on the network's device.

Frames stay uint8 until they are on the device: a quarter of the memory traffic of floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mcore.config import ClipConfig
from mcore.data.cache import load_clip
from mcore.data.label_fit import label_transitions
from mcore.data.manifest import DiveRecord
from mcore.devices.loader import ClipLoader
from mcore.video import crop

# Shapes: N clips, T frames, c crop size.


@dataclass(frozen=True)
class ClipBatch:
    """Clips to be encoded."""

    frames: Tensor
    """(N, T, c, c, 3) uint8 RGB, centre crop."""
    transitions: Tensor
    """(N, 2) int64 true transitions on the sampled frames; -1 where they are not labelled."""


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
        labelled = record.transition_frames is not None
        transitions = label_transitions(record, clip) if labelled else (-1, -1)
        frames = torch.from_numpy(np.array(crop(clip.frames, self.config)))  # (T, c, c, 3)
        return ClipBatch(frames[None], torch.tensor([transitions]))


def clip_loader(dataset: ClipDataset, batch_size: int, workers: int = 0) -> ClipLoader[ClipBatch]:
    """Batches of single clips in the dataset's order."""
    batch_bytes = min(batch_size, len(dataset)) * frame_bytes(dataset.config)
    return ClipLoader(dataset, _join, workers, batch_bytes, batch_size=batch_size)


def frame_bytes(config: ClipConfig) -> int:
    """Size of a clip's frames as a loader hands them over."""
    return config.num_frames * config.crop_size**2 * 3


def normalise(frames: Tensor, config: ClipConfig) -> Tensor:
    """Turn frames into network input; ``mcore.video.normalise`` for batches, on the frames' device.

    Args:
        frames: (N, T, c, c, 3) uint8 RGB.
        config: mean and standard deviation.

    Returns:
        (N, 3, T, c, c) float32 whose memory stays channels-last, which convolutions on CPUs prefer.
    """
    x = frames.to(torch.float32).div_(255)
    x = x.sub_(x.new_tensor(config.mean)).div_(x.new_tensor(config.std))
    return x.permute(0, 4, 1, 2, 3)  # (N, 3, T, c, c)


def _join(clips: Sequence[ClipBatch]) -> ClipBatch:
    return ClipBatch(torch.cat([clip.frames for clip in clips]), torch.cat([clip.transitions for clip in clips]))
