"""Reading of videos: frames converted by this project's function against FFmpeg's swscale, in turns, on the processor.

What is compared is processor time: a clock would count what else the machine does. swscale's fast route is what this
project used before; it computes other numbers on other processors.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import av
import numpy as np
import tyro
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.synthetic import write_video
from mcore.video import native, resize_frame, sample_clip
from mcore.video.packets import scan_packets
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

    heights: tuple[int, ...] = (360, 1080)
    """Rows of the videos, which are 16:9. 2160 rows at 240 frames a second take a quarter of an hour to encode."""
    frames: int = 48
    """Frames of each."""
    rates: tuple[int, ...] = (30, 240)
    """Frames a second of recordings that are sampled for scoring, in the encoders' usual order of frames; none: leave
    them out."""
    codecs: tuple[Literal["libx264", "libx265"], ...] = ("libx264", "libx265")
    """Encoders of those recordings."""
    recording_s: float = 3.5
    """Length of those recordings, seconds."""
    settings: tyro.conf.OmitArgPrefixes[TimingSettings] = field(
        default_factory=lambda: TimingSettings(runs=7, seconds=0.0, warm_up_s=0.0)
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
            for codec, rate in itertools.product(arguments.codecs, arguments.rates):
                _encode(video, draw_frames(width, height, round(rate * arguments.recording_s)), rate, codec)
                title = f"{width} x {height}, {codec} at {rate} frames a second: sampled for scoring"
                groups.append(measure_sampling(video, title, arguments.settings))
                video.unlink()
    finish_result(replace(result, groups=tuple(groups)), arguments.json)
    return 0


def measure_size(video: Path, size: str, settings: TimingSettings) -> list[TimingGroup]:
    """Time a video: read to the network's size, and its decoded frames to that size and to RGB."""
    small: NDArray[np.uint8] = np.empty((CONFIG.resize_height, CONFIG.resize_width, 3), np.uint8)
    with_swscale = partial(_by_swscale, VideoReformatter())
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


def measure_sampling(video: Path, title: str, settings: TimingSettings) -> TimingGroup:
    """Time what a scorer reads of a recording, on one thread, against decoding alone of what it needs, and of all."""
    scan, clip = scan_packets(video), sample_clip(video, CONFIG)
    if scan.pts is None:
        raise UserError(f"{video} has no times")
    left_out = scan.unneeded() - {scan.pts[index] for index in clip.indices}
    needed = f"decoding alone: {len(scan.pts) - len(left_out)} frames that are needed"
    calls: dict[str, Call] = {
        needed: lambda: sum(1 for _ in decode(video, threads=False, quickly=True, without=left_out)),
        f"decoding alone: all {len(scan.pts)} frames": lambda: sum(1 for _ in decode(video, threads=False)),
        CENTRE: lambda: sample_clip(video, CONFIG, central=True, decoder_threads=False),
    }
    return compare(title, calls, settings, by_cpu_time=True)


def _encode(path: Path, frames: Iterable[NDArray[np.uint8]], rate: int, codec: str) -> None:
    """Write a video with the encoder's own choice of frames that others refer to."""
    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                options = {"preset": "veryfast"} | ({"x265-params": "log-level=none"} if codec == "libx265" else {})
                stream = container.add_stream(codec, rate=rate, options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())


def _by_swscale(reformatter: VideoReformatter, frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Convert a frame as readers did before."""
    return np.ascontiguousarray(reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray(), np.uint8)
