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
from mcore_bench.contenders import Contenders
from mcore_bench.timing import Call, Effort, Group, compare
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.scoring.scorer import Scorer

PARTS = ("backbone", "segmenter", "regressor")


@dataclass(frozen=True)
class Dive:
    """What is scored: a video, and the same dive in memory."""

    video: Path
    dive_number: str
    size: tuple[int, int]
    """Width and height of the frames, pixels."""
    rgb: NDArray[np.uint8]
    """(T, H, W, 3), the sampled frames before resizing."""
    clip: NDArray[np.float32]
    """(3, T, c, c), network input."""


def rendered_dive(folder: Path, dive_number: str, config: ClipConfig, *, width: int, height: int) -> Dive:
    """Render a dive, write its video to a folder, and read it back.

    Args:
        folder: gets ``dive.mp4``.
        dive_number: one that the bundle has exemplars of.
        config: the network's input.
        width: of the frames, pixels.
        height: of the frames, pixels.
    """
    dive = render_dive(dive_number, 7, width=width, height=height)
    video = folder / "dive.mp4"
    write_video(video, dive.frames, dive.plan.fps)
    return read_dive(video, dive_number, config)


def read_dive(video: Path, dive_number: str, config: ClipConfig) -> Dive:
    """Read a video's sampled frames at their full size.

    Args:
        video: a file that FFmpeg reads.
        dive_number: of the dive in it.
        config: the network's input.

    Raises:
        ClipError: it is no video, or a damaged one.
    """
    frames = list(decode(video))
    if not frames:
        raise ClipError(f"{video} holds no frames; give another --video")
    rgb = np.stack([to_rgb(frames[i]) for i in sample_indices(len(frames), config.num_frames)])
    height, width = rgb.shape[1:3]
    return Dive(video, dive_number, (width, height), rgb, _prepare(rgb, config))


def measure_video(dive: Dive, config: ClipConfig, effort: Effort) -> Group:
    """Time what happens to a video before the network, step by step and all of it.

    Args:
        dive: whose video is read.
        config: the network's input.
        effort: how long for each.
    """
    width, height = dive.size
    pictures = list(decode(dive.video))
    chosen = [pictures[i] for i in sample_indices(len(pictures), config.num_frames)]
    whole = "video to network input"
    calls: dict[str, Call] = {
        whole: lambda: normalise(crop(sample_clip(dive.video, config).frames, config), config),
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
    return compare(f"video of {width} x {height}", calls, effort, about=about)


def measure_parts(dive: Dive, contenders: Contenders, effort: Effort) -> tuple[Group, ...]:
    """Time each part on each contender, those of one part in turns.

    Args:
        dive: what is scored.
        contenders: from ``open_contenders``.
        effort: how long for each.
    """
    told = {contender.name: contender.about for contender in contenders.opened}
    groups = []
    for part in PARTS:
        calls = {contender.name: _part(part, contender.scorer, dive) for contender in contenders.opened}
        groups.append(compare(part, calls, effort, about=told))
    dives = {contender.name: _whole(contender.scorer, dive) for contender in contenders.opened}
    groups.append(compare("dive, from the file to the score", dives, effort, about=told))
    return tuple(groups)


def _part(part: str, scorer: Scorer, dive: Dive) -> Call:
    backend = scorer.backend
    if part == "backbone":
        return lambda: backend.backbone(dive.clip[None])
    features = backend.backbone(dive.clip[None])
    if part == "segmenter":
        return lambda: backend.segmenter(features)
    _, _, tokens = backend.segmenter(features)
    exemplars = exemplars_of(scorer, dive).tokens
    return lambda: backend.regressor(tokens, exemplars)


def exemplars_of(scorer: Scorer, dive: Dive) -> ExemplarBank:
    """What a dive is compared with."""
    return scorer.select(dive.dive_number, any_exemplar=True).bank


def _whole(scorer: Scorer, dive: Dive) -> Call:
    return lambda: scorer.score(dive.video, dive.dive_number, any_exemplar=True)


def _run_through(values: Iterable[object]) -> None:
    for _ in values:
        pass


def _prepare(rgb: NDArray[np.uint8], config: ClipConfig) -> NDArray[np.float32]:
    return normalise(crop(np.stack([resize_frame(frame, config) for frame in rgb]), config), config)
