"""Time what turns a video frame into network input: native code, Pillow, OpenCV, FFmpeg and torch, in turns.

    python benchmarks/preprocess.py --json benchmarks/results/preprocess.json

Each round runs every way once, one after the other, so that whatever else the machine does slows all of them; figures
are ratios within a round. They are of processor time, because on shared cores long calls are interrupted more often
than short ones; where two threads are compared with one, of elapsed time. Every call gets another frame, of more than
caches hold, as a decoder delivers them. Only native code and Pillow compute the function that the network was trained
with: the column "off by" says how far the others are from it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import av
import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

import mcore_native
from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore.common.files import write_text
from mcore_bench.environment import processor
from mcore_bench.gpu_frames.frames import CONFIG, LEFT, SIDE, TOP, Frame, needed, table_of_values

FloatArray = NDArray[np.float32]
Way = Callable[[int], FloatArray]
"""From the number of a frame to (3, c, c)."""
Clock = Callable[[], float]
BASELINE = "Pillow + NumPy"


@dataclass(frozen=True)
class Arguments:
    """What to time."""

    width: int = 1920
    """Of the frame, pixels."""
    height: int = 1080
    """Of the frame, pixels."""
    frames: int = 24
    """Different frames, each of which is used again only after all the others."""
    rounds: int = 200
    """How often each way runs."""
    json: Path | None = None
    """Write the figures to this .json file."""

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 16 or self.rounds < 10 or self.frames < 1:
            raise UserError(
                f"{self.width}x{self.height}, {self.frames} frames, {self.rounds} rounds; at least 16 pixels, 1 frame, "
                "10 rounds"
            )


@dataclass(frozen=True)
class Figure:
    """One way, measured."""

    name: str
    times_faster: float
    """Median over the rounds of the baseline's time over this way's."""
    low: float
    """10th percentile of that."""
    high: float
    """90th percentile of that."""
    milliseconds: float
    """Median; only for comparison within this run."""
    off_by: float
    """Largest difference from the baseline's result, grey levels of 255."""


