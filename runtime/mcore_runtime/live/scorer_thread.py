"""The one thread that owns the inference engine: it is opened, used and closed there, and nowhere else.

An engine that failed is not trusted again: it is closed, and opened anew before the next job, or with growing pauses
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
from types import TracebackType

from mcore_runtime.scoring.scorer import Scorer

Job = Callable[[Scorer], None]
OnError = Callable[[Exception], None]
_MOST_WAITING = 8
"""Clips of 6 MB that may wait: more than any competition makes while one is scored."""
_NOW, _IDLE, _END = range(3)
"""Rank in the queue: dives to score, what is only a head start, and the end."""
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 30.0


class EngineGone(Exception):
    """The engine failed, and could not be opened again."""


@dataclass(frozen=True, order=True)
class _Work:
    rank: int
    number: int
    job: Job = field(compare=False)
    on_error: OnError = field(compare=False)


class EngineThread:
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
        self._jobs: queue.PriorityQueue[_Work] = queue.PriorityQueue(_MOST_WAITING)
        self._numbers = itertools.count()
        self._opened = threading.Event()
        self._error: BaseException | None = None
        self._open_scorer, self._first_delay_s = open_scorer, first_delay_s
        self._delay_s = first_delay_s
        self._retry_s: float | None = None
        """When the engine is to be opened again; None: it is open."""
        self._problem: str | None = None
        self._began_s = float("inf")
        self.on_state: Callable[[str | None], None] | None = None
        """Told in the thread why the engine failed, or None once it is open again; must not raise."""
        self.reopened = 0
        """How often it was opened again."""
        self.scorer: Scorer
        """The scorer; other threads may only read its facts, such as ``clip_config``."""
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()
        self._opened.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def __enter__(self) -> EngineThread:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):  # after a second Ctrl-C nobody waits for a device that hangs
            self.close()

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return self._jobs.qsize()

    @property
    def problem(self) -> str | None:
        """Why there is no engine at the moment; None: there is one."""
        return self._problem

    @property
    def busy_s(self) -> float:
        """Since it began the job that it is at; 0: it is at none."""
        return max(0.0, time.monotonic() - self._began_s)

    def submit(self, job: Job, on_error: OnError) -> None:
        """Queue a job; waits while the queue is full.

        Args:
            job: gets the scorer; what it raises is the engine's failure.
            on_error: told of that failure, or that there is no engine, in the thread; must not raise.
        """
        self._jobs.put(_Work(_NOW, next(self._numbers), job, on_error))

    def offer(self, job: Job) -> bool:
        """Queue a job that is run when no other waits, and never delays one by more than its own time; does not wait.

        Returns:
            Whether it was taken. What it raises is the engine's failure, of which nobody else is told.
        """
        with suppress(queue.Full):
            self._jobs.put_nowait(_Work(_IDLE, next(self._numbers), job, lambda error: None))
            return True
        return False

    def drain(self) -> None:
        """Wait until all jobs that were queued before are done."""
        done = threading.Event()
        if self._thread.is_alive():
            self.submit(lambda scorer: done.set(), lambda error: done.set())
            done.wait()

    def close(self) -> None:
        """Finish all jobs, close the engine, and end the thread."""
        if self._thread.is_alive():
            self._jobs.put(_Work(_END, next(self._numbers), lambda scorer: None, lambda error: None))
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
                work = self._jobs.get(timeout=wait_s)
            except queue.Empty:
                self._reopen()
                continue
            if work.rank == _END:
                return
            self._began_s = time.monotonic()
            try:
                if self._retry_s is not None and not self._reopen():
                    raise EngineGone(f"there is no engine: {self._problem}")
                work.job(self.scorer)
            except EngineGone as error:
                work.on_error(error)
            except Exception as error:  # whatever a driver raises: the dive must be kept, and the next one scored
                work.on_error(error)
                self._fail(error)
            finally:
                self._began_s = float("inf")

    def _fail(self, error: Exception) -> None:
        """Give the engine up; it is opened again as soon as no job is waiting, or before the next one."""
        self._close_scorer()
        self._retry_s = time.monotonic()
        self._tell(f"{type(error).__name__}: {error}")

    def _reopen(self) -> bool:
        try:
            self.scorer = self._open_scorer()
        except Exception as error:
            self._retry_s = time.monotonic() + self._delay_s
            self._delay_s = min(2 * self._delay_s, _LONGEST_DELAY_S)
            self._tell(f"{type(error).__name__}: {error}")
            return False
        self._retry_s, self._delay_s = None, self._first_delay_s
        self.reopened += 1
        self._tell(None)
        return True

    def _tell(self, problem: str | None) -> None:
        self._problem = problem
        if self.on_state is not None:
            self.on_state(problem)

    def _close_scorer(self) -> None:
        with suppress(Exception):  # a broken engine may not even close
            self.scorer.close()
