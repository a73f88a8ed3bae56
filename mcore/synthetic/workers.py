"""Worker processes that render."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from mcore.common.progress import progress_bar
from mcore.common.worker_process import begin_worker

Job = TypeVar("Job")
Result = TypeVar("Result")


def render_all(render: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None) -> list[Result]:
    """Do jobs in worker processes, with a progress bar on a terminal.

    Args:
        render: a function of a module; called in another process.
        jobs: its arguments.
        workers: processes; None: one a core.

    Returns:
        The results in the jobs' order.
    """
    if not jobs:
        return []
    results = []
    with (
        worker_pool(min(workers or os.cpu_count() or 1, len(jobs))) as pool,
        progress_bar("rendering dives", len(jobs)) as on_dive,
    ):
        for result in pool.map(render, jobs, chunksize=1):
            results.append(result)
            on_dive()
    return results


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Make a pool of processes; spawned, not forked: the caller may hold threads, such as torch's."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=begin_worker)
