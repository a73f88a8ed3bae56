"""Pretraining of a backbone on single frames of drawn divers: it learns to see how a body is held.

Scores say little about poses: 2,000 of them did not teach the tiny network to see bodies. The renderer knows every
pose, and a frame teaches one whatever the dive was worth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mcore.common.errors import UserError
from mcore.common.files import replacing
from mcore.common.optional import require
from mcore.config import NETWORKS, ClipConfig
from mcore.data.cache import load_clip
from mcore.data.cache_folder import cache_folder
from mcore.data.manifest import DiveRecord, Split, read_manifest, select_split
from mcore.data.redrawn import find_drawings
from mcore.devices.device import choose_device
from mcore.evaluation.clips import normalise
from mcore.network.backbone import RegNetY
from mcore.synthetic.poses import MIRRORED, NUM_TARGETS
from mcore.training.config import PretrainingOptions

_SPLITS: tuple[Split, Split] = ("train", "val")
_VALIDATION_FRAMES = 2048
_REPORT_STEPS = 100
_WARMUP_STEPS = 50
_WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class PoseFrames:
    """Frames of drawn dives in which the diver can be seen, with their poses."""

    clips: list[NDArray[np.uint8]]
    """Of each dive (T, resize_height, resize_width, 3), mapped from the cache's files."""
    places: NDArray[np.int64]
    """(N, 2) dive and frame."""
    poses: NDArray[np.float32]
    """(N, 18) of ``limb_directions``."""


def pretrain(options: PretrainingOptions, log: Callable[[str], object] = print) -> float:
    """Train a backbone to tell poses, and write it as ``--pretrained`` reads it.

    Returns:
        Share of the poses' variance that is left in validation frames: 1 is a guess of the mean.

    Raises:
        UserError: the dives were not drawn here, or a split has none.
    """
    save_file = require("safetensors.torch", "train", "Writing .safetensors files").save_file
    model = NETWORKS[options.preset]
    device = choose_device(options.device)
    records, cache = read_manifest(options.data), cache_folder(options.data, options.cache, no_cache=False)
    training, validation = (read_frames(options.data, select_split(records, s), model.clip, cache, s) for s in _SPLITS)
    mean, std = training.poses.mean(0), training.poses.std(0)
    log(f"{len(training.places)} training and {len(validation.places)} validation frames")

    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    backbone = RegNetY(model.backbone).to(device)
    head = nn.Linear(model.backbone.feature_dim, NUM_TARGETS).to(device)  # is of no use afterwards
    parameters = [*backbone.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=_WEIGHT_DECAY)

    def loss_of(frames: NDArray[np.uint8], poses: NDArray[np.float32]) -> Tensor:
        clips = normalise(torch.from_numpy(frames[:, None]).to(device), model.clip)  # clips of one frame each
        wanted = torch.from_numpy((poses - mean) / std).to(device)
        found: Tensor = head(backbone(clips)[:, 0])
        return (found - wanted).square().mean()

    began, total, left = time.perf_counter(), 0.0, 1.0
    for step in range(1, options.steps + 1):
        factor = min(1.0, step / _WARMUP_STEPS) * 0.5 * (1 + np.cos(np.pi * step / options.steps))
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * factor
        loss = loss_of(*draw_batch(training, options.batch_size, model.clip, rng))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        total += loss.item()
        if step % _REPORT_STEPS and step != options.steps:
            continue
        backbone.eval()
        with torch.no_grad():
            left = float(np.mean([loss_of(*batch).item() for batch in _in_order(validation, model.clip)]))
        backbone.train()
        steps = (step - 1) % _REPORT_STEPS + 1
        took_s = time.perf_counter() - began
        log(f"step {step}/{options.steps}  {took_s:.0f} s  variance left: {total / steps:.3f}, validation {left:.3f}")
        total = 0.0
        # Half precision is enough to begin with, and ships at half the size.
        state = {name: t.half().cpu().contiguous() for name, t in backbone.state_dict().items() if _is_spatial(name)}
        with replacing(options.out) as path:
            save_file(state, path)
    return left


def read_frames(
    listing: Path, records: Sequence[DiveRecord], config: ClipConfig, cache: Path | None, split: Split
) -> PoseFrames:
    """Find the frames of a list's dives that show the diver.

    Args:
        listing: the list of dives.
        records: dives of it.
        config: sampling contract.
        cache: folder of decoded clips.
        split: for messages.

    Raises:
        UserError: no dives, or they were not drawn by ``mcore-data render``.
    """
    drawings = find_drawings(listing, records)
    if drawings is None or not records:
        raise UserError(
            f"{listing} has {len(records)} {split} dives{' whose poses are known' if records else ''}; poses are known "
            "of drawn dives only: make a list with mcore-data render"
        )
    clips, places, poses = [], [], []
    for number, (record, (drawing, _)) in enumerate(zip(records, drawings, strict=True)):
        clip = load_clip(record, config, cache)
        pose = drawing.limb_directions()[clip.indices]  # (T, 18)
        seen = np.flatnonzero(~np.isnan(pose).any(axis=1))
        clips.append(clip.frames)
        places.append(np.stack([np.full(len(seen), number), seen], axis=1))
        poses.append(pose[seen])
    return PoseFrames(clips, np.concatenate(places), np.concatenate(poses))


def draw_batch(
    frames: PoseFrames, size: int, config: ClipConfig, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw single frames of many dives, cropped at one place, each mirrored or not.

    A batch of whole clips would show the divers and venues of eight dives only, from which hardly anything was learned.

    Returns:
        (size, c, c, 3) pictures and (size, 18) poses.
    """
    rows = rng.integers(0, len(frames.places), size)
    top = int(rng.integers(0, config.resize_height - config.crop_size + 1))
    left = int(rng.integers(0, config.resize_width - config.crop_size + 1))
    pictures, poses = _crop(frames, rows, config, top, left), frames.poses[rows].copy()
    mirrored = rng.random(size) < 0.5
    pictures[mirrored] = pictures[mirrored, :, ::-1]
    poses[np.ix_(mirrored, MIRRORED)] *= -1
    return pictures, poses


def _in_order(frames: PoseFrames, config: ClipConfig) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Frames spread evenly over all, in the centre crop, in batches."""
    rows = np.unique(np.linspace(0, len(frames.places) - 1, _VALIDATION_FRAMES).round().astype(int))
    top, left = (config.resize_height - config.crop_size) // 2, (config.resize_width - config.crop_size) // 2
    parts = np.array_split(rows, max(1, len(rows) // 256))
    return [(_crop(frames, part, config, top, left), frames.poses[part]) for part in parts]


def _crop(frames: PoseFrames, rows: NDArray[np.int64], config: ClipConfig, top: int, left: int) -> NDArray[np.uint8]:
    size = config.crop_size
    return np.stack(
        [frames.clips[dive][frame, top : top + size, left : left + size] for dive, frame in frames.places[rows]]
    )


def _is_spatial(name: str) -> bool:
    """Return whether a tensor is learned from single frames: shifts in time start as they do without pretraining."""
    return ".shift." not in name and not name.endswith("num_batches_tracked")
