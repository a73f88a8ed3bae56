"""uvicorn in a thread of its own, started and ended cleanly."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from mcore.common.errors import UserError
from mcore_runtime.access_token import AccessToken
from mcore_runtime.web.access_control import AccessControl
from mcore_runtime.web.app import Service, make_app
from mcore_runtime.web.protocols import Session

_START_TIMEOUT_S, _STOP_TIMEOUT_S = 15.0, 5.0
_MAX_CONNECTIONS = 160
_MAX_HEADER_BYTES = 16 * 1024


@contextmanager
def run_server(
    session: Session, taken: socket.socket, token: AccessToken | None, names: frozenset[str] | None
) -> Iterator[None]:
    """Serve the page from a socket while the context lasts.

    Args:
        session: what is shown.
        taken: a listening socket.
        token: None: no token is needed.
        names: host names under which the page may be asked for; None: any.

    Raises:
        UserError: the server could not be started.
    """
    app = make_app(session)
    server = uvicorn.Server(_config(AccessControl(app, token, names, f"mcore-{taken.getsockname()[1]}")))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[taken])), name="page", daemon=True)
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


def _config(app: AccessControl) -> uvicorn.Config:
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
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        ws_max_size=1024,
        ws_max_queue=4,
        ws_ping_interval=10.0,
        ws_ping_timeout=20.0,
    )
