"""uvicorn in a thread of its own, started and ended cleanly."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time

import uvicorn
from starlette.types import ASGIApp

from mcore.common.errors import UserError
from mcore_runtime.web.app import Service, make_app
from mcore_runtime.web.facade import Session
from mcore_runtime.web.guard import Guard
from mcore_runtime.web.keys import Keys

_START_S, _STOP_S = 15.0, 5.0
_MOST_CONNECTIONS = 160
_MOST_HEADER = 16 * 1024


class ServerThread:
    """Serves the page from a socket until it is closed.

    Args:
        session: what is shown.
        taken: a listening socket; closed by the server.
        keys: the token's; None: no token is needed.
        names: host names under which the page may be asked for; None: any.
    """

    def __init__(self, session: Session, taken: socket.socket, keys: Keys | None, names: frozenset[str] | None) -> None:
        app = make_app(session)
        self._service: Service = app.state.service
        guarded: ASGIApp = Guard(app, keys, names, f"mcore-{taken.getsockname()[1]}")
        self._server = uvicorn.Server(_config(guarded))
        self._socket = taken
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    def start(self) -> None:
        """Return when the page can be asked for.

        Raises:
            UserError: the server could not be started.
        """
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise UserError("the page's server could not be started; its log above says why")
            time.sleep(0.01)

    def close(self) -> None:
        """Take leave of all pages and end."""
        if self._thread.is_alive() and self._loop is not None:
            leaving = asyncio.run_coroutine_threadsafe(self._service.finish(), self._loop)
            try:
                leaving.result(_STOP_S)
            except (TimeoutError, asyncio.TimeoutError, RuntimeError) as error:
                logging.getLogger(__name__).warning("open pages were cut off: %r", error)
        self._server.should_exit = True
        self._thread.join(_STOP_S)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="auto",
        lifespan="on",
        log_config=None,  # the program's own logging stays as it is; only what is wrong is worth a line
        log_level="error",
        access_log=False,  # addresses may hold the token
        proxy_headers=False,  # anybody could send them
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=_MOST_HEADER,
        ws_max_size=1024,
        ws_max_queue=4,
        ws_ping_interval=10.0,
        ws_ping_timeout=20.0,
    )
