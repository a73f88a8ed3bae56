"""A real MJPEG server on loopback that can be killed, frozen, restarted on the same port, and made to misbehave."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import numpy as np
from PIL import Image

from tests.loopback import LoopbackServer
from tests.numbered_video import numbered_frame


def jpeg(number: int, scale: int = 1) -> bytes:
    """A numbered frame as JPEG."""
    picture = np.repeat(np.repeat(numbered_frame(number % 256), scale, 0), scale, 1)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def whole_part(number: int, data: bytes, *, boundary: bytes = b"--edge\r\n", kind: str = "image/jpeg") -> bytes:
    """A part as most servers send it."""
    head = f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
    return boundary + head.encode() + data + b"\r\n"


class MjpegServer(LoopbackServer):
    """Serves numbered frames at ``/``; a context manager.

    Args:
        port: 0 for a free one.
        period_s: time between frames.
        status: HTTP status of every answer.
        body: from a frame's number, its bytes; None: ``jpeg``.
        part: from a frame's number and its bytes, what is sent of it; None: a part as it should be.
        content_type: of every answer.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        period_s: float = 0.02,
        status: int = 200,
        body: Callable[[int], bytes] | None = None,
        part: Callable[[int, bytes], bytes] | None = None,
        content_type: str = "multipart/x-mixed-replace; boundary=edge",
    ) -> None:
        self.frozen = threading.Event()
        self.requests: list[str] = []
        self._dead = threading.Event()
        self._sockets: list[object] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.requests.append(self.path)
                owner._sockets.append(self.connection)
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.end_headers()
                number = 0
                while status == 200 and not owner._dead.is_set():
                    if not owner.frozen.is_set():
                        data = (body or jpeg)(number)
                        try:
                            self.wfile.write((part or whole_part)(number, data))
                        except OSError:
                            return
                        number += 1
                    time.sleep(period_s)

        super().__init__(Handler, port)
        self.url += "/"

    def close(self) -> None:
        """Stop serving; connections break off."""
        self._dead.set()
        super().close()
