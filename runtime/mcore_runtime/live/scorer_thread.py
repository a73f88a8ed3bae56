"""The one thread that owns the scorer: it is opened, used and closed there, and nowhere else.

A scorer that failed is not trusted again: it is closed, and opened anew before the next job, or with growing pauses
until that succeeds. Jobs that come while there is none fail at once, so that nobody waits for a device that is gone.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from mcore_runtime.live.events import Event, Logged
from mcore_runtime.scoring.scorer import Scorer

_MAX_WAITING = 8
"""Clips of 6 MB that may wait: more than any competition makes while one is scored."""
_FIRST_DELAY_S, _MAX_DELAY_S = 0.5, 30.0


class ScorerGone(Exception):
    """The scorer failed, and could not be opened again."""


class Job(Protocol):
    """Work for a scorer, which ends in an event of the session, or in nothing."""

    def run(self, scorer: Scorer) -> Event | None:
        """Do it; what it raises is the scorer's failure."""

    def failed(self, error: Exception) -> Event | None:
        """Say what became of it instead; must not raise."""


class _Rank(IntEnum):
    """Order in the queue: dives to score, head starts when nothing else waits, and the end."""

    NOW = 0
    IDLE = 1
    END = 2


@dataclass(frozen=True, order=True)
class _Waiting:
    rank: _Rank
    number: int
    job: Job | None = field(compare=False)
    done: threading.Event | None = field(compare=False, default=None)


class ScorerThread:
    """Runs jobs one after the other on a scorer of its own; a context manager.

    Args:
        open_scorer: opens it, in the thread; called again after a failure.
        first_delay_s: pause after a first attempt to open it again that failed, seconds; doubles up to 30 s.

    Raises:
        Exception: what ``open_scorer`` raised the first time.
    """

    def __init__(
        self,
        open_scorer: Callable[[], Scorer],
        *,
        first_delay_s: float = _FIRST_DELAY_S,
    ) -> None:
        self._jobs: queue.PriorityQueue[_Waiting] = queue.PriorityQueue(_MAX_WAITING)
        self._numbers = itertools.count()
        self._opened = threading.Event()
        self._error: BaseException | None = None
        self._open_scorer, self._first_delay_s = open_scorer, first_delay_s
        self._delay_s = first_delay_s
        self._retry_s: float | None = None
        """When the scorer is to be opened again; None: it is open."""
        self._problem: str | None = None
        self._began_s = float("inf")
        self.on_event: Callable[[Event], object] = lambda event: None
        """Given what becomes of the jobs and of the scorer, in the thread; must not raise."""
        self.scorer: Scorer
        """The scorer; other threads may only read its facts, such as ``clip_config``."""
        self._thread = threading.Thread(target=self._run, name="scorer", daemon=True)
        self._thread.start()
        self._opened.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def __enter__(self) -> ScorerThread:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, Exception):  # after a second Ctrl-C nobody waits for a device that hangs
            self.close()

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return self._jobs.qsize()

    @property
    def problem(self) -> str | None:
        """Reason why there is no scorer at the moment; None: there is one."""
        return self._problem

    @property
    def busy_s(self) -> float:
        """Since it began the job that it is at; 0: it is at none."""
        return max(0.0, time.monotonic() - self._began_s)

    def submit(self, job: Job) -> None:
        """Queue a job; waits while the queue is full."""
        self._jobs.put(_Waiting(_Rank.NOW, next(self._numbers), job))

    def offer(self, job: Job) -> bool:
        """Queue a job that is run when no other waits, and never delays one by more than its own time; does not wait.

        Returns:
            Whether it was taken.
        """
        with suppress(queue.Full):
            self._jobs.put_nowait(_Waiting(_Rank.IDLE, next(self._numbers), job))
            return True
        return False

    def drain(self) -> None:
        """Wait until all jobs that were submitted before are done."""
        done = threading.Event()
        if self._thread.is_alive():
            self._jobs.put(_Waiting(_Rank.NOW, next(self._numbers), None, done))
            done.wait()

    def close(self) -> None:
        """Finish all jobs, close the scorer, and end the thread."""
        if self._thread.is_alive():
            self._jobs.put(_Waiting(_Rank.END, next(self._numbers), None))
            self._thread.join()

    def _run(self) -> None:
        try:
            self.scorer = self._open_scorer()
        except BaseException as error:
            self._error = error
            return
        finally:
            self._opened.set()
        try:
            self._work()
        finally:
            self._close_scorer()

    def _work(self) -> None:
        while True:
            try:
                wait_s = None if self._retry_s is None else max(0.0, self._retry_s - time.monotonic())
                waiting = self._jobs.get(timeout=wait_s)
            except queue.Empty:
                self._reopen()
                continue
            if waiting.rank is _Rank.END:
                return
            if waiting.done is not None:
                waiting.done.set()
            if waiting.job is not None:
                self._began_s = time.monotonic()
                self._run_job(waiting.job)
                self._began_s = float("inf")

    def _run_job(self, job: Job) -> None:
        failure: Exception | None = None
        try:
            if self._retry_s is not None and not self._reopen():
                raise ScorerGone(f"there is no scorer: {self._problem}")
            event = job.run(self.scorer)
        except ScorerGone as error:
            event = job.failed(error)
        except Exception as error:  # whatever a driver raises: the dive must be kept, and the next one scored
            event, failure = job.failed(error), error
        if event is not None:
            self.on_event(event)
        if failure is not None:
            self._fail(failure)

    def _fail(self, error: Exception) -> None:
        """Give the scorer up; it is opened again as soon as no job is waiting, or before the next one."""
        self._close_scorer()
        self._retry_s = time.monotonic()
        self._lose(error)

    def _reopen(self) -> bool:
        try:
            self.scorer = self._open_scorer()
        except Exception as error:
            self._retry_s = time.monotonic() + self._delay_s
            self._delay_s = min(2 * self._delay_s, _MAX_DELAY_S)
            self._lose(error)
            return False
        self._retry_s, self._delay_s = None, self._first_delay_s
        self._problem = None
        backend = self.scorer.backend
        self.on_event(Logged("scorer", f"open again: {backend.name}, {backend.provider}"))
        return True

    def _lose(self, error: Exception) -> None:
        self._problem = f"{type(error).__name__}: {error}"
        self.on_event(Logged("scorer", self._problem))

    def _close_scorer(self) -> None:
        with suppress(Exception):  # a broken scorer may not even close
            self.scorer.close()
