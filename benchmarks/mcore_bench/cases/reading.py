"""Reading of videos: frames converted by this project's function against FFmpeg's swscale, in turns, on the processor.

What is compared is processor time: a clock would count what else the machine does. swscale's fast route is what this
project used before; it computes other numbers on other processors.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np
import tyro
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.synthetic import write_video
from mcore.video import native, resize_frame
from mcore.video.picture import as_shown, to_rgb
from mcore.video.pyav_reader import decode
from mcore_bench.cases.preprocessing import draw_frames
from mcore_bench.report import finish_result
from mcore_bench.result import JsonFile, begin_result
from mcore_bench.timing import Call, TimingGroup, TimingSettings, compare

CONFIG = ClipConfig()
BASELINE = "FFmpeg's swscale"
OURS = "this project's function"
CENTRE = f"{OURS}, centre only"
_KEPT = 8
"""Decoded frames that conversions are timed on, one after the other: more than caches hold from 720 rows on."""
_FPS = 25


@dataclass(frozen=True)
class ReadingArguments(JsonFile):
    """Time reading of videos of several sizes, and the conversion of their frames.

        mcore-bench reading --json benchmarks/results/reading.json

    Ratios are of processor time.
    """

    heights: tuple[int, ...] = (360, 720, 1080, 2160)
    """Rows of the videos, which are 16:9."""
    frames: int = 48
    """Frames of each."""
    settings: tyro.conf.OmitArgPrefixes[TimingSettings] = field(
        default_factory=lambda: TimingSettings(runs=15, seconds=0.0, warm_up_s=0.0)
    )
    """Duration of the measurement."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.heights or min(self.heights) < 64 or any(height % 18 for height in self.heights) or self.frames < 1:
            raise UserError(f"{self.heights} rows, {self.frames} frames; rows are multiples of 18, at least 72")


def measure_reading(arguments: ReadingArguments) -> int:
    """Run ``mcore-bench reading``."""
    result = begin_result("Reading of videos")
    groups: list[TimingGroup] = []
    with tempfile.TemporaryDirectory(prefix="mcore-bench-") as scratch:
        for height in arguments.heights:
            video, width = Path(scratch) / f"{height}.mp4", height * 16 // 9
            write_video(video, draw_frames(width, height, arguments.frames), _FPS)
            groups += measure_size(video, f"{width} x {height}", arguments.settings)
            video.unlink()
    finish_result(replace(result, groups=tuple(groups)), arguments.json)
    return 0


def measure_size(video: Path, size: str, settings: TimingSettings) -> list[TimingGroup]:
    """Time a video: read to the network's size, and its decoded frames to that size and to RGB."""
    small: NDArray[np.uint8] = np.empty((CONFIG.resize_height, CONFIG.resize_width, 3), np.uint8)
    with_swscale = _Swscale()
    kept = [frame for frame, _ in zip(decode(video), range(_KEPT), strict=False)]
    to_size: dict[str, Callable[[av.VideoFrame], object]] = {
        BASELINE: lambda frame: resize_frame(with_swscale(frame), CONFIG, small),
        OURS: lambda frame: resize_frame(as_shown(frame), CONFIG, small),
        CENTRE: lambda frame: resize_frame(as_shown(frame), CONFIG, central=True),
    }
    about = {
        BASELINE: "fast route, whole picture in RGB, resized by native code",
        OURS: f"resized as it is converted: {native.describe()}",
        CENTRE: "only the square that a scorer looks at",
    }
    reading: dict[str, Call] = {
        name: lambda each=each: [each(frame) for frame in decode(video)]  # type: ignore[misc]
        for name, each in (*to_size.items(), ("decoding alone", id))
    }
    to_network: dict[str, Call] = {
        name: lambda each=each: [each(frame) for frame in kept]  # type: ignore[misc]
        for name, each in to_size.items()
    }
    rgb: dict[str, Call] = {BASELINE: lambda: list(map(with_swscale, kept)), OURS: lambda: list(map(to_rgb, kept))}
    titles = ("read", "decoded frames to the network's size", "decoded frames to RGB")
    return [
        compare(f"{size}: {title}", calls, settings, about=about, by_cpu_time=True)
        for title, calls in zip(titles, (reading, to_network, rgb), strict=True)
    ]


class _Swscale:
    """The conversion that readers used before."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        converted = self._reformatter.reformat(frame, format="rgb24", threads=1)
        return np.ascontiguousarray(converted.to_ndarray(), np.uint8)
