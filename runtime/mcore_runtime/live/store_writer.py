"""The one thread that writes results to the disk, so that neither the stream nor the engine ever waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

Task = Callable[[], None]
_MOST_WAITING = 32


class KeeperThread:
    """Runs tasks one after the other; what a task raises ends neither the thread nor the run.

    Args:
        on_error: told of it, in the thread; must not raise.
    """

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self._tasks: queue.Queue[Task | None] = queue.Queue(_MOST_WAITING)
        self._on_error = on_error
        self._lock = threading.Lock()
        self._once: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def submit(self, task: Task, *, wait: bool = True) -> None:
        """Queue a task.

        Args:
            task: called in the thread.
            wait: where the queue is full, wait for room; else the task is forgotten.
        """
        with suppress(queue.Full):
            self._tasks.put(task, block=wait)

    def submit_once(self, name: str, task: Task) -> None:
        """Queue a task, unless one of this name is waiting already: it will see what has changed since."""
        with self._lock:
            if name in self._once:
                return
            self._once.add(name)

        def run() -> None:
            with self._lock:
                self._once.discard(name)
            task()

        self._tasks.put(run)

    def close(self) -> None:
        """Finish all tasks, and end the thread."""
        if self._thread.is_alive():
            self._tasks.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._do(task)

    def _do(self, task: Task) -> None:
        try:
            task()
        except Exception as error:  # a fault in keeping one dive must not cost the next
            self._on_error(error)
