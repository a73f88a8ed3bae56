"""The film strip of a dive: a few of the frames that the network looked at, the two transitions among them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mcore.config import ClipConfig
from mcore.video import Reader, SampledClip, sample_clip
from mcore_runtime.bundle.moments import fit, to_jpeg
from mcore_runtime.scoring.result import DiveScore

NUM_PICTURES = 12
"""Fills rows of six, four and three: desktop, tablet, phone."""
_MAX_WIDTH, _MAX_HEIGHT = 320, 240


@dataclass(frozen=True)
class Picture:
    """One frame of the strip."""

    stage: int | None
    """0 take-off, 1 flight, 2 entry; None: not known."""
    pts_seconds: float
    """Presentation time from the clip's first frame."""
    begins_stage: bool
    """Whether this is the first frame of flight or entry."""
    data_uri: str
    """The JPEG itself, inline."""
    width: int
    height: int


def scored_frames(result: DiveScore, num_frames: int) -> SampledClip:
    """Read a scored dive's video once more: the frames that were scored, at a size to look at.

    Args:
        result: the scored dive.
        num_frames: T, frames that the network sampled from the clip.

    Raises:
        ClipError: the video is not there any more.
    """
    video = result.video
    width, height = strip_size(video.width, video.height)
    # The same sampling as for the score, in the source's own aspect ratio; the crop is not used.
    config = ClipConfig(num_frames=num_frames, resize_height=height, resize_width=width, crop_size=1)
    reader = cast("Reader", video.reader)
    return sample_clip(video.source, config, reader=reader, start_s=video.start_s, end_s=video.end_s)


def clip_strip(clip: SampledClip, transitions: Sequence[int], count: int = NUM_PICTURES) -> list[Picture]:
    """Return pictures of a clip evenly spaced in time, in the source's aspect ratio.

    Args:
        clip: its frames may have any shape; they are stretched back.
        transitions: first frame of flight and of entry; none where they are not known.
        count: how many pictures; fewer where T is smaller.
    """
    size = strip_size(clip.source_width, clip.source_height)
    return [
        Picture(
            stage=sum(frame >= transition for transition in transitions) if transitions else None,
            pts_seconds=float(clip.pts_seconds[frame]),
            begins_stage=frame in transitions,
            data_uri=data_uri(to_jpeg(clip.frames[frame], size, optimize=True)),
            width=size[0],
            height=size[1],
        )
        for frame in choose_frames(clip.pts_seconds, transitions, count)
    ]


def choose_frames(pts_seconds: NDArray[np.float64], transitions: Sequence[int], count: int) -> list[int]:
    """Pick ``count`` of T frames evenly in time, with the transitions in place of their nearest neighbours.

    Args:
        pts_seconds: (T,) presentation times, never decreasing.
        transitions: frames that must be among those chosen.
        count: how many, at least as many as there are transitions; never more than T are returned.
    """
    times = np.linspace(pts_seconds[0], pts_seconds[-1], min(count, len(pts_seconds)))
    chosen = {int(np.abs(pts_seconds - time).argmin()) for time in times}
    for transition in transitions:
        if transition not in chosen:
            others = chosen.difference(transitions)
            if others:
                chosen.remove(min(others, key=lambda frame: abs(frame - transition)))
            chosen.add(transition)
    return sorted(chosen)


def strip_size(width: int, height: int) -> tuple[int, int]:
    """Return the size at which a strip shows pictures of this size, pixels."""
    return fit(width, height, _MAX_WIDTH, _MAX_HEIGHT)


def data_uri(jpeg: bytes) -> str:
    """Return a JPEG as an address that holds it, for pages that need nothing else."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
