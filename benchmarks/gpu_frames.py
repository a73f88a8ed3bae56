"""Time how a video frame becomes network input on an NVIDIA GPU: native CUDA code, and NVDEC in place of the processor.

    python benchmarks/gpu_frames.py --json benchmarks/results/gpu_frames.json

Every way is compared with the processor's result, bit for bit, before it is timed (float16: that result, rounded). Ways
run in turns, and figures are ratios within a round; times are read from CUDA events around a batch of frames, because
the kernels of one frame take microseconds. What cannot run says why and the rest goes on. The exit code is 0, also
where NVDEC is not available; 1 where a result differs or anything else fails; 2 without a GPU.
"""

from __future__ import annotations

import ctypes
import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from fractions import Fraction
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import tyro
from av.codec.hwaccel import HWAccel
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Column, Table

from mcore._optional import require
from mcore.cli_help import description
from mcore.config import ClipConfig
from mcore.errors import UserError, first_line, run_command
from mcore.files import write_text
from mcore_bench.environment import cores, processor
from mcore_runtime.doctor.machine import Machine

if TYPE_CHECKING:
    import torch

Frame = NDArray[np.uint8]
CONFIG = ClipConfig()
SIDE = CONFIG.crop_size
LEFT, TOP = (CONFIG.resize_width - SIDE) // 2, (CONFIG.resize_height - SIDE) // 2
RGB, NV12 = "RGB", "NV12"
DEVICE = "cuda"
PINNED = True
BUFFERS = 4
"""Frames that may be on their way to the device at once."""
HELD = 2
"""Decoded frames that kernels may still read; a decoder has few to lend."""
COPIED_BYTES = 1 << 29
"""In the measurement of the device's bandwidth; ten times what its caches hold."""
CONTEXTS = {
    # torch's, which pointers can be shared with. FFmpeg does not join it as "primary": its flags are others.
    "torch's CUDA context": {"primary_ctx": "0", "current_ctx": "1"},
    "the primary CUDA context": {"primary_ctx": "1"},
    "a CUDA context of its own": {"primary_ctx": "0"},
}
"""Where NVDEC may work, the best first; frames of the last cannot stay on the device."""
NVCUVID = "libnvcuvid.so.1"


@dataclass(frozen=True)
class Arguments:
    """What to time."""

    width: int = 1920
    """Of the frame, pixels."""
    height: int = 1080
    """Of the frame, pixels."""
    frames: int = 96
    """In a batch, each another: a clip has 96."""
    rounds: int = 15
    """How often each way of preprocessing runs."""
    video_frames: int = 300
    """In the H.264 video that is decoded."""
    video_rounds: int = 3
    """How often each decoder runs."""
    json: Path | None = None
    """Write the figures to this .json file."""

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 64 or self.width % 2 or self.height % 2:
            raise UserError(f"{self.width}x{self.height}; frames are even in width and height, at least 64 pixels")
        if min(self.frames, self.rounds, self.video_frames, self.video_rounds) < 1:
            raise UserError("--frames, --rounds, --video-frames and --video-rounds must be at least 1")


class DifferentError(Exception):
    """A way computes something else than the processor does."""


class UnavailableError(Exception):
    """This machine has no such decoder."""


@dataclass(frozen=True)
class Figure:
    """One way of preprocessing, measured."""

    name: str
    microseconds: float
    """A frame, median over the rounds."""
    times_faster: float
    """Median over the rounds of the processor's time, for the same kind of frame, over this way's."""
    low: float
    """10th percentile of that."""
    high: float
    """90th percentile of that."""
    floor_microseconds: float | None
    """Bytes that must be moved over the bandwidth measured; None: not bound by it."""
    share: float | None
    """Of the speed that the bandwidth allows, 0 to 1; above that where caches hold frames."""


@dataclass(frozen=True)
class Speed:
    """One decoder, measured."""

    name: str
    frames_per_second: float
    """Opening the file included, median over the rounds."""
    after_first: float
    """Frames a second after the first."""
    first_ms: float
    """From opening the file to the first frame."""
    times_faster: float
    """Median over the rounds of the first decoder's time over this one's."""


