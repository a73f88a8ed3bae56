"""An HTTP server on loopback, in a thread of its own, for tests that answer real requests."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

Self = TypeVar("Self", bound="LoopbackServer")


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True


class LoopbackServer:
    """Serves until it is closed; a context manager.

    Args:
        handler: answers requests; what it prints of them is left out.
        port: 0 for a free one.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        handler.log_message = lambda *_: None  # type: ignore[method-assign]
        self._server = _Server(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._is_closed = False

    def close(self) -> None:
        """Stop serving; twice does no harm."""
        if not self._is_closed:
            self._is_closed = True
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
