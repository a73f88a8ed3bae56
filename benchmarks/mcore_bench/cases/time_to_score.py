"""Time to score: from the moment a dive's last frame is in memory to its result.

Live, frames are resized as they come; what is left when the last one is there is timed: all of the network, or, where a
bundle has its backbone in two parts, the rest after a head start. Every run is another dive.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from mcore.config import ClipConfig
from mcore.synthetic import render_dive
from mcore.video import SampledClip, resize_frame, sample_indices
from mcore_bench.candidates import PUBLISHED_EXEMPLARS, candidate_name
from mcore_bench.machine import Watch
from mcore_bench.timing import TimingGroup, group_of
from mcore_runtime.backends import BackendName
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import Precision
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.scoring.streaming import had_head_start

_WARM_UP = 3
"""Dives that do not count."""


@dataclass(frozen=True)
class Pipeline:
    """One scorer, with a head start or without."""

    name: str
    about: str
    scorer: Scorer
    prefix_frames: int
    """Sampled frames that are through the backbone before the last one comes; 0: none."""


@dataclass(frozen=True)
class _HandedDive:
    """A dive whose frames are there."""

    clip: SampledClip
    dive_number: str


def measure_time_to_score(
    bundle: Bundle, candidates: Sequence[tuple[BackendName, Precision]], threads: int, dives: int
) -> TimingGroup:
    """Time rendered dives on every backend that the bundle runs on; ratios are of the same dive.

    Args:
        bundle: with exemplars; the dives are of their dive numbers in turn.
        candidates: backends and precisions that run here; at least one.
        threads: CPU threads of the engines.
        dives: of each pipeline.
    """
    numbers = sorted(set(bundle.load_exemplars().dive_numbers.tolist()))
    wall_ms: dict[str, list[float]] = {}
    cpu_ms: dict[str, list[float]] = {}
    with ExitStack() as stack:
        pipelines = [p for each in candidates for p in _pipelines(stack.enter_context(_scorer(bundle, *each, threads)))]
        watch = stack.enter_context(Watch())
        for seed in range(-_WARM_UP, dives):
            dive = _render(numbers, abs(seed), bundle.model.clip)
            # In both orders, so that none always follows the same one.
            for pipeline in pipelines if seed % 2 == 0 else reversed(pipelines):
                wall, cpu = _time(pipeline, dive)
                if seed >= 0:
                    wall_ms.setdefault(pipeline.name, []).append(wall)
                    cpu_ms.setdefault(pipeline.name, []).append(cpu)
    about = {pipeline.name: pipeline.about for pipeline in pipelines}
    times = {pipeline.name: np.array(wall_ms[pipeline.name]) for pipeline in pipelines}
    return group_of("time to score, from the last frame in memory", times, cpu_ms, about, watch.conditions)


def _render(numbers: Sequence[str], seed: int, config: ClipConfig) -> _HandedDive:
    """Render a dive, of the dive numbers in turn, and hand it over as a camera's is."""
    number = numbers[seed % len(numbers)]
    rendered = render_dive(number, seed)
    frames, fps = rendered.frames, rendered.plan.fps  # (N, H, W, 3)
    count, (height, width) = len(frames), frames.shape[1:3]
    indices = sample_indices(count, config.num_frames)
    clip = SampledClip(
        frames=np.stack([resize_frame(frames[index], config) for index in indices]),
        pts_seconds=indices / fps,
        indices=indices,
        num_source_frames=count,
        duration_s=count / fps,
        source_width=width,
        source_height=height,
        source=f"rendered {number}, {seed}",
        reader="images",
    )
    return _HandedDive(clip, number)


def _scorer(bundle: Bundle, name: BackendName, precision: Precision, threads: int) -> Scorer:
    return Scorer(bundle, name, precision=precision, threads=threads, num_exemplars=PUBLISHED_EXEMPLARS, streaming=True)


def _pipelines(scorer: Scorer) -> Iterator[Pipeline]:
    name = candidate_name(scorer.backend.name, scorer.precision)
    yield Pipeline(f"{name}, whole clip", "all of the network after the last frame", scorer, 0)
    if scorer.streaming_backbone is not None:
        prefix, frames = scorer.streaming_backbone.prefix_frames, scorer.clip_config.num_frames
        about = f"{prefix} of {frames} frames are through the backbone before the last one comes"
        yield Pipeline(f"{name}, head start", about, scorer, prefix)


def _time(pipeline: Pipeline, dive: _HandedDive) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor from the last frame to the score."""
    scorer = pipeline.scorer
    comparison = scorer.select(dive.dive_number)  # live, a dive's number is known before the dive
    prefix = scorer.begin(dive.clip.frames[: pipeline.prefix_frames]) if pipeline.prefix_frames else None
    began_s, cpu_began_s = time.perf_counter(), time.process_time()
    result = scorer.score_clip(dive.clip, comparison, prefix=prefix)
    took_ms = (time.perf_counter() - began_s) * 1e3, (time.process_time() - cpu_began_s) * 1e3
    if had_head_start(result.timing_ms) is not (prefix is not None):
        raise RuntimeError(f"{pipeline.name}: the head start was {'not ' * (prefix is not None)}used")
    return took_ms