@dataclass
class Report:
    """What was found so far."""

    machine: dict[str, str]
    arguments: dict[str, Any]
    device_gb_s: float | None = None
    """Bytes read and written by a copy on the device."""
    host_gb_s: float | None = None
    """Of a copy from pinned memory to the device."""
    preprocessing: list[Figure] = field(default_factory=list)
    video_mbit_s: float | None = None
    """Of the H.264 video, at 60 frames a second."""
    decoding: list[Speed] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    """What was found equal."""
    unavailable: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """For the .json file."""
        return {"command": "python benchmarks/gpu_frames.py", "date": date.today().isoformat(), **asdict(self)}


@dataclass(frozen=True)
class Way:
    """From a batch of frames to network input."""

    kind: str
    name: str
    queue: Callable[[], None]
    """Queue the whole batch; ends on the stream of the kernels."""
    clip: torch.Tensor
    """(3, T, c, c), where results appear."""
    moved: tuple[str, int] | None
    """Over which bandwidth ("device" or "host") how many bytes a frame must come."""


@contextmanager
def attempt(report: Report, name: str) -> Iterator[None]:
    """Write a step's failure down in one line instead of ending the run."""
    try:
        yield
    except UnavailableError as error:
        report.unavailable.append(f"{name}: {first_line(error)}")
    except Exception as error:  # whatever goes wrong in a step, the others run
        report.failures.append(f"{name}: {type(error).__name__}: {first_line(error)}")


# -- frames --------------------------------------------------------------------------------------------------------


