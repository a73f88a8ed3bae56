"""Clips a second of several processes at once, and the most memory that one has."""

from __future__ import annotations

import multiprocessing
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from mcore.common.errors import UserError
from mcore_bench.candidates import Candidate
from mcore_bench.result import Row, Table, make_table
from mcore_runtime.bundle.records import Precision
from mcore_runtime.scoring.scorer import Scorer

STREAMS = (1, 2, 4)
_TIMEOUT_S = 120.0
"""Longest that a process waits for the others to have loaded; seconds."""


def throughput_table(candidates: Sequence[Candidate], seconds: float) -> Table:
    """Count the clips that processes with one thread each encode at once, in this time."""
    rows: list[Row] = []
    for each in candidates:
        for streams in STREAMS:
            found = _encode_at_once(each, streams, seconds)
            memory_mb = max((peak for _, peak in found if peak is not None), default=None)
            rows.append((each.name, streams, sum(rate for rate, _ in found), memory_mb))
    columns = {"candidate": "", "processes": "d", "clips a second": ".2f", "peak memory of one, MB": ".0f"}
    return make_table("clips a second, one thread for each process", columns, rows)


def _encode_at_once(candidate: Candidate, count: int, seconds: float) -> list[tuple[float, float | None]]:
    scorer, context = candidate.scorer, multiprocessing.get_context("spawn")
    arguments = (str(scorer.bundle.path), candidate.asked, scorer.precision, seconds)
    with context.Manager() as manager, ProcessPoolExecutor(count, context) as pool:
        barrier = manager.Barrier(count)
        jobs = [pool.submit(_encode, *arguments, barrier) for _ in range(count)]
        try:
            return [job.result() for job in jobs]
        except (BrokenProcessPool, threading.BrokenBarrierError) as error:
            raise UserError(
                f"one of {count} processes of {candidate.name} ended or did not answer; leave them out with "
                "--no-throughput"
            ) from error


def _encode(
    bundle: str, backend: str, precision: Precision, seconds: float, barrier: threading.Barrier
) -> tuple[float, float | None]:
    """Encode clips until the time is over; return clips a second and the process' peak memory, MB."""
    with Scorer(bundle, backend, precision=precision, threads=1) as scorer:
        c = scorer.clip_config
        clip = np.random.default_rng(0).standard_normal((3, c.num_frames, c.crop_size, c.crop_size), np.float32)
        scorer.encode(clip)
        barrier.wait(_TIMEOUT_S)
        began_s, clips = time.perf_counter(), 0
        while not clips or time.perf_counter() - began_s < seconds:
            scorer.encode(clip)
            clips += 1
        return clips / (time.perf_counter() - began_s), _peak_memory_mb()


def _peak_memory_mb() -> float | None:
    # Not getrusage's maximum, which a process inherits from the one that started it.
    status = Path("/proc/self/status")
    peak = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(encoding="utf-8"), re.M) if status.is_file() else None
    return None if peak is None else int(peak[1]) * 1024 / 1e6
