"""The page's HTTP interface on top of a live session; docs/reference/http-api.md describes it for other programs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from mcore.common.errors import UserError
from mcore.common.typed_json import decode
from mcore_runtime.integrations import prometheus
from mcore_runtime.live.commands import Command, parse_command
from mcore_runtime.web.answers import ERRORS, FOLDER, files_at, json_answer, page
from mcore_runtime.web.broadcaster import Broadcaster, Viewer
from mcore_runtime.web.pictures import BOUNDARY, Pictures
from mcore_runtime.web.protocols import Session
from mcore_runtime.web.serialisation import comparison_times, with_dive_words

_MAX_STREAMS, _MAX_SOCKETS = 24, 64
_LEAVE_TIMEOUT_S = 5.0
_CACHED = "private, max-age=86400"
"""Cache-Control of what is asked for by its version."""
_GOING_AWAY, _TRY_LATER, _POLICY_VIOLATION = 1001, 1013, 1008
"""Codes with which a WebSocket is closed, as RFC 6455 and its registry name them."""


class Service:
    """Objects that the routes share while the page is served.

    Args:
        session: the live session.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.pictures = Pictures(session)
        self.broadcaster: Broadcaster
        """There from the first request on."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """None: the server does not run yet."""
        self._sockets: set[WebSocket] = set()

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Listen to the session while the application runs."""
        self.loop = asyncio.get_running_loop()
        self.broadcaster = Broadcaster(self.session, self.loop)
        self.broadcaster.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.broadcaster.close)

    async def finish(self) -> None:
        """Take leave of all pages, so that the server need not cut them off."""
        self.pictures.close()
        for socket in tuple(self._sockets):
            with suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(_GOING_AWAY, "the run is over")

    def take_leave(self) -> None:
        """Take leave of all pages, from another thread than the server's."""
        if self.loop is None:  # it never ran
            return
        try:
            asyncio.run_coroutine_threadsafe(self.finish(), self.loop).result(_LEAVE_TIMEOUT_S)
        except (TimeoutError, asyncio.TimeoutError, RuntimeError) as error:
            logging.getLogger(__name__).warning("open pages were cut off: %r", error)

    async def send_events(self, socket: WebSocket) -> None:
        """Send everything to a page until it leaves."""
        await socket.accept()
        if len(self._sockets) >= _MAX_SOCKETS:
            await socket.close(_TRY_LATER, "too many pages are open")
            return
        self._sockets.add(socket)
        try:
            with self.broadcaster.viewer() as viewer:
                viewer.begin(await asyncio.to_thread(self.broadcaster.snapshot_text))
                await _until_one_ends(_send(socket, viewer), _wait_for_leave(socket))
        finally:
            self._sockets.discard(socket)