def scene(width: int, height: int, count: int) -> Iterator[Frame]:
    """Yield frames (H, W, 3) of a picture that moves under the camera, and a part of it that moves against it."""
    size = (width + 128, height + 64)
    small = np.random.default_rng(0).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), np.uint8)
    canvas = np.array(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
    side = min(width, height) // 4
    part = 255 - canvas[:side, :side]
    for t in range(count):
        x, y = 2 * t % 128, t % 64
        frame = np.ascontiguousarray(canvas[y : y + height, x : x + width])
        x, y = 5 * t % (width - side), 3 * t % (height - side)
        frame[y : y + side, x : x + side] = part
        yield frame


def as_nv12(frame: Frame) -> Frame:
    """Take an RGB frame's values for luma and chroma, (H * 3 / 2, W)."""
    height, width = frame.shape[:2]
    chroma = frame[: height // 2, : width // 2, 1:].reshape(height // 2, width)
    return np.concatenate([frame[..., 0], chroma])


def split(nv12: Frame) -> tuple[Frame, Frame]:
    """Luma (H, W) and chroma (H / 2, W / 2, 2) of an NV12 frame."""
    rows, width = nv12.shape
    height = rows * 2 // 3
    return nv12[:height], nv12[height:].reshape(height // 2, width // 2, 2)


def rows_needed(kind: str, height: int) -> list[slice]:
    """Rows of a frame, (H, W, 3) or (H * 3 / 2, W), that the crop depends on."""
    from preprocess import needed

    rows = needed(TOP, height / CONFIG.resize_height, height)
    if kind == RGB:
        return [rows]
    return [rows, slice(height + rows.start // 2, height + (rows.stop + 1) // 2)]


def bytes_needed(kind: str, width: int, height: int, *, whole_rows: bool) -> int:
    """Bytes of a frame that the crop depends on, or of the rows that these are in."""
    from preprocess import needed

    across = slice(0, width) if whole_rows else needed(LEFT, width / CONFIG.resize_width, width)
    rows = [int(part.stop - part.start) for part in rows_needed(kind, height)]
    if kind == RGB:
        return 3 * rows[0] * int(across.stop - across.start)
    return rows[0] * int(across.stop - across.start) + rows[1] * 2 * int((across.stop + 1) // 2 - across.start // 2)


def differing(got: NDArray[Any], expected: NDArray[Any]) -> int:
    """Count elements whose bits differ; arrays of another shape or type differ in all."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return max(got.size, expected.size, 1)
    bits = np.dtype(f"u{got.dtype.itemsize}")
    return int(np.count_nonzero(np.ascontiguousarray(got).view(bits) != np.ascontiguousarray(expected).view(bits)))


# -- preprocessing -------------------------------------------------------------------------------------------------


class Preprocessing:
    """Memory, streams and plans of one geometry; its methods make the ways."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        import torch

        import mcore_native
        from preprocess import table_of_values

        if not mcore_native.HAS_CUDA:
            raise UserError("mcore_native was built without a CUDA compiler; with nvcc on the PATH: pip install .")
        self.height, self.width = (int(side) for side in frames[0].shape[:2])
        geometry = (self.width, self.height, CONFIG.resize_width, CONFIG.resize_height, LEFT, TOP, SIDE, SIDE)
        self.cpu_plan, self.plan = mcore_native.Plan(*geometry), mcore_native.CudaPlan(*geometry)
        self.count = len(frames)
        self.host = {RGB: pinned(frames), NV12: pinned([as_nv12(frame) for frame in frames])}
        self.device = {kind: batch.to(DEVICE) for kind, batch in self.host.items()}
        self.table = table_of_values()
        values = torch.from_numpy(self.table).to(DEVICE)
        self.tables = {dtype: values.to(dtype) for dtype in (torch.float32, torch.float16)}
        shape = (3, self.count, SIDE, SIDE)
        self.clips = {dtype: torch.zeros(shape, dtype=dtype, device=DEVICE) for dtype in self.tables}
        self.copies, self.kernels = torch.cuda.Stream(), torch.cuda.Stream()
        self.expected = {kind: self.on_processor(kind) for kind in self.host}
        torch.cuda.synchronize()

    def on_processor(self, kind: str) -> NDArray[np.float32]:
        """What the processor's code computes, (3, T, c, c)."""
        clip = np.empty((3, self.count, SIDE, SIDE), np.float32)
        for t, frame in enumerate(self.host[kind].numpy()):
            self.write_on_processor(kind, frame, clip[:, t])
        return clip

    def write_on_processor(self, kind: str, frame: Frame, slot: NDArray[np.float32]) -> None:
        """One frame to its slot (3, c, c), in this thread."""
        if kind == RGB:
            self.cpu_plan.write(frame, self.table, slot)
        else:
            self.cpu_plan.write_yuv(*split(frame), self.table, slot)

    def launcher(self, kind: str, dtype: torch.dtype) -> Callable[[int, int, int], None]:
        """A function that queues the kernels: address of a frame, its number, address of the stream."""
        import torch

        clip, table = self.clips[dtype], self.tables[dtype].data_ptr()
        channel, _, row, column = clip.stride()
        outs = [clip[:, t].data_ptr() for t in range(self.count)]
        half, strides = dtype is torch.float16, (channel, row, column)
        width, pixels = self.width, self.width * self.height

        def rgb(address: int, t: int, stream: int) -> None:
            self.plan.write(
                frame=address,
                row_stride=3 * width,
                pixel_stride=3,
                table=table,
                out=outs[t],
                out_strides=strides,
                half=half,
                stream=stream,
            )

        def nv12(address: int, t: int, stream: int) -> None:
            self.plan.write_yuv(
                luma=address,
                luma_stride=width,
                u=address + pixels,
                v=address + pixels + 1,
                chroma_stride=width,
                chroma_step=2,
                table=table,
                out=outs[t],
                out_strides=strides,
                half=half,
                stream=stream,
            )

        return rgb if kind == RGB else nv12

    def processor(self, kind: str) -> Way:
        """The processor's code in one thread, and the upload of each float32 crop as soon as it is there."""
        import torch

        clip = self.clips[torch.float32]
        crops = torch.empty((self.count, 3, SIDE, SIDE), pin_memory=PINNED)
        uploaded = torch.empty_like(crops, device=DEVICE)
        frames, slots = self.host[kind].numpy(), crops.numpy()

        def queue() -> None:
            with torch.cuda.stream(self.kernels):
                for t, frame in enumerate(frames):
                    self.write_on_processor(kind, frame, slots[t])
                    uploaded[t].copy_(crops[t], non_blocking=True)
                clip.copy_(uploaded.transpose(0, 1))

        return Way(kind, f"{kind}: processor + upload, float32", queue, clip, None)

    def copied(self, kind: str, dtype: torch.dtype) -> Way:
        """The rows that the crop needs from pinned memory, copied while the kernels work on the frames before."""
        import torch

        batch, launch = self.host[kind], self.launcher(kind, dtype)
        buffers = [torch.empty_like(batch[0], device=DEVICE) for _ in range(BUFFERS)]
        pieces = rows_needed(kind, self.height)
        sources = [[frame[rows] for rows in pieces] for frame in batch]  # made here: Python must not be what is timed
        targets = [[buffer[rows] for rows in pieces] for buffer in buffers]
        ready, done = ([torch.cuda.Event() for _ in buffers] for _ in range(2))
        addresses, stream = [buffer.data_ptr() for buffer in buffers], self.kernels.cuda_stream

        def queue() -> None:
            with torch.cuda.stream(self.copies):
                for t, source in enumerate(sources):
                    k = t % BUFFERS
                    if t >= BUFFERS:
                        self.copies.wait_event(done[k])
                    for target, rows in zip(targets[k], source, strict=True):
                        target.copy_(rows, non_blocking=True)
                    ready[k].record(self.copies)
                    self.kernels.wait_event(ready[k])
                    launch(addresses[k], t, stream)
                    done[k].record(self.kernels)

        moved = ("host", bytes_needed(kind, self.width, self.height, whole_rows=True))
        return Way(kind, f"{kind} pinned: copy + kernels, {short(dtype)}", queue, self.clips[dtype], moved)

    def in_place(self, kind: str, dtype: torch.dtype, *, where: str, graph: bool = False) -> Way:
        """Kernels alone: frames are read where they lie ("device" or "host"), queued one by one or as a CUDA graph."""
        import torch

        batch, launch = (self.device if where == "device" else self.host)[kind], self.launcher(kind, dtype)
        addresses = [frame.data_ptr() for frame in batch]

        def queue(stream: torch.cuda.Stream) -> None:
            for t, address in enumerate(addresses):
                launch(address, t, stream.cuda_stream)

        place = "on the device" if where == "device" else "pinned"
        name = f"{kind} {place}: kernels{' as a graph' if graph else ''}, {short(dtype)}"
        moved = (where, bytes_needed(kind, self.width, self.height, whole_rows=False))
        if not graph:
            return Way(kind, name, partial(queue, self.kernels), self.clips[dtype], moved)
        capturing = torch.cuda.Stream()
        queue(capturing)  # kernels are loaded when they first run, which a capture forbids
        torch.cuda.synchronize()
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded, stream=capturing):
            queue(capturing)

        def replay() -> None:
            with torch.cuda.stream(self.kernels):
                recorded.replay()

        return Way(kind, name, replay, self.clips[dtype], moved)

    def makers(self) -> dict[str, Callable[[], Way]]:
        """How each way is made; making may fail."""
        import torch

        found: dict[str, Callable[[], Way]] = {}
        for kind in (RGB, NV12):
            found[f"{kind}, processor"] = partial(self.processor, kind)
            found[f"{kind}, host"] = partial(self.in_place, kind, torch.float32, where="host")
            for dtype in (torch.float32, torch.float16):
                found[f"{kind}, copied, {short(dtype)}"] = partial(self.copied, kind, dtype)
                found[f"{kind}, device, {short(dtype)}"] = partial(self.in_place, kind, dtype, where="device")
                found[f"{kind}, graph, {short(dtype)}"] = partial(
                    self.in_place, kind, dtype, where="device", graph=True
                )
        return found

    def check(self, way: Way) -> None:
        """Run a way once; what it writes must be the processor's result."""
        import torch

        way.clip.fill_(float("nan"))
        torch.cuda.synchronize()
        way.queue()
        torch.cuda.synchronize()
        got = way.clip.cpu().numpy()
        wrong = differing(got, self.expected[way.kind].astype(got.dtype))
        if wrong:
            raise DifferentError(f"{wrong} of {got.size} values differ from the processor's")

    def seconds(self, way: Way) -> float:
        """Run a way once, between two events."""
        import torch

        torch.cuda.synchronize()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record(self.kernels)
        self.copies.wait_event(begin)
        way.queue()
        end.record(self.kernels)
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3


def short(dtype: torch.dtype) -> str:
    """The name without torch's."""
    return str(dtype).removeprefix("torch.")


def pinned(frames: Sequence[Frame]) -> torch.Tensor:
    """Copy frames into memory that the GPU copies from by itself, (T, ...)."""
    import torch

    batch = torch.empty((len(frames), *frames[0].shape), dtype=torch.uint8, pin_memory=PINNED)
    for slot, frame in zip(batch.numpy(), frames, strict=True):
        slot[:] = frame
    return batch


def gigabytes_per_second(to: torch.Tensor, source: torch.Tensor, moved: int) -> float:
    """Time copies; ``moved`` bytes count for each. Median of seven, after one to warm up."""
    import torch

    rates = []
    for _ in range(8):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        to.copy_(source, non_blocking=True)
        end.record()
        end.synchronize()
        rates.append(moved / (begin.elapsed_time(end) * 1e6))
    return float(np.median(rates[1:]))


def floor_microseconds(moved: int, gigabytes_s: float) -> float:
    """Time that ``moved`` bytes take."""
    return moved / gigabytes_s / 1e3


def figures(
    ways: Sequence[Way], seconds: Sequence[Sequence[float]], count: int, rates: dict[str, float]
) -> list[Figure]:
    """Set each way against the first of its kind.

    Args:
        ways: that were timed.
        seconds: a batch's of each way, of each round.
        count: frames in a batch.
        rates: gigabytes a second of "device" and "host".
    """
    first: dict[str, NDArray[np.float64]] = {}
    found = []
    for way, times in zip(ways, np.asarray(seconds), strict=True):
        low, median, high = np.percentile(first.setdefault(way.kind, times) / times, [10, 50, 90]).tolist()
        floor = None if way.moved is None else floor_microseconds(way.moved[1], rates[way.moved[0]])
        microseconds = float(np.median(times)) / count * 1e6
        share = None if floor is None else floor / microseconds
        found.append(Figure(way.name, microseconds, median, low, high, floor, share))
    return found


def preprocess_step(arguments: Arguments, report: Report) -> None:
    """Part 1: check every way, then time those that are right, in turns."""
    import torch

    work = Preprocessing(list(scene(arguments.width, arguments.height, arguments.frames)))
    ways = []
    for name, make in work.makers().items():
        with attempt(report, f"preprocessing, {name}"):
            way = make()
            work.check(way)
            ways.append(way)
    report.checks.append(f"{len(ways)} ways to network input equal the processor's, {work.count} frames each")
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device=DEVICE)
    report.device_gb_s = gigabytes_per_second(torch.empty_like(source), source, 2 * COPIED_BYTES)
    batch = work.host[RGB]
    report.host_gb_s = gigabytes_per_second(work.device[RGB], batch, batch.numel())
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(arguments.rounds):
        for times, way in zip(seconds, ways, strict=True):
            times.append(work.seconds(way))
    rates = {"device": report.device_gb_s, "host": report.host_gb_s}
    report.preprocessing = figures(ways, seconds, work.count, rates)


# -- decoding ------------------------------------------------------------------------------------------------------


def encode(path: Path, frames: Iterable[Frame]) -> None:
    """Write RGB frames (H, W, 3) as H.264 with B-frames, as cameras and sites do."""
    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                options = {"preset": "veryfast", "crf": "18", "bf": "3", "g": "60"}
                stream = container.add_stream("libx264", rate=Fraction(60), options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())


def decode(path: Path, hwaccel: HWAccel | None = None, threads: int = 1) -> Iterator[av.VideoFrame]:
    """Yield a video's frames.

    Args:
        path: of the video.
        hwaccel: of another decoder than the processor.
        threads: 0: as many as FFmpeg likes. NVDEC gets one: each takes surfaces, of which there are 32.
    """
    with av.open(str(path), hwaccel=hwaccel) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE" if threads == 1 else "AUTO"
        stream.codec_context.thread_count = threads
        yield from container.decode(stream)


def nv12(frame: av.VideoFrame) -> Frame:
    """The planes of a frame of any of the decoders, (H * 3 / 2, W), on the host."""
    if frame.format.name == "cuda":
        luma, chroma = (plane.cpu().numpy() for plane in device_planes(frame))
        return np.concatenate([luma, chroma.reshape(chroma.shape[0], -1)])
    if frame.format.name not in ("nv12", "yuv420p", "yuvj420p"):
        raise DifferentError(f"a frame is {frame.format.name}; expected are yuv420p and nv12")
    rows = [np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    packed = np.empty((frame.height * 3 // 2, frame.width), np.uint8)
    luma, chroma = split(packed)
    luma[:] = rows[0][:, : frame.width]
    if len(rows) == 2:
        packed[frame.height :] = rows[1][:, : frame.width]
    else:
        chroma[..., 0], chroma[..., 1] = (plane[:, : frame.width // 2] for plane in rows[1:])
    return packed


def device_planes(frame: av.VideoFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """Luma (H, W) and chroma (H / 2, W / 2, 2) of a frame on the device, without a copy."""
    from torch.utils.dlpack import from_dlpack

    # A capsule, because torch names a stream to whoever has __dlpack__, and PyAV 18 refuses any. Decoder and torch both
    # work on the default stream of one context, so nothing needs to wait.
    luma, chroma = (from_dlpack(plane.__dlpack__()) for plane in frame.planes[:2])
    return luma, chroma


def compare_decoders(expected: Iterable[av.VideoFrame], got: Iterable[av.VideoFrame]) -> int:
    """Count the frames of two decoders, which must agree in number, time stamps and every byte of their planes.

    Raises:
        DifferentError: they do not; says where first.
    """
    count = 0
    for count, (a, b) in enumerate(zip_longest(expected, got), 1):
        if a is None or b is None:
            raise DifferentError(f"one decoder ends after {count - 1} frames, the other goes on")
        if a.pts != b.pts:
            raise DifferentError(f"frame {count - 1} has the time stamp {b.pts}, expected {a.pts}")
        wrong = differing(other := nv12(b), nv12(a))
        if wrong:
            raise DifferentError(f"frame {count - 1}: {wrong} of {other.size} bytes differ")
    return count


@dataclass(frozen=True)
class Run:
    """One pass over a video."""

    frames: int
    first_seconds: float
    total_seconds: float


def drain(frames: Iterable[Any], finish: Callable[[], None] = lambda: None) -> Run:
    """Take all frames, then ``finish``."""
    began = time.perf_counter()
    count, first = 0, 0.0
    for _ in frames:
        count += 1
        if count == 1:
            first = time.perf_counter() - began
    finish()
    return Run(count, first, time.perf_counter() - began)


def speeds(runs: dict[str, list[Run]]) -> list[Speed]:
    """Set each decoder against the first."""
    first = np.array([run.total_seconds for run in next(iter(runs.values()))])
    found = []
    for name, passes in runs.items():
        totals = np.array([run.total_seconds for run in passes])
        rest = [(run.frames - 1) / max(run.total_seconds - run.first_seconds, 1e-9) for run in passes]
        found.append(
            Speed(
                name,
                float(np.median([run.frames / run.total_seconds for run in passes])),
                float(np.median(rest)),
                float(np.median([run.first_seconds for run in passes])) * 1e3,
                float(np.median(first / totals)),
            )
        )
    return found


class Network:
    """Decoded frames to network input: one slot after the other of a clip on the device."""

    def __init__(self, width: int, height: int) -> None:
        import torch

        import mcore_native
        from preprocess import table_of_values

        geometry = (width, height, CONFIG.resize_width, CONFIG.resize_height, LEFT, TOP, SIDE, SIDE)
        self.plan, self.cpu_plan = mcore_native.CudaPlan(*geometry), mcore_native.Plan(*geometry)
        self.table = table_of_values()
        self.device_table = torch.from_numpy(self.table).to(DEVICE)
        self.clip = torch.zeros((96, 3, SIDE, SIDE), device=DEVICE)
        self.crops = torch.zeros((96, 3, SIDE, SIDE), pin_memory=PINNED)

    def from_device(self, frames: Iterable[av.VideoFrame]) -> Iterator[torch.Tensor]:
        """Yield slots (3, c, c) on the device that NVDEC's frames were written to, without a copy of a frame."""
        import torch

        held: deque[tuple[Any, torch.cuda.Event]] = deque()
        for t, frame in enumerate(frames):
            luma, chroma = device_planes(frame)
            slot = self.clip[t % len(self.clip)]
            channel, row, column = slot.stride()
            self.plan.write_yuv(
                luma=luma.data_ptr(),
                luma_stride=luma.stride(0),
                u=chroma.data_ptr(),
                v=chroma.data_ptr() + 1,
                chroma_stride=chroma.stride(0),
                chroma_step=2,
                table=self.device_table.data_ptr(),
                out=slot.data_ptr(),
                out_strides=(channel, row, column),
            )
            read = torch.cuda.Event()
            read.record()
            held.append((frame, read))
            del luma, chroma, frame
            if len(held) > HELD:
                held[0][1].synchronize()
                held.popleft()
            yield slot
        torch.cuda.synchronize()

    def from_host(self, frames: Iterable[av.VideoFrame]) -> Iterator[torch.Tensor]:
        """As ``from_device``, by the processor's code, from frames of the processor's decoder."""
        for t, frame in enumerate(frames):
            crop, slot = self.crops[t % len(self.crops)], self.clip[t % len(self.clip)]
            self.cpu_plan.write_yuv(*split(nv12(frame)), self.table, crop.numpy())
            slot.copy_(crop, non_blocking=True)
            yield slot

    def compare(self, expected: Iterable[av.VideoFrame], got: Iterable[av.VideoFrame]) -> int:
        """Count frames, all of which must give the same network input by both ways."""
        count, want = 0, np.empty((3, SIDE, SIDE), np.float32)
        for count, (frame, slot) in enumerate(zip_longest(expected, self.from_device(got)), 1):
            if frame is None or slot is None:
                raise DifferentError(f"one decoder ends after {count - 1} frames, the other goes on")
            self.cpu_plan.write_yuv(*split(nv12(frame)), self.table, want)
            wrong = differing(slot.cpu().numpy(), want)
            if wrong:
                raise DifferentError(f"frame {count - 1}: {wrong} of {want.size} values differ from the processor's")
        return count


def nvdec(path: Path, *, owned: bool) -> tuple[str, HWAccel]:
    """Find a context in which NVDEC decodes this video's first frame.

    Args:
        path: of the video.
        owned: frames stay on the device.

    Returns:
        Name of the context, and what to open the video with.

    Raises:
        UnavailableError: there is none; says why.
    """
    try:
        ctypes.CDLL(NVCUVID)
    except OSError as error:
        raise UnavailableError(
            f"{first_line(error)}; the driver's video part is missing: install it (libnvidia-decode), or give the "
            "container NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
        ) from error
    reasons = []
    for name, options in list(CONTEXTS.items())[: 2 if owned else None]:
        accelerator = HWAccel("cuda", allow_software_fallback=False, options=dict(options), is_hw_owned=owned)
        level = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture() as said:
                try:
                    frame = next(decode(path, accelerator), None)
                    if frame is not None and frame.format.name == ("cuda" if owned else "nv12"):
                        nv12(frame)
                        return name, accelerator
                    reason = f"it gave {'no frame' if frame is None else frame.format.name}"
                except Exception as error:  # whatever it is, the next context may do
                    reason = first_line(error)
        finally:
            av.logging.set_level(level)
        reasons.append(f"in {name}: {'; '.join([reason, *(text.strip() for _, _, text in said)])}")
    raise UnavailableError(". ".join(reasons))


def decode_step(arguments: Arguments, report: Report, path: Path) -> None:
    """Part 2: check NVDEC against the processor's decoder, then time all in turns."""
    import torch

    torch.zeros(1, device=DEVICE)  # makes torch's context this thread's
    with attempt(report, "encoding"):
        encode(path, scene(arguments.width, arguments.height, arguments.video_frames))
    if not path.exists():
        return
    report.video_mbit_s = path.stat().st_size * 8 * 60 / arguments.video_frames / 1e6
    ways: dict[str, Callable[[], Run]] = {
        "processor, one thread": lambda: drain(decode(path)),
        "processor, all threads": lambda: drain(decode(path, threads=0)),
    }
    with attempt(report, "NVDEC, frames to the host"):
        context, to_host = nvdec(path, owned=False)
        count = compare_decoders(decode(path, threads=0), decode(path, to_host))
        report.checks.append(f"NVDEC to the host, in {context}: {count} frames equal the processor's")
        ways["NVDEC, frames to the host"] = lambda: drain(decode(path, to_host))
    resident: Callable[[], Iterator[av.VideoFrame]] | None = None
    with attempt(report, "NVDEC, frames stay on the device"):
        context, on_device = nvdec(path, owned=True)
        count = compare_decoders(decode(path, threads=0), decode(path, on_device))
        report.checks.append(f"NVDEC on the device, in {context}: {count} frames equal the processor's")
        resident = partial(decode, path, on_device)
        ways["NVDEC, frames stay on the device"] = lambda: drain(decode(path, on_device), torch.cuda.synchronize)
    with attempt(report, "decoding to network input"):
        network = Network(arguments.width, arguments.height)
        ways["processor, all threads, to network input"] = lambda: drain(
            network.from_host(decode(path, threads=0)), torch.cuda.synchronize
        )
        if resident is not None:
            stay = resident
            count = network.compare(decode(path, threads=0), stay())
            report.checks.append(f"NVDEC to network input on the device: {count} frames equal the processor's")
            ways["NVDEC, on the device to network input"] = lambda: drain(
                network.from_device(stay()), torch.cuda.synchronize
            )
    report.decoding = speeds(in_turns(ways, arguments.video_rounds, report))


def in_turns(ways: dict[str, Callable[[], Run]], rounds: int, report: Report) -> dict[str, list[Run]]:
    """Run all ways once a round; one that fails is written down and left out from then on."""
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name in tuple(runs):
            with attempt(report, f"timing, {name}"):
                runs[name].append(ways[name]())
                continue
            del runs[name]
    return runs


# -- the command ---------------------------------------------------------------------------------------------------


def describe_machine() -> dict[str, str]:
    """GPU, driver and versions.

    Raises:
        UserError: there is no GPU that torch can use.
    """
    torch = require("torch", "train", "Timing frames on a GPU")
    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = "is built without CUDA" if built is None else f"for CUDA {built} finds no GPU or no driver"
        raise UserError(
            f"torch {torch.__version__} {why}; nothing was run. This needs a machine with an NVIDIA GPU, its driver "
            "and a torch built for CUDA: nvidia-smi shows the first two"
        )
    smi = Machine().run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") or "unknown"
    return {
        "gpu": torch.cuda.get_device_name(),
        "driver": smi.strip().splitlines()[0],
        "cuda": str(torch.version.cuda),
        "torch": str(torch.__version__),
        "pyav": av.__version__,
        "ffmpeg": av.ffmpeg_version_info,
        "processor": f"{processor(Machine())}, {cores()} cores",
    }


def show_preprocessing(console: Console, report: Report) -> None:
    """Print part 1."""
    if not report.preprocessing:
        return
    size = f"{report.arguments['width']}x{report.arguments['height']}"
    table = Table(Column("way", no_wrap=True), "us a frame", "times as fast", "10 to 90 %", "floor, us", "reached")
    table.title = f"{size} to 3x{SIDE}x{SIDE}, batches of {report.arguments['frames']}, {report.machine['gpu']}"
    for figure in report.preprocessing:
        floor = "" if figure.floor_microseconds is None else f"{figure.floor_microseconds:.2f}"
        share = "" if figure.share is None else f"{figure.share:.0%}"
        spread = f"{figure.low:.1f} to {figure.high:.1f}"
        table.add_row(figure.name, f"{figure.microseconds:.2f}", f"{figure.times_faster:.1f}", spread, floor, share)
    console.print(table)
    console.print(
        f"copies: {report.device_gb_s:.0f} GB/s on the device, {report.host_gb_s:.1f} GB/s from pinned memory"
    )


def show_decoding(console: Console, report: Report) -> None:
    """Print part 2."""
    if not report.decoding:
        return
    table = Table(Column("decoder", no_wrap=True), "frames a second", "after the first", "first, ms", "times as fast")
    table.title = f"H.264, {report.arguments['video_frames']} frames at 60 a second, {report.video_mbit_s:.1f} Mbit/s"
    for speed in report.decoding:
        rates = (f"{speed.frames_per_second:.0f}", f"{speed.after_first:.0f}", f"{speed.first_ms:.0f}")
        table.add_row(speed.name, *rates, f"{speed.times_faster:.2f}")
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(lambda: _run(tyro.cli(Arguments, args=argv, description=description(__doc__))))


def _run(arguments: Arguments) -> int:
    settings = {name: value for name, value in asdict(arguments).items() if name != "json"}
    report, console = Report(describe_machine(), settings), Console(width=None if sys.stdout.isatty() else 120)

    def save() -> None:  # after each part, so that a driver that dies takes only the rest with it
        if arguments.json is not None:
            write_text(arguments.json, json.dumps(report.document(), indent=2) + "\n")
        sys.stdout.flush()

    with attempt(report, "preprocessing"):
        preprocess_step(arguments, report)
    show_preprocessing(console, report)
    save()
    with attempt(report, "decoding"), tempfile.TemporaryDirectory() as folder:
        decode_step(arguments, report, Path(folder) / "video.mp4")
    show_decoding(console, report)
    save()
    for title, lines in (
        ("equal", report.checks),
        ("not available", report.unavailable),
        ("failed", report.failures),
    ):
        for line in lines:
            console.print(f"{title}: {line}", markup=False, soft_wrap=True)
    if arguments.json is not None:
        console.print(f"{arguments.json}", markup=False)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
