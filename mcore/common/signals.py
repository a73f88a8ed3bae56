"""Ctrl-C and SIGTERM as a question that long work asks between two steps."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal(say_so: bool = True, *, on_stop: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a flag, and the second into what it was before.

    Args:
        say_so: print a line about it.
        on_stop: called at the first one too, for work that does not ask.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # signals are for the main thread only
        yield lambda: False
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for each, handler in previous.items():
            signal.signal(each, handler)
        if say_so:
            print("finishing this step, then saving; again to stop at once", file=sys.stderr)
        on_stop()

    for number in previous:
        signal.signal(number, remember)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
