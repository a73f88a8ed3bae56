"""What all open pages are told: one thread listens to the session, and every page takes the newest when it can.

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

from mcore_runtime.web.facade import Listener, Session
from mcore_runtime.web.presenting import present, pulse_of, to_text

_PULSE_S = 1.0
_LEAST_S = 0.2
"""Between two snapshots."""
_MOST_DIVES = 32
_LOG = logging.getLogger(__name__)


class Viewer:
    """What one page has not been told yet; in the event loop only."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._newest: dict[str, str] = {}
        self._dives: deque[str] = deque(maxlen=_MOST_DIVES)

    def put(self, kind: str, text: str) -> None:
        """Add a message; a newer snapshot or pulse takes the place of an older one."""
        if kind == "dive":
            self._dives.append(text)
        else:
            self._newest[kind] = text
        self._news.set()

    def begin(self, snapshot: str) -> None:
        """Give it its first snapshot, unless a newer one came while that was made."""
        self._newest.setdefault("snapshot", snapshot)
        self._news.set()

    async def take(self) -> list[str]:
        """Wait for news and take all of them, in the order in which they are to be told."""
        await self._news.wait()
        self._news.clear()
        snapshot, pulse = self._newest.pop("snapshot", None), self._newest.pop("pulse", None)
        texts = [text for text in (snapshot, *self._dives, pulse) if text is not None]
        self._dives.clear()
        return texts


class Board:
    """Tells all viewers of a session's news; a context manager that runs one thread.

    Args:
        session: whose news.
        loop: the event loop of the viewers.
    """

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        self._session, self._loop = session, loop
        self._viewers: tuple[Viewer, ...] = ()
        self._listener: Listener = session.subscribe()
        self._told_s = self._pulsed_s = float("-inf")
        self._told_revision: object = None
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
        """Be told of everything from now on; in the event loop."""
        viewer = Viewer()
        self._viewers = (*self._viewers, viewer)
        try:
            yield viewer
        finally:
            self._viewers = tuple(other for other in self._viewers if other is not viewer)

    def snapshot_text(self) -> str:
        """The message with a whole snapshot."""
        return to_text({"type": "snapshot", "snapshot": present(self._session.snapshot())})

    def _run(self) -> None:
        with closing(self._listener) as listener:
            while not self._stop.is_set() and not listener.is_over:
                event = listener.get(_LEAST_S)
                try:
                    if event is not None and event["type"] == "dive":
                        self._tell("dive", to_text(event))
                    self._tell_state()
                except Exception:  # a fault in one message must not silence the page for the rest of the day
                    _LOG.exception("the page could not be told of the session")
                    self._stop.wait(_PULSE_S)

    def _tell_state(self) -> None:
        """Tell of a new snapshot at once, but not more often than anybody could read, and else of the pulse."""
        now_s = time.monotonic()
        if not self._viewers or now_s - self._told_s < _LEAST_S:
            return
        snapshot = self._session.snapshot()
        if snapshot["revision"] != self._told_revision:
            self._tell("snapshot", to_text({"type": "snapshot", "snapshot": present(snapshot)}))
            self._told_revision = snapshot["revision"]
        elif now_s - self._pulsed_s >= _PULSE_S:
            self._tell("pulse", to_text({"type": "pulse", **pulse_of(snapshot)}))
            self._pulsed_s = now_s
        self._told_s = now_s

    def _tell(self, kind: str, text: str) -> None:
        def tell() -> None:
            for viewer in self._viewers:
                viewer.put(kind, text)

        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:  # the loop is closed: nobody is there any more
            self._stop.set()
