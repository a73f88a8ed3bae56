"""The moments of a dive that the network compares with another dive's, as pictures for people.

Each stage becomes K tokens, evenly spaced over its frames, and is compared with the same stage of the exemplar; so the
k-th pictures of two dives belong beside each other, however long their stages are.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore.video import SampledClip

MOMENT_WIDTH, MOMENT_HEIGHT = 240, 180
"""A moment's picture is at most this large, pixels."""
_JPEG_QUALITY = 82


@dataclass(frozen=True)
class Moment:
    """One picture of a dive."""

    pts_seconds: float
    """Presentation time from the clip's first frame."""
    jpeg: bytes


def moment_frames(transitions: Sequence[int], num_frames: int, tokens_per_stage: int) -> list[int]:
    """Return the sampled frame closest to each stage token; of two equally close ones the later.

    Args:
        transitions: first frame of flight and of entry, 0 < t1 < t2 < T.
        num_frames: T.
        tokens_per_stage: K.

    Returns:
        3K frames, stage after stage; those of a stage are the rounded positions of
        ``mcore.network.stages.interpolation_matrix``.
    """
    starts, ends = [0, *transitions], [*transitions, num_frames]
    at = np.arange(tokens_per_stage) / max(tokens_per_stage - 1, 1)  # (K,) 0 to 1
    positions = [start + at * max(end - start - 1, 0) for start, end in zip(starts, ends, strict=True)]
    return [int(position) for position in np.floor(np.concatenate(positions) + 0.5)]


def draw_moments(clip: SampledClip, transitions: Sequence[int], tokens_per_stage: int) -> tuple[Moment, ...]:
    """Return a clip's moments, 3K of them, in the source's aspect ratio.

    Args:
        clip: its frames may have any shape; they are stretched back.
        transitions: first frame of flight and of entry.
        tokens_per_stage: K.
    """
    size = fit(clip.source_width, clip.source_height, MOMENT_WIDTH, MOMENT_HEIGHT)
    frames = moment_frames(transitions, len(clip.frames), tokens_per_stage)
    return tuple(Moment(float(clip.pts_seconds[frame]), to_jpeg(clip.frames[frame], size)) for frame in frames)


def fit(width: int, height: int, max_width: int, max_height: int) -> tuple[int, int]:
    """Return the size at which a picture fits, in its own aspect ratio and never enlarged, pixels."""
    scale = min(max_width / width, max_height / height, 1.0)
    return max(1, round(width * scale)), max(1, round(height * scale))


def to_jpeg(rgb: NDArray[np.uint8], size: tuple[int, int], *, optimize: bool = False) -> bytes:
    """Return a frame (h, w, 3) as a JPEG of a size (width, height).

    Args:
        rgb: the frame; it may have another aspect ratio.
        size: width and height, pixels.
        optimize: spend more time for a few per cent less.
    """
    picture = Image.fromarray(rgb)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=optimize)
    return buffer.getvalue()
