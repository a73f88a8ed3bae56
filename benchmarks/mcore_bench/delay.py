"""Time to score: from the moment a dive's last frame is in memory to its result, alone and while a stream is decoded.

Live, frames are resized as they come and are handed over one by one; what is left when the last one is there is
timed: all of the network, or, where a bundle has its backbone in two parts, the rest after a head start.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from mcore.synthetic import render_dive, write_video
from mcore.video import SampledClip, sample_clip
from mcore_bench.parts import Dive
from mcore_bench.timing import Group, Row, ratio, summarise
from mcore_runtime.backends import BackendName
from mcore_runtime.bundle import Bundle
from mcore_runtime.comparison import Comparison
from mcore_runtime.scorer import Scorer

STREAM_SIZE = (1920, 1080)
_TURN = 10
"""Dives in a row with the stream, and without it."""
_SETTLE_S = 0.3
"""Until the stream runs, or has stopped."""
_PATIENCE_S = 60.0

WHOLE, BEGUN = "whole clip", "begun early"
ALONE, BESIDE = "alone", "beside a stream"


@dataclass(frozen=True)
class Way:
    """One scorer, with a head start or without."""

    name: str
    about: str
    scorer: Scorer
    comparison: Comparison
    begun: bool


def measure_delays(
    bundle: Bundle, names: Sequence[BackendName], dive: Dive, threads: int, dives: int, folder: Path
) -> Group:
    """Time the same dive many times, by turns alone and beside a decoder, on every backend that the bundle runs on.

    Args:
        bundle: with exemplars.
        names: backends that run here, on fp32 graphs.
        dive: what is scored.
        threads: CPU threads of the engines.
        dives: of each way, alone and beside the stream each.
        folder: gets the stream's video.
    """
    video = folder / "stream.mp4"
    width, height = STREAM_SIZE
    rendered = render_dive(dive.dive_number, 11, width=width, height=height)
    write_video(video, rendered.frames, rendered.plan.fps)
    clip = sample_clip(dive.video, bundle.model.clip)
    times: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        ways = [
            way
            for name in names
            for way in _ways(stack.enter_context(Scorer(bundle.path, name, threads=threads, streaming=True)), dive)
        ]
        stream = stack.enter_context(_stream(video, rendered.plan.fps))
        for way in ways:  # warm-up
            for _ in range(3):
                _time(way, clip)
        for first in range(0, dives, _TURN):
            for where in (ALONE, BESIDE):
                stream.play(where == BESIDE)
                for _ in range(min(_TURN, dives - first)):
                    for way in ways:
                        times.setdefault(f"{way.name}, {where}", []).append(_time(way, clip))
    rate = f"{stream.pictures_per_s:.1f} of {rendered.plan.fps} pictures a second"
    told = {ALONE: "", BESIDE: f"; {width} x {height} H.264 is decoded meanwhile, {rate}"}
    return _group(times, {f"{way.name}, {where}": way.about + told[where] for way in ways for where in told})


def _ways(scorer: Scorer, dive: Dive) -> Iterator[Way]:
    comparison = scorer.select(dive.dive_number, any_exemplar=True)
    name = f"{scorer.backend.name} {scorer.precision}"
    yield Way(f"{name}, {WHOLE}", "all of the network after the last frame", scorer, comparison, False)
    if scorer.split is not None:
        head, frames = scorer.split.head_frames, scorer.clip_config.num_frames
        told = f"{head} of {frames} frames are through the backbone before the last one comes"
        yield Way(f"{name}, {BEGUN}", told, scorer, comparison, True)


def _time(way: Way, clip: SampledClip) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor from the last frame to the score."""
    split = way.scorer.split if way.begun else None
    head = None if split is None else way.scorer.begin(clip.frames[: split.head_frames])
    began, cpu_began = time.perf_counter(), time.process_time()
    way.scorer.score_clip(clip, way.comparison, head=head)
    return (time.perf_counter() - began) * 1e3, (time.process_time() - cpu_began) * 1e3


def _group(times: dict[str, list[tuple[float, float]]], about: dict[str, str]) -> Group:
    arrays: dict[str, NDArray[np.float64]] = {name: np.array(each) for name, each in times.items()}  # (N, 2)
    baseline = next(iter(arrays))
    rows = [
        Row(
            name,
            about[name],
            summarise(each[:, 0], each[:, 1]),
            None if name == baseline else ratio(arrays[baseline][:, 0], each[:, 0]),
        )
        for name, each in arrays.items()
    ]
    return Group("time to score, from the last frame in memory", baseline, tuple(rows))


class _Stream:
    """A process that decodes a video over and over at its own pace while it plays."""

    def __init__(self, process: Any, playing: Event, decoded: Any) -> None:
        self._process, self._playing, self._decoded = process, playing, decoded
        self._since: tuple[float, int] | None = None
        self._pictures, self._seconds = 0, 0.0

    @property
    def pictures_per_s(self) -> float:
        """Pictures a second while it played."""
        return self._pictures / self._seconds if self._seconds else 0.0

    def play(self, playing: bool) -> None:
        """Start or stop, and wait until that has happened."""
        if self._since is not None:
            began, pictures = self._since
            self._seconds += time.perf_counter() - began
            self._pictures += self._decoded.value - pictures
            self._since = None
        if playing:
            before = self._decoded.value
            self._playing.set()
            until = time.monotonic() + _PATIENCE_S
            while self._decoded.value == before and time.monotonic() < until and self._process.is_alive():
                time.sleep(0.01)
        else:
            self._playing.clear()
        time.sleep(_SETTLE_S)
        if playing:
            self._since = time.perf_counter(), self._decoded.value


@contextmanager
def _stream(video: Path, fps: float) -> Iterator[_Stream]:
    context = multiprocessing.get_context("spawn")
    playing, decoded = context.Event(), context.Value("q", 0)
    process = context.Process(target=_decode, args=(str(video), fps, playing, decoded), daemon=True)
    process.start()
    stream = _Stream(process, playing, decoded)
    try:
        yield stream
        stream.play(False)
    finally:
        process.kill()
        process.join()


def _decode(video: str, fps: float, playing: Event, decoded: Any) -> None:
    """Decode at the video's pace for as long as ``playing`` is set; one thread, as one camera has."""
    while True:
        with av.open(video) as container:
            container.streams.video[0].thread_type = "NONE"
            due = time.perf_counter()
            for _ in container.decode(video=0):
                decoded.value += 1
                if not playing.is_set():
                    playing.wait()
                    due = time.perf_counter()
                due += 1 / fps
                time.sleep(max(0.0, due - time.perf_counter()))
                due = max(due, time.perf_counter() - 1.0)  # what is a second late is not made up for
