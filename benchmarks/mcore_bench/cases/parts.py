"""The parts of scoring a dive, one by one and end to end, on everything that a bundle runs on here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import ClipError
from mcore.config import ClipConfig
from mcore.synthetic import render_dive, write_video
from mcore.video import crop, normalise, resize_frame, sample_clip, sample_indices
from mcore.video.picture import to_rgb
from mcore.video.pyav_reader import decode
from mcore_bench.candidates import Candidates
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


def rendered_dive(path: Path, dive_number: str, config: ClipConfig, *, width: int, height: int) -> Dive:
    """Render a dive, write its video, and read it back.

    Args:
        path: of the video.
        dive_number: one that the bundle has exemplars of.
        config: the network's input.
        width: of the frames, pixels.
        height: of the frames, pixels.
    """
    dive = render_dive(dive_number, 7, width=width, height=height)
    write_video(path, dive.frames, dive.plan.fps)
    return read_dive(path, dive_number, config)


def read_dive(video: Path, dive_number: str, config: ClipConfig) -> Dive:
    """Read a video's sampled frames at their full size.

    Raises:
        ClipError: it is no video, or a damaged one.
    """
    frames = list(decode(video))
    if not frames:
        raise ClipError(f"{video} holds no frames; give another --video")
    rgb = np.stack([to_rgb(frames[i]) for i in sample_indices(len(frames), config.num_frames)])
    return Dive(video, dive_number, rgb, _prepare(rgb, config))


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


def measure_parts(dive: Dive, candidates: Candidates, settings: TimingSettings) -> list[TimingGroup]:
    """Time each part on each candidate, those of one part in turns; and whole dives, from the file to the score."""
    about = {each.name: each.about for each in candidates.opened}
    groups = [
        compare(part, {each.name: _part(part, each.scorer, dive) for each in candidates.opened}, settings, about=about)
        for part in PARTS
    ]
    dives = {each.name: _whole(each.scorer, dive) for each in candidates.opened}
    return [*groups, compare("dive, from the file to the score", dives, settings, about=about)]


def exemplar_tokens(scorer: Scorer, dive: Dive) -> NDArray[np.float32]:
    """Return what a dive is compared with, (E, 3K, D)."""
    return scorer.select(dive.dive_number, any_exemplar=True).bank.tokens


def _part(part: str, scorer: Scorer, dive: Dive) -> Call:
    backend = scorer.backend
    if part == "backbone":
        return lambda: backend.backbone(dive.clip[None])
    features = backend.backbone(dive.clip[None])
    if part == "segmenter":
        return lambda: backend.segmenter(features)
    _, _, tokens = backend.segmenter(features)
    exemplars = exemplar_tokens(scorer, dive)
    return lambda: backend.regressor(tokens, exemplars)


def _whole(scorer: Scorer, dive: Dive) -> Call:
    return lambda: scorer.score(dive.video, dive.dive_number, any_exemplar=True)


def _run_through(values: Iterable[object]) -> None:
    for _ in values:
        pass


def _prepare(rgb: NDArray[np.uint8], config: ClipConfig) -> NDArray[np.float32]:
    return normalise(crop(np.stack([resize_frame(frame, config) for frame in rgb]), config), config)
