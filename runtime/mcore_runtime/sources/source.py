"""A stream of frames from any source: a thread that connects, receives, and connects again for as long as needed.

Example:
    >>> with open_source("rtsp://192.168.1.20/stream") as source:
    ...     for frame in source:
    ...         print(frame.time_s, frame.gap)
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from mcore_runtime.sources.connection import Connection, connect
from mcore_runtime.sources.errors import SourceError, StreamLost
from mcore_runtime.sources.frame import Frame, Picture
from mcore_runtime.sources.queue import FrameQueue
from mcore_runtime.sources.stream_history import StreamHistory
from mcore_runtime.sources.timeline import FileTimeline, LiveTimeline
from mcore_runtime.sources.uri import SourceURI, parse_source

_FIRST_DELAY_S, _MAX_DELAY_S = 0.5, 15.0
"""Pause before the first attempt to connect again, and the longest one: it doubles with each."""
_STEADY_S = 5.0
"""A connection that held this long starts the next back-off anew."""
_RATE_FRAMES = 60
"""Frames over which the rate is measured."""
_MIN_SIDE, _MAX_SIDE = 16, 8192
"""Pixels of a picture's sides: nothing can be seen in less, and more is no camera's picture."""
_MAX_ODD = 100
"""Pictures of impossible sizes in a row after which a stream counts as lost."""
_JOIN_TIMEOUT_S = 3.0
"""``close`` waits this long for the thread, which a camera's driver may hold."""


class SourceState(str, Enum):
    """State of a source."""

    CONNECTING = "connecting"
    """The first connection is being made."""
    STREAMING = "streaming"
    """Frames come."""
    RETRYING = "retrying"
    """The connection is lost, and made again with growing pauses."""
    ENDED = "ended"
    """A file or a rendered sequence is over."""
    FAILED = "failed"
    """It cannot go on; ``status().error`` says why."""
    CLOSED = "closed"
    """The consumer closed it."""


@dataclass(frozen=True)
class SourceStatus:
    """Status of a source at one moment."""

    name: str
    """The public form of its address."""
    state: SourceState
    is_live: bool
    """Whether a camera is behind it; a recording, also one from a server, has an end."""
    reader: str | None = None
    """What decodes: pyav, gstreamer or rendered, with the device in brackets where it is hardware; None before the
    first connection."""
    decoder_note: str | None = None
    """Why another decoder is used than was asked for, and which of several tracks is read; None: nothing to say."""
    frames: int = 0
    """Frames received."""
    dropped: int = 0
    """Frames that nobody took in time."""
    connections: int = 0
    """Connections made; one less is the number of reconnections."""
    failures: int = 0
    """Attempts that failed, and connections that were lost."""
    error: str | None = None
    """Reason why the last attempt or connection failed."""
    size: tuple[int, int] | None = None
    """Width and height of the last frame."""
    frames_per_second: float | None = None
    """Measured over the last frames, in the stream's own time: a file is not faster for being read fast."""
    silent_s: float | None = None
    """Since the last frame was received, seconds."""


