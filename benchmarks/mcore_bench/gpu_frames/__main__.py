"""Time how a video frame becomes network input on an NVIDIA GPU: native CUDA code, and NVDEC in place of the processor.

    python -m mcore_bench.gpu_frames --json benchmarks/results/gpu_frames.json

Every way is compared with the processor's result, bit for bit, before it is timed (float16: that result, rounded). Ways
run in turns, and figures are ratios within a round; times are read from CUDA events around a batch of frames, because
the kernels of one frame take microseconds. What cannot run says why and the rest goes on. The exit code is 0, also
where NVDEC is not available; 1 where a result differs or anything else fails; 2 without a GPU.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import tyro
from rich.console import Console
from rich.table import Column, Table

from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore.common.files import write_text
from mcore.common.optional import require
from mcore_bench.environment import cores, processor
from mcore_bench.gpu_frames.frames import SIDE
from mcore_bench.gpu_frames.result import COMMAND, Report, attempt
from mcore_runtime.doctor.machine import Machine


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(lambda: _run(tyro.cli(Arguments, prog=COMMAND, args=argv, description=description(__doc__))))


def _run(arguments: Arguments) -> int:
    settings = {name: value for name, value in asdict(arguments).items() if name != "json"}
    report, console = Report(describe_machine(), settings), Console(width=None if sys.stdout.isatty() else 120)
    # They import torch, of which describe_machine says how to install it.
    from mcore_bench.gpu_frames.decoding import decode_step
    from mcore_bench.gpu_frames.preprocess_step import preprocess_step

    size = (arguments.width, arguments.height)

    def save() -> None:  # after each part, so that a driver that dies takes only the rest with it
        if arguments.json is not None:
            write_text(arguments.json, json.dumps(report.document(), indent=2) + "\n")
        sys.stdout.flush()

    with attempt(report, "preprocessing"):
        preprocess_step(report, *size, arguments.frames, arguments.rounds)
    show_preprocessing(console, report)
    save()
    with attempt(report, "decoding"), tempfile.TemporaryDirectory() as folder:
        decode_step(report, Path(folder) / "video.mp4", *size, arguments.video_frames, arguments.video_rounds)
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


def describe_machine() -> dict[str, str]:
    """GPU, driver and versions.

    Raises:
        UserError: there is no GPU that torch can use.
    """
    torch = require("torch", "bench", "Timing frames on a GPU")
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
        "processor": f"{processor()}, {cores()} cores",
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


if __name__ == "__main__":
    sys.exit(main())
