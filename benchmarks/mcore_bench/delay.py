"""Time to score: from the moment a dive's last frame is in memory to its result, alone and beside a live stream.

Live, frames are resized as they come and are handed over one by one; what is left when the last one is there is
timed: all of the network, or, where a bundle has its backbone in two parts, the rest after a head start. Beside it, a
process decodes 1080p at the pace of a camera, and converts and resizes every picture as a live session does. Every run
is another dive.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.synthetic import render_dive
from mcore.synthetic.workers import begin_worker
from mcore.video import SampledClip, resize_frame, sample_indices
from mcore.video.picture import to_rgb
from mcore_bench.conditions import Watch
from mcore_bench.contenders import PUBLISHED_EXEMPLARS, contender_name
from mcore_bench.timing import Group, Row, ratio, summarise
from mcore_runtime.backends import BackendName
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import Precision
from mcore_runtime.scoring.scorer import Scorer

STREAM_SIZE = (1920, 1080)
_TURN = 10
"""Dives in a row beside the stream, and the same ones without it."""
_WARM_UP = 3
_SETTLE_S = 0.3
"""Until the stream runs at its pace, or has stopped."""
_PATIENCE_S = 60.0
_NO_STREAM = (
    "the video that is decoded beside the scoring does not run here; leave the time to score out with --dives 0"
)

WHOLE, BEGUN = "whole clip", "begun early"
ALONE, BESIDE = "alone", "beside a stream"


@dataclass(frozen=True)
class Way:
    """One scorer, with a head start or without."""

    name: str
    about: str
    scorer: Scorer
    begun: bool


@dataclass(frozen=True)
class _Handed:
    """A dive whose frames are there."""

    clip: SampledClip
    dive_number: str


def measure_delays(
    bundle: Bundle, contenders: Sequence[tuple[BackendName, Precision]], threads: int, runs: int, video: Path
) -> Group:
    """Time many rendered dives, by turns alone and beside a stream, on every backend that the bundle runs on.

    Ratios are of the same dive in neighbouring turns: ten alone, the same ten beside the stream.

    Args:
        bundle: with exemplars; the dives are of their dive numbers in turn.
        contenders: backends and precisions that run here; at least one.
        threads: CPU threads of the engines.
        runs: dives of each way, alone and beside the stream each.
        video: what the stream plays, at its frame rate.

    Raises:
        UserError: the stream does not run.
    """
    numbers = sorted(set(bundle.load_exemplars().dive_numbers.tolist()))
    with av.open(str(video)) as container:
        played = container.streams.video[0]
        width, height, fps = played.width, played.height, float(played.average_rate or 0)
    times: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        scorers = [stack.enter_context(_scorer(bundle, *each, threads)) for each in contenders]
        ways = [way for scorer in scorers for way in _ways(scorer)]
        watch = stack.enter_context(Watch())
        stream = stack.enter_context(_stream(video, fps, bundle.model.clip))
        for dive in _render(numbers, range(_WARM_UP), bundle.model.clip):
            for way in ways:
                _time(way, dive)
        for first in range(0, runs, _TURN):
            dives = _render(numbers, range(first, min(first + _TURN, runs)), bundle.model.clip)
            for where in (ALONE, BESIDE):
                stream.play(where == BESIDE)
                for number, dive in enumerate(dives):
                    for way in ways if number % 2 == 0 else reversed(ways):  # none always follows the same one
                        times.setdefault(f"{way.name}, {where}", []).append(_time(way, dive))
            stream.play(False)
    rate = f"{stream.pictures_per_s:.1f} of {fps:g} pictures a second"
    told = {ALONE: "", BESIDE: f"; {width} x {height} H.264 is decoded, converted and resized meanwhile, {rate}"}
    group = _group(times, {f"{way.name}, {where}": way.about + told[where] for way in ways for where in told})
    return replace(group, conditions=watch.conditions)


def _render(numbers: Sequence[str], seeds: Iterable[int], config: ClipConfig) -> list[_Handed]:
    """Render a dive for each seed, of the dive numbers in turn, and hand it over as a camera's is."""
    handed = []
    for seed in seeds:
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
        handed.append(_Handed(clip, number))
    return handed


