"""Queue between the thread that receives frames and the one that uses them; it says what happens when it is full."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

from mcore_runtime.sources.frame import Frame


class FrameQueue:
    """A bounded queue of frames for one producer and one consumer.

    Args:
        capacity: frames it holds.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self.dropped = 0
        """Frames that were replaced by newer ones before anybody took them."""

    def put(self, frame: Frame, *, wait: bool) -> bool:
        """Add a frame.

        Args:
            frame: the newest.
            wait: where the queue is full, wait for room (files) instead of dropping the oldest frame (live).

        Returns:
            False if the queue was ended; the frame is not in it then.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: len(self._frames) < self._capacity or self._ended)
            if self._ended:
                return False
            if len(self._frames) >= self._capacity:
                lost = self._frames.popleft()
                self.dropped += 1
                if lost.gap is not None and self._frames:  # what was missing before it is missing before the next
                    self._frames[0] = _with_gap(self._frames[0], lost.gap)
                elif lost.gap is not None:
                    frame = _with_gap(frame, lost.gap)
            self._frames.append(frame)
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None) -> Frame | None:
        """Take the oldest frame; None after the time-out, or when the queue has ended and is empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._ended, timeout_s)
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    def end(self, *, discard: bool = False) -> None:
        """Let nothing more in, and wake whoever waits; ``discard`` also empties it."""
        with self._changed:
            self._ended = True
            if discard:
                self._frames.clear()
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Return whether nothing is left and nothing will come."""
        with self._changed:
            return self._ended and not self._frames

    def __len__(self) -> int:
        with self._changed:
            return len(self._frames)


def _with_gap(frame: Frame, gap: str) -> Frame:
    both = gap if frame.gap is None else f"{gap}; {frame.gap}"
    return replace(frame, gap=both)
