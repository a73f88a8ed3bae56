"""uvicorn in a thread of its own, started and ended cleanly."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mcore.common.errors import UserError
from mcore_runtime.access_token import AccessToken
from mcore_runtime.door import REQUEST_S, TAKING_S, Door
from mcore_runtime.web.access_control import AccessControl
from mcore_runtime.web.app import Service, make_app
from mcore_runtime.web.protocols import Session

_START_TIMEOUT_S, _STOP_TIMEOUT_S = 15.0, 5.0
_MAX_HEADER_BYTES = 16 * 1024


@contextmanager
def run_server(session: Session, door: Door, token: AccessToken | None, names: frozenset[str] | None) -> Iterator[None]:
    """Serve the page from a socket while the context lasts.

    Args:
        session: what is shown.
        door: a listening socket that guards itself.
        token: None: no token is needed.
        names: host names under which the page may be asked for; None: any.

    Raises:
        UserError: the server could not be started.
    """
    app = make_app(session)
    access = AccessControl(app, token, names, f"mcore-{door.getsockname()[1]}")
    server = _Server(_config(access, door), door)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[door])), name="page", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise UserError("the page's server could not be started; its log above says why")
            time.sleep(0.01)
        yield
    finally:
        _say_goodbye(app.state.service)
        server.should_exit = True
        thread.join(_STOP_TIMEOUT_S)


def _say_goodbye(service: Service) -> None:
    """Close all pages in good order, so that the server need not cut them off."""
    if service.loop is None:  # it never ran
        return
    try:
        asyncio.run_coroutine_threadsafe(service.finish(), service.loop).result(_STOP_TIMEOUT_S)
    except (TimeoutError, asyncio.TimeoutError, RuntimeError) as error:
        logging.getLogger(__name__).warning("open pages were cut off: %r", error)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, door: Door) -> None:
        super().__init__(config)
        self._door = door

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        self._door.send_away_late()
        return await super().on_tick(counter)


def _protocol(door: Door) -> type[H11Protocol]:
    """The protocol of one connection, which tells the door what its guest owes."""

    class Reception(H11Protocol):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._tell()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._tell()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._tell()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._tell()

        def _tell(self) -> None:
            """A WebSocket has a protocol of its own, whose pings find out who does not listen."""
            for_s = None
            if self.transport.get_protocol() is self:
                if self.flow.write_paused:
                    for_s = TAKING_S
                elif self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
                    for_s = REQUEST_S
            door.owes(self.transport.get_extra_info("socket").fileno(), for_s)

    return Reception


def _config(app: AccessControl, door: Door) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=_protocol(door),
        ws="auto",
        lifespan="on",
        log_config=None,  # the program's own logging stays as it is; only what is wrong is worth a line
        log_level="error",
        access_log=False,  # addresses may hold the token
        proxy_headers=False,  # anybody could send them
        server_header=False,
        # No limit_concurrency: it answers 503 to everybody once enough connections stand there and say nothing.
        timeout_keep_alive=int(REQUEST_S),
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        ws_max_size=1024,
        ws_max_queue=4,
        ws_ping_interval=10.0,
        ws_ping_timeout=20.0,
    )
