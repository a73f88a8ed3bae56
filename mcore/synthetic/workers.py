"""Worker processes that render: they leave Ctrl-C to their parent, and never outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection
from typing import TypeVar

from mcore.common.progress import progress_bar

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


def begin_worker() -> None:
    """Call it first in a spawned process."""
    # Ctrl-C reaches every process of a terminal: a worker finishes its dive, and the parent gives it no other.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End this process when its parent has ended, however it did.

    A worker holds both ends of the queue it waits on, so a killed parent would leave it waiting for ever
    (https://github.com/python/cpython/issues/111873).
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
