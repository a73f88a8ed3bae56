"""Dives a second: several at once in processes of their own, and several in one batch where graphs take one."""

from __future__ import annotations

import multiprocessing
import queue
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np

from mcore.common.errors import UserError
from mcore_bench.contenders import contender_name
from mcore_bench.timing import Call, Effort, Group, compare
from mcore_runtime.backends.streaming import open_graphs
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import GraphSet, Precision
from mcore_runtime.scoring.scorer import Scorer

BATCHES = (1, 2, 4)
BATCHES_TITLE = f"backbone of {max(BATCHES)} clips"
"""Beginning of the title of their groups."""
STREAMS = (1, 2, 4)
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Streams:
    """Clips encoded at once by several processes, one thread each."""

    name: str
    streams: int
    clips_per_s: float
    """Of all together."""


def measure_batches(batched: GraphSet, backend: str, threads: int, effort: Effort) -> Group:
    """Time the backbone on the same clips in batches of different sizes, in turns.

    Args:
        batched: graphs with a batch axis.
        backend: one of ``STREAMING_BACKENDS``.
        threads: CPU threads.
        effort: how long.
    """
    most = max(BATCHES)
    record = batched.records["backbone"]
    with closing(open_graphs(batched.folder, {"backbone": record}, backend, threads)) as opened:
        shape = [int(extent) for extent in record.inputs[0].shape[1:]]
        clips = np.random.default_rng(0).standard_normal((most, *shape), np.float32)

        def batches_of(batch: int) -> Call:
            def run() -> None:
                for first in range(0, most, batch):
                    opened.run("backbone", {"clip": clips[first : first + batch]}, ["features"])

            return run

        title = f"{BATCHES_TITLE}, {contender_name(backend, batched.variant)}"
        return compare(title, {f"{batch} at a time": batches_of(batch) for batch in BATCHES}, effort)


def measure_streams(
    bundle: Bundle, backend: str, precision: Precision, counts: Sequence[int], seconds: float
) -> tuple[Streams, ...]:
    """Count the clips that several processes encode at once, each with one thread.

    Args:
        bundle: to encode with.
        backend: as ``Scorer`` takes it.
        precision: of the graphs.
        counts: numbers of processes.
        seconds: to measure for each number.
    """
    context = multiprocessing.get_context("spawn")
    found = []
    for count in counts:
        barrier, results = context.Barrier(count), context.Queue()
        arguments = (str(bundle.path), backend, precision, seconds, barrier, results)
        processes = [context.Process(target=_encode, args=arguments) for _ in range(count)]
        for process in processes:
            process.start()
        try:
            rates = [results.get(timeout=_PATIENCE_S + seconds) for _ in processes]
        except queue.Empty:
            raise UserError(
                f"one of {count} processes of {contender_name(backend, precision)} did not answer within "
                f"{_PATIENCE_S + seconds:.0f} s; leave streams out with --no-throughput"
            ) from None
        finally:
            for process in processes:
                process.join(_PATIENCE_S)
                process.kill()
        found.append(Streams(contender_name(backend, precision), count, sum(rates)))
    return tuple(found)


def _encode(bundle: str, backend: str, precision: Precision, seconds: float, barrier: Barrier, results: Any) -> None:
    """Encode clips until the time is over and send back how many a second."""
    with Scorer(bundle, backend, precision=precision, threads=1) as scorer:
        c = scorer.clip_config
        clip = np.random.default_rng(0).standard_normal((3, c.num_frames, c.crop_size, c.crop_size), np.float32)
        scorer.encode(clip)
        barrier.wait(_PATIENCE_S)
        began, clips = time.perf_counter(), 0
        while not clips or time.perf_counter() - began < seconds:
            scorer.encode(clip)
            clips += 1
        results.put(clips / (time.perf_counter() - began))
