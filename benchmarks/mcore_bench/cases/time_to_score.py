"""Time to score: from the moment a dive's last frame is in memory to its result.

Live, frames are resized as they come; what is left when the last one is there is timed: all of the network, or, where a
bundle has its backbone in two parts, the rest after a head start. Every run is another dive.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mcore.config import ClipConfig
from mcore.synthetic import render_dive
from mcore.video import SampledClip, resize_frame, sample_indices
from mcore_bench.candidates import Candidate
from mcore_bench.machine import Watch
from mcore_bench.timing import TimingGroup, group_of
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


def measure_time_to_score(candidates: Sequence[Candidate], dives: int) -> TimingGroup:
    """Time rendered dives, of the exemplars' dive numbers in turn, on each candidate; ratios are of the same dive."""
    bundle = candidates[0].scorer.bundle
    numbers = sorted(set(bundle.load_exemplars().dive_numbers.tolist()))
    pipelines = [pipeline for each in candidates for pipeline in _pipelines(each)]
    wall_ms: dict[str, list[float]] = {pipeline.name: [] for pipeline in pipelines}
    cpu_ms: dict[str, list[float]] = {pipeline.name: [] for pipeline in pipelines}
    with Watch() as watch:
        for seed in range(-_WARM_UP, dives):
            number = numbers[abs(seed) % len(numbers)]
            clip = _render(number, abs(seed), bundle.model.clip)
            # In both orders, so that none always follows the same one.
            for pipeline in pipelines if seed % 2 == 0 else reversed(pipelines):
                wall, cpu = _time(pipeline, clip, number)
                if seed >= 0:
                    wall_ms[pipeline.name].append(wall)
                    cpu_ms[pipeline.name].append(cpu)
    about = {pipeline.name: pipeline.about for pipeline in pipelines}
    times = {name: np.array(values) for name, values in wall_ms.items()}
    return group_of("time to score, from the last frame in memory", times, cpu_ms, about, watch.conditions)


def _pipelines(candidate: Candidate) -> Iterator[Pipeline]:
    scorer = candidate.scorer
    yield Pipeline(f"{candidate.name}, whole clip", "all of the network after the last frame", scorer, 0)
    if scorer.streaming_backbone is not None:
        prefix, frames = scorer.streaming_backbone.prefix_frames, scorer.clip_config.num_frames
        about = f"{prefix} of {frames} frames are through the backbone before the last one comes"
        yield Pipeline(f"{candidate.name}, head start", about, scorer, prefix)


def _render(dive_number: str, seed: int, config: ClipConfig) -> SampledClip:
    """Render a dive and hand it over as a camera's is."""
    rendered = render_dive(dive_number, seed)
    count, height, width, _ = rendered.frames.shape
    indices = sample_indices(count, config.num_frames)
    return SampledClip(
        frames=np.stack([resize_frame(rendered.frames[index], config) for index in indices]),
        pts_seconds=indices / rendered.plan.fps,
        indices=indices,
        num_source_frames=count,
        duration_s=count / rendered.plan.fps,
        source_width=width,
        source_height=height,
        source=f"rendered {dive_number}, {seed}",
        reader="images",
    )


def _time(pipeline: Pipeline, clip: SampledClip, dive_number: str) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor from the last frame to the score."""
    scorer = pipeline.scorer
    comparison = scorer.select(dive_number)  # live, a dive's number is known before the dive
    prefix = scorer.begin(clip.frames[: pipeline.prefix_frames]) if pipeline.prefix_frames else None
    began_s, cpu_began_s = time.perf_counter(), time.process_time()
    result = scorer.score_clip(clip, comparison, prefix=prefix)
    took_ms = (time.perf_counter() - began_s) * 1e3, (time.process_time() - cpu_began_s) * 1e3
    if had_head_start(result.timing_ms) is not (prefix is not None):
        raise RuntimeError(f"{pipeline.name}: the head start was {'not ' * (prefix is not None)}used")
    return took_ms
