"""Clips a second of several processes at once, and the most memory that one has."""

from __future__ import annotations

import multiprocessing
import queue
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from mcore.common.errors import UserError
from mcore_bench.candidates import candidate_name
from mcore_bench.result import Column, Table, Value
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import Precision
from mcore_runtime.scoring.scorer import Scorer

STREAMS = (1, 2, 4)
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class _Encoded:
    """Clips that one process encoded."""

    clips_per_s: float
    memory_mb: float | None
    """The most that was resident; None: the system does not say."""


def throughput_table(bundle: Bundle, candidates: Sequence[tuple[str, Precision]], seconds: float) -> Table:
    """Count the clips that processes encode at once, each with one thread.

    Args:
        bundle: to encode with.
        candidates: backends and precisions.
        seconds: to measure for each number of processes.

    Raises:
        UserError: a process does not answer.
    """
    rows: list[tuple[Value, ...]] = []
    for backend, precision in candidates:
        for streams in STREAMS:
            found = _encode_at_once(bundle, backend, precision, streams, seconds)
            memory_mb = max((each.memory_mb for each in found if each.memory_mb is not None), default=None)
            rate = sum(each.clips_per_s for each in found)
            rows.append((candidate_name(backend, precision), streams, rate, memory_mb))
    columns = (Column("candidate"), Column("processes", "d"), Column("clips a second", ".2f"),
               Column("peak memory of one, MB", ".0f"))  # fmt: skip
    return Table("clips a second, one thread for each process", columns, tuple(rows))


def _encode_at_once(bundle: Bundle, backend: str, precision: Precision, count: int, seconds: float) -> list[_Encoded]:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(count), context.Queue()
    arguments = (str(bundle.path), backend, precision, seconds, barrier, results)
    processes = [context.Process(target=_encode, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        return [results.get(timeout=_TIMEOUT_S + seconds) for _ in processes]
    except queue.Empty:
        raise UserError(
            f"one of {count} processes of {candidate_name(backend, precision)} did not answer within "
            f"{_TIMEOUT_S + seconds:.0f} s; leave them out with --no-throughput"
        ) from None
    finally:
        for process in processes:
            process.join(_TIMEOUT_S)
            process.kill()


def _encode(bundle: str, backend: str, precision: Precision, seconds: float, barrier: Barrier, results: Any) -> None:
    """Encode clips until the time is over and send back how many a second."""
    with Scorer(bundle, backend, precision=precision, threads=1) as scorer:
        c = scorer.clip_config
        clip = np.random.default_rng(0).standard_normal((3, c.num_frames, c.crop_size, c.crop_size), np.float32)
        scorer.encode(clip)
        barrier.wait(_TIMEOUT_S)
        began_s, clips = time.perf_counter(), 0
        while not clips or time.perf_counter() - began_s < seconds:
            scorer.encode(clip)
            clips += 1
        rate = clips / (time.perf_counter() - began_s)
        results.put(_Encoded(rate, _peak_memory_mb()))


def _peak_memory_mb() -> float | None:
    # Not getrusage's maximum, which a process inherits from the one that started it.
    status = Path("/proc/self/status")
    peak = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(encoding="utf-8"), re.M) if status.is_file() else None
    return None if peak is None else int(peak[1]) * 1024 / 1e6
