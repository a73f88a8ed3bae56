"""Part 1: every way from frames to network input is checked, then timed in turns and set against its floor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mcore_bench.gpu_frames.frames import RGB, scene
from mcore_bench.gpu_frames.preprocessing import Preprocessing, Way
from mcore_bench.gpu_frames.result import Figure, Report, attempt
from mcore_bench.gpu_frames.ways import makers

COPIED_BYTES = 1 << 29
"""In the measurement of the device's bandwidth; ten times what its caches hold."""


def preprocess_step(report: Report, width: int, height: int, count: int, rounds: int) -> None:
    """Check every way, then time those that are right, in turns.

    Args:
        report: gets figures, bandwidths, checks and failures.
        width: of the frames, pixels.
        height: of the frames, pixels.
        count: frames in a batch.
        rounds: how often each way runs.
    """
    work = Preprocessing(list(scene(width, height, count)))
    ways = []
    for name, make in makers(work).items():
        with attempt(report, f"preprocessing, {name}"):
            way = make()
            work.check(way)
            ways.append(way)
    report.checks.append(f"{len(ways)} ways to network input equal the processor's, {work.count} frames each")
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device="cuda")
    report.device_gb_s = gigabytes_per_second(torch.empty_like(source), source, 2 * COPIED_BYTES)
    batch = work.host[RGB]
    report.host_gb_s = gigabytes_per_second(work.device[RGB], batch, batch.numel())
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for times, way in zip(seconds, ways, strict=True):
            times.append(work.seconds(way))
    rates = {"device": report.device_gb_s, "host": report.host_gb_s}
    report.preprocessing = figures(ways, seconds, work.count, rates)


def gigabytes_per_second(to: torch.Tensor, source: torch.Tensor, moved: int) -> float:
    """Time copies; ``moved`` bytes count for each. Median of seven, after one to warm up."""
    rates = []
    for _ in range(8):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        to.copy_(source, non_blocking=True)
        end.record()
        end.synchronize()
        rates.append(moved / (begin.elapsed_time(end) * 1e6))
    return float(np.median(rates[1:]))


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
        floor = None if way.moved is None else way.moved[1] / rates[way.moved[0]] / 1e3
        microseconds = float(np.median(times)) / count * 1e6
        share = None if floor is None else floor / microseconds
        found.append(Figure(way.name, microseconds, median, low, high, floor, share))
    return found
