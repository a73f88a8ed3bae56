"""Pauses between attempts; for a loop with other work to do, which a retrying decorator such as tenacity's is not."""

from __future__ import annotations

import random
import time

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0


class Backoff:
    """Pause that grows with every failure in a row, from one second to a minute, and differs at random.

    Args:
        first_s: pause after the first failure, seconds.
    """

    def __init__(self, first_s: float = FIRST_PAUSE_S) -> None:
        self._first_s = first_s
        self.failures = 0
        """Failures in a row."""
        self._due_s = float("-inf")

    @property
    def wait_s(self) -> float:
        """Until the next attempt, seconds; 0: now."""
        return max(0.0, self._due_s - time.monotonic())

    def fail(self, asked_s: float = 0.0) -> None:
        """Count a failure.

        Args:
            asked_s: pause that the other side asks for, seconds; it is kept where it is longer.
        """
        pause_s = min(self._first_s * 2.0**self.failures, MAX_PAUSE_S)
        self.failures += 1
        # Many devices lose the same network at the same time; they should not all come back in the same instant.
        self._due_s = time.monotonic() + max(pause_s * random.uniform(0.5, 1.0), asked_s)

    def succeed(self) -> None:
        """Forget the failures."""
        self.failures, self._due_s = 0, float("-inf")
