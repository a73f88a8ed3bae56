"""News of a session for whoever listens; a listener that is slow, or never listens, costs nobody anything."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mcore_runtime.session.dive import LiveDive
from mcore_runtime.sources import SourceStatus

_MAX_WAITING = 64


@dataclass(frozen=True)
class DiveNews:
    """A dive has been scored, could not be, or has changed."""

    dive: LiveDive


@dataclass(frozen=True)
class SourceNews:
    """The source is in another state."""

    status: SourceStatus


@dataclass(frozen=True)
class DetectorNews:
    """The detector saw something that is not scored."""

    text: str


@dataclass(frozen=True)
class SnapshotChanged:
    """Anything in the snapshot is new."""


@dataclass(frozen=True)
class ProblemNews:
    """Something is not on the disk, for this reason; None: all is again."""

    problem: str | None


News = DiveNews | SourceNews | DetectorNews | SnapshotChanged | ProblemNews


class Subscription:
    """News that one listener has not yet heard; a context manager.

    Args:
        limit: news that may wait; the oldest are dropped beyond that.
        forget: called once, when it is closed.
    """

    def __init__(self, limit: int = _MAX_WAITING, forget: Callable[[Subscription], None] | None = None) -> None:
        self._news: deque[News] = deque()
        self._limit, self._forget = limit, forget
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0
        """News that this listener will never hear."""

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_over(self) -> bool:
        """Return whether nothing will come any more."""
        with self._changed:
            return self._closed and not self._news

    def get(self, timeout_s: float | None) -> News | None:
        """Take the oldest news; None after the time-out, and once there will be none, which ``is_over`` tells apart.

        Args:
            timeout_s: longest wait, seconds; None: until there is some, or there will be none.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._news or self._closed, timeout_s)
            return self._news.popleft() if self._news else None

    def close(self) -> None:
        """Hear no more; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        forget, self._forget = self._forget, None
        if forget is not None:
            forget(self)

    def put(self, news: News) -> None:
        """Add news; never waits. Of several ``SnapshotChanged`` in a row one is enough."""
        with self._changed:
            is_repeated = isinstance(news, SnapshotChanged) and self._news and self._news[-1] == news
            if self._closed or is_repeated:
                return
            if len(self._news) >= self._limit:
                self._news.popleft()
                self.dropped += 1
            self._news.append(news)
            self._changed.notify_all()


class Broadcast:
    """Passes news on to all subscriptions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: tuple[Subscription, ...] = ()
        self._closed = False

    def subscribe(self, limit: int = _MAX_WAITING) -> Subscription:
        """Listen from now on."""
        subscription = Subscription(limit, self._forget)
        with self._lock:
            if not self._closed:
                self._subscriptions = (*self._subscriptions, subscription)
                return subscription
        subscription.close()
        return subscription

    def send(self, news: News) -> None:
        """Tell everybody; never waits."""
        for subscription in self._subscriptions:
            subscription.put(news)

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