def rgb_ways(frames: Sequence[Frame]) -> dict[str, Way]:
    """Ways from packed RGB frames (H, W, 3) to (3, c, c)."""
    height, width = frames[0].shape[:2]
    size = (CONFIG.resize_width, CONFIG.resize_height)
    table, out = table_of_values(), np.empty((3, SIDE, SIDE), np.float32)
    plan = mcore_native.Plan(width, height, *size, LEFT, TOP, SIDE, SIDE)

    def finish(picture: NDArray[np.uint8]) -> FloatArray:
        cut = picture[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
        for channel in range(3):
            np.take(table[channel], cut[..., channel], out=out[channel], mode="clip")
        return out

    def with_pillow(i: int) -> FloatArray:
        return finish(np.asarray(Image.fromarray(frames[i]).resize(size, Image.Resampling.BILINEAR)))

    def native(name: str) -> Way:
        def run(i: int) -> FloatArray:
            mcore_native.use_instruction_set(name)
            plan.write(frames[i], table, out)
            return out

        return run

    ways: dict[str, Way] = {BASELINE: with_pillow}
    ways |= {f"native, {name}": native(name) for name in mcore_native.instruction_sets()}
    ways["FFmpeg swscale, bilinear"] = swscale(frames, finish)
    return ways | opencv_ways(frames, finish) | torch_ways(frames)


def swscale(frames: Sequence[Frame], finish: Callable[[NDArray[np.uint8]], FloatArray]) -> Way:
    """FFmpeg's scaler, through PyAV."""
    pictures = [av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames]
    reformatter = av.video.reformatter.VideoReformatter()

    def run(i: int) -> FloatArray:
        scaled = reformatter.reformat(
            pictures[i],
            CONFIG.resize_width,
            CONFIG.resize_height,
            interpolation=av.video.reformatter.Interpolation.BILINEAR,
        )
        return finish(np.asarray(scaled.to_ndarray(), np.uint8))

    return run


def opencv_ways(frames: Sequence[Frame], finish: Callable[[NDArray[np.uint8]], FloatArray]) -> dict[str, Way]:
    """OpenCV's resize with one thread, where it is installed."""
    try:
        import cv2
    except ImportError:
        return {}
    cv2.setNumThreads(1)
    size = (CONFIG.resize_width, CONFIG.resize_height)

    def resize(interpolation: int) -> Way:
        return lambda i: finish(np.asarray(cv2.resize(frames[i], size, interpolation=interpolation), np.uint8))

    return {
        "OpenCV, INTER_AREA": resize(cv2.INTER_AREA),
        "OpenCV, INTER_LINEAR": resize(cv2.INTER_LINEAR),
    }


def torch_ways(frames: Sequence[Frame]) -> dict[str, Way]:
    """What torchvision does with a tensor: float32, channels first, antialiased bilinear; where torch is installed."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)
    mean, std = (torch.tensor(values)[:, None, None] for values in (CONFIG.mean, CONFIG.std))

    def run(i: int) -> FloatArray:
        pixels = torch.from_numpy(frames[i]).permute(2, 0, 1)[None].float() / 255
        size = (CONFIG.resize_height, CONFIG.resize_width)
        resized = torch.nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True)[0]
        values: FloatArray = ((resized[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE] - mean) / std).numpy()
        return values

    return {"torch, antialiased": run}


def yuv_ways(frames: Sequence[Frame]) -> dict[str, Way]:
    """Ways from NV12 frames, as hardware decoders deliver them."""
    height, width = frames[0].shape[:2]
    lumas = [np.ascontiguousarray(frame[..., 0]) for frame in frames]
    chromas = [np.ascontiguousarray(frame[: (height + 1) // 2, : (width + 1) // 2, 1:]) for frame in frames]
    size = (CONFIG.resize_width, CONFIG.resize_height)
    table, out = table_of_values(), np.empty((3, SIDE, SIDE), np.float32)
    plan = mcore_native.Plan(width, height, *size, LEFT, TOP, SIDE, SIDE)
    pictures = [
        av.VideoFrame.from_ndarray(np.vstack([luma, chroma.reshape(chroma.shape[0], -1)]), format="nv12")
        for luma, chroma in zip(lumas, chromas, strict=True)
    ]

    def with_pillow(i: int) -> FloatArray:
        picture = Image.fromarray(pictures[i].to_ndarray(format="rgb24")).resize(size, Image.Resampling.BILINEAR)
        cut = np.asarray(picture)[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
        for channel in range(3):
            np.take(table[channel], cut[..., channel], out=out[channel], mode="clip")
        return out

    def native(i: int) -> FloatArray:
        plan.write_yuv(lumas[i], chromas[i], table, out)
        return out

    return {f"NV12: swscale to RGB, {BASELINE}": with_pillow, "NV12: native": native}


def floors(frames: Sequence[Frame]) -> dict[str, Way]:
    """Read, and copy to memory that caches hold, the pixels that the crop needs: the floors that memory sets."""
    height, width = frames[0].shape[:2]
    rows, columns = needed(TOP, height / CONFIG.resize_height, height), needed(LEFT, width / CONFIG.resize_width, width)
    scratch = np.empty_like(frames[0][rows, columns])
    nothing = np.zeros((3, SIDE, SIDE), np.float32)

    def read(i: int) -> FloatArray:
        whole_rows = frames[i][rows].reshape(-1)  # contiguous, so that NumPy reads them as words
        np.bitwise_xor.reduce(whole_rows[: whole_rows.size // 8 * 8].view(np.uint64))
        return nothing

    def copy(i: int) -> FloatArray:
        np.copyto(scratch, frames[i][rows, columns])
        return nothing

    return {"floor: reading the rows once": read, "floor: copying the pixels once": copy}


def thread_ways(frames: Sequence[Frame]) -> dict[str, Way]:
    """All frames twice, in one thread and in two with a plan each: Python's lock is not held meanwhile."""
    height, width = frames[0].shape[:2]
    size = (CONFIG.resize_width, CONFIG.resize_height)
    table, outs = table_of_values(), np.empty((2, 3, SIDE, SIDE), np.float32)
    plans = [mcore_native.Plan(width, height, *size, LEFT, TOP, SIDE, SIDE) for _ in outs]
    result: FloatArray = outs[0]
    pool = ThreadPoolExecutor(2)

    def work(n: int) -> None:
        for frame in frames:
            plans[n].write(frame, table, outs[n])

    def one(_: int) -> FloatArray:
        work(0)
        work(1)
        return result

    def two(_: int) -> FloatArray:
        for half in [pool.submit(work, n) for n in range(2)]:
            half.result()
        return result

    return {"one thread": one, "two threads": two}


def measure(ways: dict[str, Way], frames: int, rounds: int, clock: Clock = time.process_time) -> list[Figure]:
    """Run all ways in turns and compare each with the first."""
    reference = None
    off = {}
    for name, way in ways.items():
        for _ in range(5):
            result = way(0).copy()
        reference = result if reference is None else reference
        # Back to grey levels, so that "off by" is in steps that people know.
        std = np.array(CONFIG.std, np.float32)[:, None, None]
        off[name] = float(np.abs((result - reference) * std).max() * 255)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    calls = 0
    for _ in range(rounds):
        for name, way in ways.items():
            began = clock()
            way(calls % frames)
            seconds[name].append(clock() - began)
            calls += 1
    first = np.array(next(iter(seconds.values())))
    figures = []
    for name, values in seconds.items():
        low, median, high = np.percentile(first / np.array(values), [10, 50, 90]).tolist()
        figures.append(Figure(name, median, low, high, float(np.median(values)) * 1e3, off[name]))
    return figures


def report(console: Console, title: str, figures: Sequence[Figure]) -> None:
    """Print one table."""
    table = Table("way", "times as fast", "10 to 90 %", "off by", title=title)
    for figure in figures:
        off = "" if figure.name.startswith("floor") else f"{figure.off_by:.1f}"
        table.add_row(figure.name, f"{figure.times_faster:.1f}", f"{figure.low:.1f} to {figure.high:.1f}", off)
    console.print(table)


def draw(size: tuple[int, int], seed: int) -> Frame:
    """A frame (height, width, 3) without sharp edges, as pictures are."""
    small = np.random.default_rng(seed).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), np.uint8)
    return np.array(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(lambda: _run(tyro.cli(Arguments, args=argv, description=description(__doc__))))


def _run(arguments: Arguments) -> int:
    size = (arguments.width, arguments.height)
    frames = [draw(size, seed) for seed in range(arguments.frames)]
    ways = {**rgb_ways(frames), **floors(frames)}
    rgb = measure(ways, len(frames), arguments.rounds)
    mcore_native.use_instruction_set(mcore_native.instruction_sets()[0])
    yuv = measure(yuv_ways(frames), len(frames), arguments.rounds)
    threads = measure(thread_ways(frames), len(frames), arguments.rounds, time.perf_counter)
    console = Console()
    report(console, f"{size[0]}x{size[1]} RGB to 3x{SIDE}x{SIDE} float32, one thread, {arguments.rounds} rounds", rgb)
    report(console, f"{size[0]}x{size[1]} NV12 to the same", yuv)
    report(console, f"{size[0]}x{size[1]} RGB, threads", threads)
    if arguments.json is not None:
        document: dict[str, Any] = {
            "command": "python benchmarks/preprocess.py",
            "date": date.today().isoformat(),
            "processor": processor(),
            "size": size,
            "frames": arguments.frames,
            "rounds": arguments.rounds,
            "rgb": [asdict(figure) for figure in rgb],
            "nv12": [asdict(figure) for figure in yuv],
            "threads": [asdict(figure) for figure in threads],
        }
        write_text(arguments.json, json.dumps(document, indent=2) + "\n")
        console.print(f"{arguments.json}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
