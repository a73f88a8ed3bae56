"""DataLoaders whose worker processes end a run with a message, and never hang.

PyTorch's workers hand batches over in shared memory, from a thread of their own: where that memory is too small, as the
64 MB of a Docker container are, the thread only prints a traceback, and the run waits for ever. Here the free memory is
checked before the start, batches are put into it where an error reaches the run, and waiting has a time-out.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from mcore.common.errors import UserError

SHARED_MEMORY = Path("/dev/shm")  # where Linux has it; others have no such limit
TIMEOUT_S = 300.0
"""A batch of clips is read in seconds; a worker that needs longer hangs, as on a network drive that is gone."""
_POLL_S = 10
"""Seconds without a batch after which PyTorch checks that its workers are alive."""
_PREFETCHED = 2
"""Batches that each worker reads ahead; PyTorch's default."""
_TIMED_OUT = "DataLoader timed out"
_NO_WORKERS = "read in this process with --workers 0"
_BROKEN_OFF = (EOFError, ConnectionError, FileNotFoundError)
"""Errors of a batch whose process died before it was fetched."""
_IN_WORKER = "in DataLoader worker process"
"""PyTorch writes this into errors that a worker raised."""

Batch = TypeVar("Batch")


class LoaderError(UserError):
    """A worker process could not deliver; what was saved before is whole."""


class ClipLoader(DataLoader[Batch], Generic[Batch]):
    """Batches that are read by worker processes, or in this one.

    Args:
        dataset: gives batches of one.
        join: puts them together; the result's attributes are tensors.
        workers: processes that read; 0 reads in this one. They change the speed, nothing else.
        batch_bytes: of the largest batch.
        options: of ``torch.utils.data.DataLoader``.

    Raises:
        UserError: the batches that workers read ahead do not fit into shared memory.
    """

    def __init__(
        self,
        dataset: Dataset[Batch],
        join: Callable[[Sequence[Batch]], Batch],
        workers: int,
        batch_bytes: int,
        **options: Any,
    ) -> None:
        check_shared_memory(batch_bytes, workers)
        super().__init__(
            dataset,
            collate_fn=_JoinIntoSharedMemory(join),
            num_workers=workers,
            prefetch_factor=_PREFETCHED if workers else None,
            timeout=_POLL_S if workers else 0,
            worker_init_fn=_ignore_interrupts,
            # Of its own: otherwise every iteration draws from the global one. A validation would move the training's
            # random numbers, and a resumed run, which starts one iteration more, would drop out other units.
            generator=torch.Generator(),
            **options,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # it is all that anybody uses
        """Read all batches.

        Raises:
            UserError: a dive cannot be read.
            LoaderError: a worker died, hangs, or has no shared memory left.
        """
        with _without_child_handler():
            try:
                batches = super().__iter__()
            except (OSError, RuntimeError) as error:  # no more processes, or one is gone since the last epoch
                raise _explained(error, self.num_workers, _POLL_S) from error
        while True:
            began_s = time.monotonic()
            try:
                batch = _next_before(batches, began_s + TIMEOUT_S)
            except StopIteration:
                return
            except UserError as error:
                if not self.num_workers:
                    raise
                raise type(error)(_original_message(error)) from None
            except (RuntimeError, *_BROKEN_OFF) as error:
                if not self.num_workers:
                    raise
                raise _explained(error, self.num_workers, time.monotonic() - began_s) from error
            yield batch


def check_shared_memory(batch_bytes: int, workers: int) -> None:
    """Refuse to begin where the batches that are read ahead do not fit into shared memory.

    Args:
        batch_bytes: of one batch.
        workers: of this process.

    Raises:
        UserError: they do not fit.
    """
    if not workers or not SHARED_MEMORY.is_dir():
        return
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun: those of this machine
    in_flight = workers * _PREFETCHED + 1  # and the one that is being computed
    needed, free = batch_bytes * in_flight * processes, shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise UserError(
            f"--workers {workers}: {in_flight * processes} batches of {batch_bytes / 1e6:.0f} MB need "
            f"{needed / 1e6:.0f} MB of shared memory, and {SHARED_MEMORY} has {free / 1e6:.0f} MB free; "
            f"{_advice(1 + needed // 10**9)}"
        )


class _JoinIntoSharedMemory(Generic[Batch]):
    """Joins a batch, and puts it into shared memory at once if a worker does it."""

    def __init__(self, join: Callable[[Sequence[Batch]], Batch]) -> None:
        self._join = join

    def __call__(self, parts: Sequence[Batch]) -> Batch:
        batch = self._join(parts)
        if get_worker_info() is not None:
            for tensor in vars(batch).values():
                tensor.share_memory_()
        return batch


def _next_before(batches: Iterator[Batch], deadline_s: float) -> Batch:
    """Wait for a batch; one that did not come within PyTorch's time is asked for again."""
    while (batch := _next_or_none(batches, deadline_s)) is None:
        pass
    return batch


def _next_or_none(batches: Iterator[Batch], deadline_s: float) -> Batch | None:
    try:
        return next(batches)
    except RuntimeError as error:
        if _TIMED_OUT in str(error) and time.monotonic() < deadline_s:
            return None
        raise


@contextmanager
def _without_child_handler() -> Iterator[None]:
    """Take PyTorch's handler of SIGCHLD away again.

    It raises wherever the program is when a worker dies: while a checkpoint is written, or where nobody hears it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the parent: a worker that died of it would fail the step that is to be finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _advice(gigabytes: int) -> str:
    return f"give the container more (docker run --shm-size {gigabytes}g), use fewer --workers, or {_NO_WORKERS}"


def _original_message(error: UserError) -> str:
    """The message of an error as a worker raised it; PyTorch puts the worker's traceback in front."""
    text = str(error)
    return text.rpartition(f"{type(error).__module__}.{type(error).__qualname__}: ")[2].strip() or text


def _explained(error: Exception, workers: int, waited_s: float) -> LoaderError:
    """Error that says why the workers failed, and what to do."""
    text = str(error)
    if "shared memory" in text:
        why = f"there is no shared memory left ({SHARED_MEMORY}); {_advice(2)}"
    elif _TIMED_OUT in text:
        why = f"nothing came from them for {waited_s:.0f} s; look whether the videos' disk answers, or {_NO_WORKERS}"
    elif "exited unexpectedly" in text or (isinstance(error, _BROKEN_OFF) and _IN_WORKER not in text):
        why = f"one of these processes died, as where the memory is used up; use fewer --workers, or {_NO_WORKERS}"
    else:
        last = text.strip().rpartition("\n")[2] or type(error).__name__
        why = f"one of these processes failed: {last}; {_NO_WORKERS} to see where"
    return LoaderError(f"--workers {workers}: {why}")
