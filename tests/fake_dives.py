"""Dives as folders of a few tiny images, quick to write and to learn: brightness is the score, hue the stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mcore.config import BackboneConfig, ClipConfig, ModelConfig
from mcore.data.manifest import DiveRecord, Split, write_manifest

CLIP = ClipConfig(num_frames=8, resize_height=20, resize_width=16, crop_size=16)
MODEL = ModelConfig(
    clip=CLIP,
    backbone=BackboneConfig(stem_width=8, widths=(8, 16), depths=(1, 1)),
    tokens_per_stage=2,
    decoder_layers=1,
    decoder_heads=2,
    decoder_mlp_ratio=2,
    regressor_hidden=(16, 8),
)
MODEL_FLAGS = [
    *("--model.clip.num-frames", "8", "--model.clip.resize-height", "20"),
    *("--model.clip.resize-width", "16", "--model.clip.crop-size", "16"),
    *("--model.backbone.stem-width", "8", "--model.backbone.widths", "8", "16"),
    *("--model.backbone.depths", "1", "1", "--model.tokens-per-stage", "2", "--model.decoder-layers", "1"),
    *("--model.decoder-heads", "2", "--model.decoder-mlp-ratio", "2", "--model.regressor-hidden", "16", "8"),
]
SPLITS: tuple[Split, ...] = ("train", "train", "train", "train", "val", "val", "test", "test")


def write_fake_dives(folder: Path, dive_numbers: tuple[str, ...] = ("101A", "205B"), seed: int = 0) -> Path:
    """Write eight dives of each number and their list; returns the list's path."""
    rng = np.random.default_rng(seed)
    records = []
    for dive_number in dive_numbers:
        base = rng.uniform(30, 60)
        for index, split in enumerate(SPLITS):
            score = round(float(base + rng.uniform(0, 40)), 2)
            num_frames = int(rng.integers(10, 15))
            transitions = (int(rng.integers(3, 5)), int(rng.integers(7, 9)))
            path = folder / f"{dive_number}_{index}"
            path.mkdir(parents=True)
            for frame in range(num_frames):
                picture = np.full((24, 18, 3), 20, np.uint8)
                stage = sum(frame >= transition for transition in transitions)
                picture[..., stage] = int(2 * score)
                picture[: 2 * frame % 24, :6] = 128
                Image.fromarray(picture).save(path / f"{frame:04d}.png")
            dive = DiveRecord(path, dive_number, score, 2.5, split, num_frames, transitions, origin="rendered")
            records.append(dive)
    write_manifest(folder / "manifest.jsonl", records)
    return folder / "manifest.jsonl"