class Source:
    """A running source; iterate over it, or ``read`` with a time-out. A context manager.

    Args:
        uri: its address.
        first_delay_s: pause before the first attempt to connect again, seconds; doubles with each, up to 15 s.
    """

    def __init__(self, uri: SourceURI, *, first_delay_s: float = _FIRST_DELAY_S) -> None:
        self.uri = uri
        self._first_delay_s = first_delay_s
        self._queue = FrameQueue(uri.options.queue)
        self._timeline: LiveTimeline | FileTimeline | None = None
        self._stop = threading.Event()
        self._lock = threading.RLock()
        self._status = SourceStatus(uri.public, SourceState.CONNECTING, uri.is_live)
        """All but the figures that ``status`` works out."""
        self._error: Exception | None = None
        self._recent: deque[float] = deque(maxlen=_RATE_FRAMES)
        self._received_s: float | None = None
        self._keeps_all = not uri.is_live
        self._odd: str | None = None
        self._num_odd = 0
        self._lost_s: float | None = None
        self._history = StreamHistory()
        # A daemon: a camera that hangs within the operating system must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=f"source {uri.public}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop receiving. A thread that waits for a camera ends when that wait does."""
        self._stop.set()
        self._queue.end(discard=True)
        self._thread.join(_JOIN_TIMEOUT_S)
        with self._lock:
            if self.state not in (SourceState.ENDED, SourceState.FAILED):
                self._note(state=SourceState.CLOSED)

    def read(self, timeout_s: float | None = None) -> Frame | None:
        """Take the next frame.

        Args:
            timeout_s: longest wait, seconds; None: until there is a frame or the end.

        Returns:
            The frame; None after the time-out, and at the end, which ``is_over`` tells apart.

        Raises:
            UserError: the source failed for good, after its last frame was taken.
        """
        frame = self._queue.get(timeout_s)
        if frame is None and self._queue.is_over and self._error is not None:
            raise self._error
        return frame

    @property
    def is_over(self) -> bool:
        """Return whether no frame will come any more."""
        return self._queue.is_over

    @property
    def state(self) -> SourceState:
        """State of the source; cheaper than ``status``."""
        return self._status.state

    @property
    def is_live(self) -> bool:
        """Whether a camera is behind it; a recording, also one from a server, has an end."""
        return self._status.is_live

    @property
    def keeps_all(self) -> bool:
        """Whether no frame is lost, however late it is taken or comes."""
        return self._keeps_all

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    def status(self) -> SourceStatus:
        """Return what is known now; cheap, from any thread."""
        with self._lock:
            recent = self._recent
            span_s = recent[-1] - recent[0] if len(recent) > 1 else 0.0
            return replace(
                self._status,
                dropped=self._queue.dropped,
                frames_per_second=(len(recent) - 1) / span_s if span_s > 0 else None,
                silent_s=None if self._received_s is None else time.monotonic() - self._received_s,
            )

    def _note(self, **changes: Any) -> None:
        """Change what ``status`` tells."""
        with self._lock:
            self._status = replace(self._status, **changes)

    def _run(self) -> None:
        try:
            self._stream_until_over()
            with self._lock:
                if self.state is not SourceState.CLOSED:
                    self._note(state=SourceState.ENDED)
        except Exception as error:  # also one of this program: the consumer must hear of it, not wait for ever
            self._error = error
            self._note(state=SourceState.FAILED, error=str(error))
        finally:
            self._queue.end()

    def _stream_until_over(self) -> None:
        delay_s = self._first_delay_s
        while not self._stop.is_set():
            began_s = time.monotonic()
            try:
                if self._stream_once():
                    return
            except StreamLost as lost:
                self._report(str(lost))
            if time.monotonic() - began_s > _STEADY_S + self.uri.options.timeout_s:
                delay_s = self._first_delay_s
            # Cameras behind one switch come back together; they should not all be asked in the same instant.
            self._stop.wait(delay_s * random.uniform(0.8, 1.2))
            delay_s = min(2 * delay_s, _MAX_DELAY_S)

    def _stream_once(self) -> bool:
        """Connect and deliver frames; True when the source is over."""
        connection = connect(self.uri, first=self._status.connections == 0, history=self._history)
        with closing(connection):
            self._keeps_all = connection.keeps_all
            self._note(connections=self._status.connections + 1, is_live=connection.is_live, **_decoding(connection))
            timeline = self._timeline = self._timeline_for(connection)
            try:
                for picture in connection.pictures():
                    # Known with the first picture: a stream may be one that the hardware does not take.
                    self._note(**_decoding(connection))
                    if self._stop.is_set() or not self._deliver(picture, timeline):
                        return True
            except StreamLost as lost:
                if connection.is_live:
                    raise
                # Asked again, a server would send the file from its beginning.
                raise SourceError(f"{self.uri.public}: {lost}, before the end of the file. Download it first") from lost
            if self._odd is not None and not self._status.frames:
                raise SourceError(f"{self.uri.public}: {self._odd}")
            self._note(is_live=connection.is_live)
        return True

    def _timeline_for(self, connection: Connection) -> LiveTimeline | FileTimeline:
        """Times go on from connection to connection."""
        kind = FileTimeline if connection.keeps_all else LiveTimeline
        timeline = self._timeline if isinstance(self._timeline, kind) else kind()
        if isinstance(timeline, LiveTimeline):
            timeline.restart()
        return timeline

    def _deliver(self, picture: Picture, timeline: LiveTimeline | FileTimeline) -> bool:
        rgb = picture.rgb
        if not all(_MIN_SIDE <= side <= _MAX_SIDE for side in rgb.shape[:2]):
            self._skip_picture(rgb.shape)
            return True
        if self.uri.options.rotation:
            rgb = np.ascontiguousarray(np.rot90(rgb, -self.uri.options.rotation // 90))
        time_s, jumped = timeline.place(picture)
        reasons = (self._interruption(rgb.shape), picture.gap, self._odd, jumped)
        gap = "; ".join(reason for reason in reasons if reason) or None
        frame = Frame(rgb, time_s, self._status.frames, picture.received_s, gap)
        with self._lock:
            self._recent.append(time_s)
            self._received_s = picture.received_s
            self._note(state=SourceState.STREAMING, frames=self._status.frames + 1, size=(rgb.shape[1], rgb.shape[0]))
        self._lost_s = self._odd = None
        self._num_odd = 0
        return self._queue.put(frame, wait=self._keeps_all)

    def _skip_picture(self, shape: tuple[int, ...]) -> None:
        """Leave out a picture that no part of this program can work with, and say so with the next one."""
        allowed = f"allowed: {_MIN_SIDE} to {_MAX_SIDE} pixels a side"
        self._odd = f"it sent a picture of {shape[1]}x{shape[0]} pixels; {allowed}"
        self._num_odd += 1
        if self._num_odd >= _MAX_ODD:
            reason, self._num_odd = self._odd, 0
            is_asked_again = self.is_live and self.uri.kind not in ("file", "synthetic")
            raise StreamLost(reason) if is_asked_again else SourceError(f"{self.uri.public}: {reason}")

    def _interruption(self, shape: tuple[int, ...]) -> str | None:
        """Interruption of the stream since the frame before; None: there was none."""
        before, size = self._status.size, (shape[1], shape[0])
        if self._lost_s is not None and self._status.frames:
            return f"the connection was lost for {time.monotonic() - self._lost_s:.1f} s"
        if before not in (None, size):
            return "the picture changed from {}x{} to {}x{}".format(*before, *size)
        return None

    def _report(self, reason: str) -> None:
        self._note(state=SourceState.RETRYING, failures=self._status.failures + 1, error=reason)
        if self._lost_s is None:
            self._lost_s = time.monotonic() if self._received_s is None else self._received_s


def _decoding(connection: Connection) -> dict[str, str | None]:
    return {"reader": connection.reader, "decoder_note": connection.decoder_note}


def open_source(address: str | SourceURI, *, first_delay_s: float = _FIRST_DELAY_S) -> Source:
    """Open a source by its address, and start receiving.

    Args:
        address: see ``mcore_runtime.sources.uri``.
        first_delay_s: pause before the first attempt to connect again, seconds.

    Raises:
        SourceError: not an address. What else is wrong comes from ``read``: connecting takes time.
    """
    uri = address if isinstance(address, SourceURI) else parse_source(address)
    return Source(uri, first_delay_s=first_delay_s)
