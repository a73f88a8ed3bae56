"""Beginning of a spawned worker process: it leaves Ctrl-C to its parent, and never outlives it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection


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
