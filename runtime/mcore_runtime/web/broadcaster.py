"""Broadcast of a live session to all open pages: one thread listens, and each page takes the newest when it can.

A page that is slow misses old snapshots, never the newest; the session never waits for any page.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager

from mcore.common.typed_json import encode
from mcore_runtime.live.broadcast import DiveNews
from mcore_runtime.web.protocols import Listener, Session
from mcore_runtime.web.serialisation import heartbeat_of, with_dive_words

_HEARTBEAT_S = 1.0
_MIN_INTERVAL_S = 0.2
"""Between two snapshots: nobody reads faster."""
_MAX_DIVES = 32
_LOG = logging.getLogger(__name__)


class Viewer:
    """Messages that one page has not been sent yet; in the event loop only."""

    def __init__(self) -> None:
        self._has_news = asyncio.Event()
        self._newest: dict[str, str] = {}
        self._dives: deque[str] = deque(maxlen=_MAX_DIVES)

    def put(self, kind: str, text: str) -> None:
        """Add a message; a newer snapshot or heartbeat takes the place of an older one."""
        if kind == "dive":
            self._dives.append(text)
        else:
            self._newest[kind] = text
        self._has_news.set()

    def begin(self, snapshot: str) -> None:
        """Add the first snapshot, unless a newer one came while that was made."""
        self._newest.setdefault("snapshot", snapshot)
        self._has_news.set()

    async def take(self) -> list[str]:
        """Wait for messages and take all of them, in the order in which they are to be sent."""
        await self._has_news.wait()
        self._has_news.clear()
        snapshot, heartbeat = self._newest.pop("snapshot", None), self._newest.pop("heartbeat", None)
        texts = [text for text in (snapshot, *self._dives, heartbeat) if text is not None]
        self._dives.clear()
        return texts


class Broadcaster:
    """Sends a session's news to all viewers, from one thread.

    Args:
        session: whose news.
        loop: the event loop of the viewers.
    """

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        self._session, self._loop = session, loop
        self._viewers: tuple[Viewer, ...] = ()
        self._listener: Listener = session.subscribe()
        self._sent_s = self._heartbeat_s = float("-inf")
        self._sent_revision: object = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page news", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening; waits for the thread."""
        self._stop.set()
        self._listener.close()
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def viewer(self) -> Iterator[Viewer]:
        """Receive everything from now on; in the event loop."""
        viewer = Viewer()
        self._viewers = (*self._viewers, viewer)
        try:
            yield viewer
        finally:
            self._viewers = tuple(other for other in self._viewers if other is not viewer)

    def snapshot_text(self) -> str:
        """The message with a whole snapshot."""
        return encode({"type": "snapshot", "snapshot": with_dive_words(self._session.snapshot())})

    def _run(self) -> None:
        with closing(self._listener) as listener:
            while not self._stop.is_set() and not listener.is_over:
                news = listener.get(_MIN_INTERVAL_S)
                try:
                    if isinstance(news, DiveNews):
                        self._send("dive", encode({"type": "dive", "dive": news.dive.to_shown_json()}))
                    self._send_state()
                except Exception:  # a fault in one message must not silence the page for the rest of the day
                    _LOG.exception("the page could not be sent a message")
                    self._stop.wait(_HEARTBEAT_S)

    def _send_state(self) -> None:
        """Send a new snapshot at once, though not more often than anybody could read, and else the heartbeat."""
        now_s = time.monotonic()
        if not self._viewers or now_s - self._sent_s < _MIN_INTERVAL_S:
            return
        snapshot = self._session.snapshot()
        if snapshot["revision"] != self._sent_revision:
            self._send("snapshot", encode({"type": "snapshot", "snapshot": with_dive_words(snapshot)}))
            self._sent_revision = snapshot["revision"]
        elif now_s - self._heartbeat_s >= _HEARTBEAT_S:
            self._send("heartbeat", encode({"type": "heartbeat", **heartbeat_of(snapshot)}))
            self._heartbeat_s = now_s
        self._sent_s = now_s

    def _send(self, kind: str, text: str) -> None:
        def put() -> None:
            for viewer in self._viewers:
                viewer.put(kind, text)

        try:
            self._loop.call_soon_threadsafe(put)
        except RuntimeError:  # the loop is closed: nobody is there any more
            self._stop.set()
