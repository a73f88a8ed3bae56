"""News of a session for whoever listens; a listener that is slow, or never listens, costs nobody anything."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

Event = Mapping[str, Any]
_MOST_WAITING = 64


class Subscription:
    """What one listener has not yet heard; a context manager.

    Args:
        limit: events that may wait; the oldest are dropped beyond that.
        forget: called once, when it is closed.
    """

    def __init__(self, limit: int = _MOST_WAITING, forget: Callable[[Subscription], None] | None = None) -> None:
        self._events: deque[Event] = deque()
        self._limit, self._forget = limit, forget
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0
        """Events that this listener will never hear."""

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_over(self) -> bool:
        """Whether nothing will come any more."""
        with self._changed:
            return self._closed and not self._events

    def get(self, timeout_s: float | None) -> Event | None:
        """Take the oldest event; None after the time-out, and once there will be none, which ``is_over`` tells apart.

        Args:
            timeout_s: longest wait, seconds; None: until there is an event, or there will be none.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._events and not self._closed:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            return self._events.popleft() if self._events else None

    def close(self) -> None:
        """Hear no more; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        forget, self._forget = self._forget, None
        if forget is not None:
            forget(self)

    def put(self, event: Event) -> None:
        """Add an event; never waits. Of several "changed" in a row one is enough."""
        with self._changed:
            if self._closed or (event == {"type": "changed"} and self._events and self._events[-1] == event):
                return
            if len(self._events) >= self._limit:
                self._events.popleft()
                self.dropped += 1
            self._events.append(event)
            self._changed.notify_all()


class Broadcast:
    """Passes events on to all subscriptions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: tuple[Subscription, ...] = ()
        self._closed = False

    def subscribe(self, limit: int = _MOST_WAITING) -> Subscription:
        """Listen from now on."""
        subscription = Subscription(limit, self._forget)
        with self._lock:
            if not self._closed:
                self._subscriptions = (*self._subscriptions, subscription)
                return subscription
        subscription.close()
        return subscription

    def send(self, event: Event) -> None:
        """Tell everybody; never waits."""
        for subscription in self._subscriptions:
            subscription.put(event)

    def close(self) -> None:
        """Nothing will come any more."""
        with self._lock:
            self._closed = True
            subscriptions = self._subscriptions
        for subscription in subscriptions:
            subscription.close()

    def _forget(self, gone: Subscription) -> None:
        with self._lock:
            self._subscriptions = tuple(s for s in self._subscriptions if s is not gone)