class _LivePicture(StreamingResponse):
    """The live picture; who comes when all places are taken is told so.

    A place is taken before anything else can run, and given back however the answer ends: its generator would not even
    begin where a client has left by then.
    """

    def __init__(self, pictures: Pictures) -> None:
        super().__init__(pictures.stream(), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self._pictures = pictures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._pictures.viewers >= _MAX_STREAMS:
            raise HTTPException(503, "too many look at the live picture")
        self._pictures.viewers += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._pictures.viewers -= 1


def make_app(session: Session) -> Starlette:
    """Return the application; it checks no rights, see ``mcore_runtime.web.access_control``."""
    service = Service(session)
    routes = [
        Route("/", page(FOLDER / "pages" / "index.html")),
        Route("/overlay", page(FOLDER / "pages" / "overlay.html")),
        files_at("/static", FOLDER / "static"),
        WebSocketRoute("/api/events", service.send_events),
        *_live_routes(service),
        *_dive_routes(session),
    ]
    app = Starlette(routes=routes, exception_handlers=ERRORS, lifespan=service.lifespan)
    app.state.service = service
    return app


def _live_routes(service: Service) -> list[Route]:
    """The session as it is now, and commands."""
    session, pictures = service.session, service.pictures

    def snapshot(_: Request) -> Response:
        return json_answer(with_dive_words(session.snapshot()))

    def metrics(_: Request) -> Response:
        return Response(prometheus.metrics_text(session.snapshot()), media_type=prometheus.CONTENT_TYPE)

    def picture(_: Request) -> Response:
        newest = pictures.newest()
        if newest is None:
            raise HTTPException(404, "there is no picture yet")
        return Response(newest[1], media_type="image/jpeg", headers={"x-frame": str(newest[0])})

    async def stream(_: Request) -> Response:
        return _LivePicture(pictures)

    async def command(request: Request) -> Response:
        try:
            wanted = _read_command(await request.body())
        except UserError as error:
            raise HTTPException(422, str(error)) from None
        await asyncio.to_thread(session.do, wanted)
        return json_answer({"ok": True, "revision": session.snapshot()["revision"]})

    return [
        Route("/api/snapshot", snapshot),
        Route(prometheus.PATH, metrics),
        Route("/api/picture.jpg", picture),
        Route("/api/stream", stream),
        Route("/api/command", command, methods=["POST"]),
    ]


def _dive_routes(session: Session) -> list[Route]:
    """One dive: its record, its pictures, its video."""

    def record(request: Request) -> Response:
        number: int = request.path_params["number"]
        found = session.dive(number)
        if found is None:
            raise HTTPException(404, f"there is no dive {number}")
        pictures = len(session.strip(number) or ())
        comparison = comparison_times(session.exemplar_comparison(number))
        return json_answer({**found.to_shown_json(), "strip_pictures": pictures, "comparison": comparison})

    def strip(request: Request) -> Response:
        return _jpeg(request, session.strip(request.path_params["number"]) or ())

    def comparison(request: Request) -> Response:
        moments = session.exemplar_comparison(request.path_params["number"])
        which = {} if moments is None else {"dive": moments.dive, "exemplar": moments.exemplar}
        return _jpeg(request, [moment.jpeg for moment in which.get(request.path_params["which"], ())])

    def clip(request: Request) -> Response:
        number: int = request.path_params["number"]
        path = session.clip_path(number)
        if path is None or not _is_within(path, Path(session.snapshot()["session"]["folder"])):
            raise HTTPException(404, f"there is no video of dive {number}")
        return FileResponse(path, media_type="video/mp4", headers=_caching(request))  # answers ranges too

    dive = "/api/dives/{number:number}"
    return [
        Route(dive, record),
        Route(f"{dive}/strip/{{index:number}}.jpg", strip),
        Route(f"{dive}/comparison/{{which}}/{{index:number}}.jpg", comparison),
        Route(f"{dive}/clip.mp4", clip),
    ]


def _jpeg(request: Request, pictures: Sequence[bytes]) -> Response:
    """Answer with the picture that the address names."""
    index: int = request.path_params["index"]
    if index >= len(pictures):
        raise HTTPException(404, f"there is no picture {index} of dive {request.path_params['number']}")
    return Response(pictures[index], media_type="image/jpeg", headers=_caching(request))


def _read_command(body: bytes) -> Command:
    """Read ``{"name": NAME, ...arguments}``; the session's own records check names and types."""
    arguments = decode(dict[str, Any], body, "the command")
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise UserError("a command has a name")
    return parse_command(name, arguments)


async def _send(socket: WebSocket, viewer: Viewer) -> None:
    while True:
        for text in await viewer.take():
            await socket.send_text(text)


async def _wait_for_leave(socket: WebSocket) -> None:
    """Notice that a page leaves; one that sends something is no page of ours."""
    message = await socket.receive()
    if message["type"] != "websocket.disconnect":
        await socket.close(_POLICY_VIOLATION, "commands go to /api/command")


async def _until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run several coroutines until one of them ends."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, RuntimeError | WebSocketDisconnect | OSError):
                raise result


def _is_within(path: Path, folder: Path) -> bool:
    """Return whether a file is in the session's folder, links followed."""
    resolved = path.resolve()
    return resolved.is_file() and resolved.is_relative_to(folder.resolve())


def _caching(request: Request) -> dict[str, str]:
    """A dive that is scored again has another version in its address; without one, nothing is kept."""
    return {"cache-control": _CACHED} if "v" in request.query_params else {}
