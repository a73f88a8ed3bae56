"""The one thread that owns the inference engine: it is opened, used and closed there, and nowhere else."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType

from mcore_runtime.scorer import Scorer

Job = Callable[[Scorer], None]
_MOST_WAITING = 8
"""Clips of 6 MB that may wait: more than any competition makes while one is scored."""


class EngineThread:
    """Runs jobs one after the other on a scorer of its own; a context manager.

    Args:
        open_scorer: opens it, in the thread.

    Raises:
        Exception: what ``open_scorer`` raised.
    """

    def __init__(self, open_scorer: Callable[[], Scorer]) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(_MOST_WAITING)
        self._opened = threading.Event()
        self._error: BaseException | None = None
        self._open_scorer = open_scorer
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
        self.close()

    def submit(self, job: Job) -> None:
        """Queue a job; waits while the queue is full. A job reports its own errors: it must not raise."""
        self._jobs.put(job)

    def close(self) -> None:
        """Finish all jobs, close the engine, and end the thread."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def _run(self) -> None:
        try:
            self.scorer = self._open_scorer()
        except BaseException as error:
            self._error = error
            return
        finally:
            self._opened.set()
        with self.scorer:
            while (job := self._jobs.get()) is not None:
                job(self.scorer)
