"""The live picture as JPEGs: one encoder for all viewers, the newest frame for each, no work while nobody looks."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore_runtime.web.protocols import Session

BOUNDARY = "frame"
_LOG = logging.getLogger(__name__)
_HEAD = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
_MAX_PICTURES_PER_SECOND = 12
_MAX_WIDTH, _MAX_HEIGHT = 960, 720
_QUALITY = 78
_REPEAT_S = 2.0
"""A picture is sent again after this long without a new one: a viewer that is gone is noticed only by sending."""


class Pictures:
    """Encodes a session's newest frame for whoever looks.

    Args:
        session: whose frames.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._encoded: tuple[int, bytes] | None = None
        self._viewers = 0
        self._closed = False
        self._new_picture = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.encodings = 0
        """Pictures encoded so far."""

    @property
    def viewers(self) -> int:
        """How many look now."""
        return self._viewers

    def newest(self) -> tuple[int, bytes] | None:
        """Return number and JPEG of the newest frame, encoded once however many ask; None: there is none."""
        with self._lock:
            picture = self._session.picture()
            if picture is None:
                return None
            number, rgb = picture
            if self._encoded is None or self._encoded[0] != number:
                self._encoded = (number, encode(rgb))
                self.encodings += 1
            return self._encoded

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the parts of a multipart/x-mixed-replace body, until the caller stops."""
        self._viewers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        shown: int | None = None
        try:
            yield _HEAD
            while (newest := await self._next(shown)) is not None:
                shown, jpeg = newest
                # Chromium shows a part once it has seen the head of the next one; so that head is sent at once, and
                # without a length, which nobody knows by then.
                yield jpeg + b"\r\n" + _HEAD
        finally:
            self._viewers -= 1

    async def close(self) -> None:
        """End all streams."""
        self._closed = True
        async with self._new_picture:
            self._new_picture.notify_all()

    async def _next(self, shown: int | None) -> tuple[int, bytes] | None:
        """Wait for another picture than the one shown; after a while the same one is good too. None: it is over."""

        def is_new() -> bool:
            return self._closed or (self._encoded is not None and self._encoded[0] != shown)

        while not self._closed:
            async with self._new_picture:
                with suppress(asyncio.TimeoutError):  # not yet the built-in one on Python 3.10
                    await asyncio.wait_for(self._new_picture.wait_for(is_new), _REPEAT_S)
            if self._encoded is not None and not self._closed:
                return self._encoded
        return None

    async def _watch(self) -> None:
        """Encode while there are viewers."""
        loop = asyncio.get_running_loop()
        while self._viewers and not self._closed:
            began_s, before = loop.time(), self._encoded
            try:
                newest = await asyncio.to_thread(self.newest)
            except Exception:  # a frame that cannot be encoded must not end the live picture for the day
                _LOG.exception("a picture could not be encoded")
                newest = None
            if newest is not None and (before is None or newest[0] != before[0]):
                async with self._new_picture:
                    self._new_picture.notify_all()
            await asyncio.sleep(max(0.0, 1 / _MAX_PICTURES_PER_SECOND - (loop.time() - began_s)))


def encode(rgb: NDArray[np.uint8]) -> bytes:
    """Return a frame (h, w, 3) as a JPEG of at most 960 x 720."""
    image = Image.fromarray(rgb)
    image.thumbnail((_MAX_WIDTH, _MAX_HEIGHT), Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
