"""uvicorn in a thread of its own, started and ended cleanly."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from mcore.common.errors import UserError
from mcore_runtime.access_token import AccessToken
from mcore_runtime.limited_listener import REQUEST_TIMEOUT_S, SEND_TIMEOUT_S, LimitedListener
from mcore_runtime.web.access_control import AccessControl

_START_TIMEOUT_S, _STOP_TIMEOUT_S = 15.0, 5.0
_MAX_HEADER_BYTES = 16 * 1024


@contextmanager
def run_server(
    app: ASGIApp,
    listener: LimitedListener,
    token: AccessToken | None,
    names: frozenset[str] | None,
    on_end: Callable[[], object],
) -> Iterator[None]:
    """Serve a page from a socket while the context lasts.

    Args:
        app: the page; it need not check any rights.
        listener: a listening socket with limits.
        token: None: no token is needed.
        names: host names under which the page may be asked for; None: any.
        on_end: called before the server ends.

    Raises:
        UserError: the server could not be started.
    """
    access = AccessControl(app, token, names, f"mcore-{listener.getsockname()[1]}")
    server = _Server(_config(access, listener), listener)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), name="page", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise UserError("the page's server could not be started; its log above says why")
            time.sleep(0.01)
        yield
    finally:
        on_end()
        server.should_exit = True
        thread.join(_STOP_TIMEOUT_S)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, listener: LimitedListener) -> None:
        super().__init__(config)
        self._listener = listener

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        self._listener.close_overdue()
        return await super().on_tick(counter)


def _protocol(listener: LimitedListener) -> type[H11Protocol]:
    """The protocol of one connection, which tells the listener what it waits for."""

    class LimitedProtocol(H11Protocol):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._set_timeout()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._set_timeout()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._set_timeout()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._set_timeout()

        def _set_timeout(self) -> None:
            """A WebSocket has a protocol of its own, whose pings find out who does not listen."""
            timeout_s = None
            if self.transport.get_protocol() is self:
                if self.flow.write_paused:
                    timeout_s = SEND_TIMEOUT_S
                elif self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
                    timeout_s = REQUEST_TIMEOUT_S
            listener.set_timeout(self.transport.get_extra_info("socket").fileno(), timeout_s)

    return LimitedProtocol


def _config(app: AccessControl, listener: LimitedListener) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=_protocol(listener),
        ws="auto",
        lifespan="on",
        log_config=None,  # the program's own logging stays as it is; only what is wrong is worth a line
        log_level="error",
        access_log=False,  # addresses may hold the token
        proxy_headers=False,  # anybody could send them
        server_header=False,
        # No limit_concurrency: it answers 503 to everybody once enough connections stand there and say nothing.
        timeout_keep_alive=int(REQUEST_TIMEOUT_S),
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        ws_max_size=1024,
        ws_max_queue=4,
        ws_ping_interval=10.0,
        ws_ping_timeout=20.0,
    )
