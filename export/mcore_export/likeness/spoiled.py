"""Clips that are no dives, made from dives: what a camera, a cable or a wrong file can bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcore.video import SampledClip

SLOWER = 3.0
"""Slow motion lasts so many times as long as the dive."""
_NOISE_SEED = 0

Spoil = Callable[[SampledClip], SampledClip]


def _one_colour(level: int) -> Spoil:
    return lambda clip: replace(clip, frames=np.full_like(clip.frames, level))


def _noise(clip: SampledClip) -> SampledClip:
    rng = np.random.default_rng([_NOISE_SEED, clip.num_source_frames])
    return replace(clip, frames=rng.integers(0, 256, clip.frames.shape, np.uint8))


def _frozen(clip: SampledClip) -> SampledClip:
    frames: NDArray[np.uint8] = np.repeat(clip.frames[len(clip.frames) // 2][None], len(clip.frames), axis=0)
    return replace(clip, frames=frames)


def _part(first: float, last: float) -> Spoil:
    """Sample a part of the clip, as shares of it: frames repeat, as of a video with fewer frames."""

    def cut(clip: SampledClip) -> SampledClip:
        count = len(clip.frames)
        chosen = np.linspace(first * (count - 1), last * (count - 1), count).astype(np.int64)
        span_s = clip.pts_seconds[chosen[-1]] - clip.pts_seconds[chosen[0]]
        return replace(clip, frames=clip.frames[chosen], pts_seconds=np.linspace(0, span_s, count))

    return cut


def _doubled(clip: SampledClip) -> SampledClip:
    """The dive and its repetition in one clip."""
    count = len(clip.frames)
    chosen = np.linspace(0, 2 * count - 1, count).astype(np.int64) % count
    return replace(clip, frames=clip.frames[chosen], pts_seconds=2 * clip.pts_seconds)


SPOILED: Mapping[str, Spoil] = {
    "black": _one_colour(0),
    "grey": _one_colour(128),
    "frozen": _frozen,
    "noise": _noise,
    "reversed": lambda clip: replace(clip, frames=clip.frames[::-1]),
    "mirrored top to bottom": lambda clip: replace(clip, frames=clip.frames[:, ::-1]),
    "first half only": _part(0.0, 0.5),
    "second half only": _part(0.5, 1.0),
    "doubled": _doubled,
    "slow motion": lambda clip: replace(clip, pts_seconds=SLOWER * clip.pts_seconds),
}
"""Ways to spoil a dive, by name. Each keeps the number and size of the frames."""
