"""Part 2: NVDEC is checked against the processor's decoder, then all decoders are timed in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mcore_bench.gpu_frames.frames import scene
from mcore_bench.gpu_frames.network import Network
from mcore_bench.gpu_frames.nvdec import find_context
from mcore_bench.gpu_frames.result import Report, Speed, attempt
from mcore_bench.gpu_frames.video import compare_decoders, decode, encode


@dataclass(frozen=True)
class Run:
    """One pass over a video."""

    frames: int
    first_seconds: float
    total_seconds: float


def decode_step(report: Report, path: Path, width: int, height: int, count: int, rounds: int) -> None:
    """Encode a video, check NVDEC against the processor's decoder, then time all in turns.

    Args:
        report: gets speeds, checks, what is not available, and failures.
        path: of the video; written.
        width: of the frames, pixels.
        height: of the frames, pixels.
        count: frames in the video.
        rounds: how often each decoder runs.
    """
    torch.zeros(1, device="cuda")  # makes torch's context this thread's
    with attempt(report, "encoding"):
        encode(path, scene(width, height, count))
    if not path.exists():
        return
    report.video_mbit_s = path.stat().st_size * 8 * 60 / count / 1e6
    report.decoding = speeds(in_turns(_checked_ways(report, path, width, height), rounds, report))


def _checked_ways(report: Report, path: Path, width: int, height: int) -> dict[str, Callable[[], Run]]:
    """The ways to decode that run here and agree with the processor's."""
    on_processor = partial(decode, path, threads=0)
    to_host, stays = "NVDEC, frames to the host", "NVDEC, frames stay on the device"
    ways: dict[str, Callable[[], Run]] = {
        "processor, one thread": lambda: drain(decode(path)),
        "processor, all threads": lambda: drain(on_processor()),
    }
    with attempt(report, to_host):
        context, accelerator = find_context(path, owned=False)
        copied = partial(decode, path, accelerator)
        count = compare_decoders(on_processor(), copied())
        report.checks.append(f"NVDEC to the host, in {context}: {count} frames equal the processor's")
        ways[to_host] = lambda: drain(copied())
    with attempt(report, stays):
        context, accelerator = find_context(path, owned=True)
        resident = partial(decode, path, accelerator)
        count = compare_decoders(on_processor(), resident())
        report.checks.append(f"NVDEC on the device, in {context}: {count} frames equal the processor's")
        ways[stays] = lambda: drain(resident(), torch.cuda.synchronize)
    with attempt(report, "decoding to network input"):
        network = Network(width, height)
        ways["processor, all threads, to network input"] = lambda: drain(
            network.from_host(on_processor()), torch.cuda.synchronize
        )
        if stays in ways:
            count = network.compare(on_processor(), resident())
            report.checks.append(f"NVDEC to network input on the device: {count} frames equal the processor's")
            ways["NVDEC, on the device to network input"] = lambda: drain(
                network.from_device(resident()), torch.cuda.synchronize
            )
    return ways


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