def _scorer(bundle: Bundle, name: BackendName, precision: Precision, threads: int) -> Scorer:
    return Scorer(
        bundle, name, precision=precision, threads=threads, num_exemplars=PUBLISHED_EXEMPLARS, streaming=True
    )  # fmt: skip


def _ways(scorer: Scorer) -> Iterator[Way]:
    name = contender_name(scorer.backend.name, scorer.precision)
    yield Way(f"{name}, {WHOLE}", "all of the network after the last frame", scorer, False)
    if scorer.split is not None:
        head, frames = scorer.split.prefix_frames, scorer.clip_config.num_frames
        told = f"{head} of {frames} frames are through the backbone before the last one comes"
        yield Way(f"{name}, {BEGUN}", told, scorer, True)


def _time(way: Way, dive: _Handed) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor from the last frame to the score."""
    comparison = way.scorer.select(dive.dive_number)  # live, a dive's number is known before the dive
    split = way.scorer.split if way.begun else None
    head = None if split is None else way.scorer.begin(dive.clip.frames[: split.prefix_frames])
    began, cpu_began = time.perf_counter(), time.process_time()
    result = way.scorer.score_clip(dive.clip, comparison, head=head)
    took = (time.perf_counter() - began) * 1e3, (time.process_time() - cpu_began) * 1e3
    if ("backbone_prefix" in result.timing_ms) is not way.begun:
        raise RuntimeError(f"{way.name}: the head start was {'not ' * way.begun}used")
    return took


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
    """A process that plays a video over and over at its own pace."""

    def __init__(self, process: Any, playing: Event, decoded: Any) -> None:
        self._process, self._playing, self._decoded = process, playing, decoded
        self._since: tuple[float, int] | None = None
        self._pictures, self._seconds = 0, 0.0

    @property
    def pictures_per_s(self) -> float:
        """Pictures a second while it played."""
        return self._pictures / self._seconds if self._seconds else 0.0

    def play(self, playing: bool) -> None:
        """Start or stop, and wait until that has happened.

        Raises:
            UserError: it does not start, or did not last.
        """
        if self._since is not None:
            began, before = self._since
            self.wait_for(before + 1)  # a turn can be shorter than a picture
            self._seconds += time.perf_counter() - began
            self._pictures += self._decoded.value - before
            self._since = None
        if not playing:
            self._playing.clear()
            time.sleep(_SETTLE_S)
            return
        self._playing.set()
        self.wait_for(self._decoded.value + 1)
        time.sleep(_SETTLE_S)
        self._since = time.perf_counter(), self._decoded.value

    def wait_for(self, pictures: int) -> None:
        """Wait until so many have been decoded."""
        until = time.monotonic() + _PATIENCE_S
        while self._decoded.value < pictures:
            if time.monotonic() > until or not self._process.is_alive():
                raise UserError(_NO_STREAM)
            time.sleep(0.01)


@contextmanager
def _stream(video: Path, fps: float, config: ClipConfig) -> Iterator[_Stream]:
    context = multiprocessing.get_context("spawn")
    playing, decoded = context.Event(), context.Value("q", 0, lock=False)  # one writer, which may be killed
    process = context.Process(target=_decode, args=(str(video), fps, config, playing, decoded), daemon=True)
    process.start()
    try:
        stream = _Stream(process, playing, decoded)
        stream.wait_for(1)  # it plays one picture before it is told to, which says that it is ready
        yield stream
    finally:
        process.kill()
        process.join()


def _decode(video: str, fps: float, config: ClipConfig, playing: Event, decoded: Any) -> None:
    """Play for as long as ``playing`` is set; one thread, as for one camera."""
    begin_worker()
    while True:
        with av.open(video) as container:
            container.streams.video[0].thread_type = "NONE"
            due = time.perf_counter()
            for picture in container.decode(video=0):
                resize_frame(to_rgb(picture), config)
                decoded.value += 1
                if not playing.is_set():
                    playing.wait()
                    due = time.perf_counter()
                due = max(due + 1 / fps, time.perf_counter() - 1.0)  # what is more than a second late is left
                time.sleep(max(0.0, due - time.perf_counter()))
