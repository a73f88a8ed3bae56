"""The live picture as JPEGs: encoded once for all viewers, the newest frame for each, no work while nobody looks."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
import time
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore_runtime.web.protocols import Session

BOUNDARY = "frame"
_LOG = logging.getLogger(__name__)
_HEAD = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
_INTERVAL_S = 1 / 12
"""Between two pictures at least."""
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
        self._is_closed = False
        self.viewers = 0
        """Number of viewers now, counted by who answers them."""

    def newest(self) -> tuple[int, bytes] | None:
        """Return number and JPEG of the newest frame, encoded once however many ask; None: there is none."""
        with self._lock:
            picture = self._session.picture()
            if picture is None:
                return None
            number, rgb = picture
            if self._encoded is None or self._encoded[0] != number:
                self._encoded = (number, encode(rgb))
            return self._encoded

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the parts of a multipart/x-mixed-replace body, until the caller stops or ``close`` is called."""
        shown, shown_s = -1, float("-inf")
        yield _HEAD
        while not self._is_closed:
            newest = await asyncio.to_thread(self._newest_or_none)
            if newest is not None and (newest[0] != shown or time.monotonic() - shown_s > _REPEAT_S):
                shown, shown_s = newest[0], time.monotonic()
                # Chromium shows a part once it has seen the head of the next one; so that head is sent at once,
                # and without a length, which nobody knows by then.
                yield newest[1] + b"\r\n" + _HEAD
            await asyncio.sleep(_INTERVAL_S)

    def close(self) -> None:
        """End all streams at their next picture."""
        self._is_closed = True

    def _newest_or_none(self) -> tuple[int, bytes] | None:
        try:
            return self.newest()
        except Exception:  # a frame that cannot be encoded must not end the live picture for the day
            _LOG.exception("a picture could not be encoded")
            return None


def encode(rgb: NDArray[np.uint8]) -> bytes:
    """Return a frame (h, w, 3) as a JPEG of at most 960 x 720."""
    image = Image.fromarray(rgb)
    image.thumbnail((_MAX_WIDTH, _MAX_HEIGHT), Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
