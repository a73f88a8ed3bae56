"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 60.0


def wait_until(is_so: Callable[[], bool], told: Callable[[], object] = str) -> None:
    """Wait until something is so; a test that waits too long says what it was told."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, told()
        time.sleep(0.01)
