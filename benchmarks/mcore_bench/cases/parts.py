"""The parts of scoring a dive, one by one and end to end, on everything that a bundle runs on here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.config import ClipConfig
from mcore.synthetic import render_dive, write_video
from mcore.video import crop, normalise, resize_frame, sample_clip, sample_indices
from mcore.video.picture import to_rgb
from mcore.video.pyav_reader import decode
from mcore_bench.candidates import Candidate
from mcore_bench.timing import Call, TimingGroup, TimingSettings, compare
from mcore_runtime.scoring.scorer import Scorer

PARTS = ("backbone", "segmenter", "regressor")


@dataclass(frozen=True)
class Dive:
    """Dive that is scored: a video, and the same dive in memory."""

    video: Path
    dive_number: str
    rgb: NDArray[np.uint8]
    """(T, H, W, 3), the sampled frames before resizing."""
    clip: NDArray[np.float32]
    """(3, T, c, c), network input."""


def rendered_dive(path: Path, dive_number: str, config: ClipConfig, size: tuple[int, int]) -> Dive:
    """Render a dive of this width and height, write its video, and read its sampled frames back at their full size."""
    dive = render_dive(dive_number, 7, width=size[0], height=size[1])
    write_video(path, dive.frames, dive.plan.fps)
    frames = list(decode(path))
    rgb = np.stack([to_rgb(frames[i]) for i in sample_indices(len(frames), config.num_frames)])
    return Dive(path, dive_number, rgb, _prepare(rgb, config))


def measure_video(dive: Dive, config: ClipConfig, settings: TimingSettings) -> TimingGroup:
    """Time what happens to a video before the network, step by step and all of it."""
    height, width = dive.rgb.shape[1:3]
    frames = list(decode(dive.video))
    chosen = [frames[i] for i in sample_indices(len(frames), config.num_frames)]
    whole = "video to network input"
    calls: dict[str, Call] = {
        whole: lambda: normalise(sample_clip(dive.video, config, central=True).frames, config),
        "decode": lambda: _run_through(decode(dive.video)),
        "to RGB": lambda: _run_through(map(to_rgb, chosen)),
        "resize and normalise": lambda: _prepare(dive.rgb, config),
    }
    about = {
        whole: "what a scorer does: packets listed, then decoded, and each sampled frame converted and resized",
        "decode": "every frame, by FFmpeg with as many threads as it likes, left in YUV",
        "to RGB": f"{config.num_frames} decoded frames, one thread",
        "resize and normalise": f"{config.num_frames} RGB frames in memory, one thread",
    }
    return compare(f"video of {width} x {height}", calls, settings, about=about)


def measure_parts(dive: Dive, candidates: Sequence[Candidate], settings: TimingSettings) -> list[TimingGroup]:
    """Time each part on each candidate, those of one part in turns; and whole dives, from the file to the score."""
    calls: dict[str, dict[str, Call]] = {part: {} for part in (*PARTS, "dive, from the file to the score")}
    for each in candidates:
        backend = each.scorer.backend
        features = backend.backbone(dive.clip[None])
        _, _, tokens = backend.segmenter(features)
        own_calls: tuple[Call, ...] = (
            partial(backend.backbone, dive.clip[None]),
            partial(backend.segmenter, features),
            partial(backend.regressor, tokens, exemplar_tokens(each.scorer, dive)),
            partial(each.scorer.score, dive.video, dive.dive_number, any_exemplar=True),
        )
        for group, call in zip(calls.values(), own_calls, strict=True):
            group[each.name] = call
    about = {each.name: each.about for each in candidates}
    return [compare(title, group, settings, about=about) for title, group in calls.items()]


def exemplar_tokens(scorer: Scorer, dive: Dive) -> NDArray[np.float32]:
    """Return what a dive is compared with, (E, 3K, D)."""
    return scorer.select(dive.dive_number, any_exemplar=True).bank.tokens


def _run_through(values: Iterable[object]) -> None:
    for _ in values:
        pass


def _prepare(rgb: NDArray[np.uint8], config: ClipConfig) -> NDArray[np.float32]:
    return normalise(crop(np.stack([resize_frame(frame, config) for frame in rgb]), config), config)
