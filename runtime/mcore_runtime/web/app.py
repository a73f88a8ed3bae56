"""The page's HTTP interface on top of a live session; docs/http-api.md describes it for other programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles

from mcore.common.errors import UserError
from mcore.common.typed_json import decode, encode
from mcore_runtime.integrations import prometheus
from mcore_runtime.live.commands import Command, parse_command
from mcore_runtime.web.broadcaster import Broadcaster, Viewer
from mcore_runtime.web.pictures import BOUNDARY, Pictures
from mcore_runtime.web.protocols import Session
from mcore_runtime.web.serialisation import comparison_times, with_dive_words

_FOLDER = Path(__file__).parent
_MAX_STREAMS, _MAX_SOCKETS = 24, 64
_CACHED = "private, max-age=86400"
"""Cache-Control of what is asked for by its version."""
_GOING_AWAY, _TRY_LATER, _POLICY_VIOLATION = 1001, 1013, 1008
"""Codes with which a WebSocket is closed, as RFC 6455 and its registry name them."""
_NUMBER = InPath(ge=1, le=1_000_000)
_PICTURE = InPath(ge=0, le=9999)


class Service:
    """What the routes share while the page is served.

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
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
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


class _PageFiles(StaticFiles):
    """The page's own files; a browser asks each time whether its copy is still the newest."""

    def file_response(self, *args: Any, **keywords: Any) -> Response:
        response = super().file_response(*args, **keywords)
        response.headers["cache-control"] = "no-cache"
        return response


def make_app(session: Session) -> FastAPI:
    """Return the application; it checks no rights, see ``mcore_runtime.web.access_control``."""
    service = Service(session)
    # The pages that describe an interface load their scripts from elsewhere, which must not be.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=service.lifespan)
    app.state.service = service
    app.include_router(_page(session))
    app.mount("/static", _PageFiles(directory=_FOLDER / "static"))
    app.include_router(_reading(session), prefix="/api")
    app.include_router(_live(service), prefix="/api")
    app.add_exception_handler(UserError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    return app


def _page(session: Session) -> APIRouter:
    router = APIRouter()

    @router.api_route("/", methods=["GET", "HEAD"])
    def index() -> Response:
        return FileResponse(_FOLDER / "pages" / "index.html", headers={"cache-control": "no-cache"})

    @router.get(prometheus.PATH)
    def metrics() -> Response:
        return Response(prometheus.metrics_text(session.snapshot()), media_type=prometheus.CONTENT_TYPE)

    return router


def _reading(session: Session) -> APIRouter:
    router = APIRouter()

    @router.get("/snapshot")
    def snapshot() -> Response:
        return _json(with_dive_words(session.snapshot()))

    @router.get("/dives/{number}")
    def dive(number: int = _NUMBER) -> Response:
        found = session.dive(number)
        if found is None:
            raise HTTPException(404, f"there is no dive {number}")
        pictures = len(session.strip(number) or ())
        comparison = comparison_times(session.exemplar_comparison(number))
        return _json({**found.to_json(), "strip_pictures": pictures, "comparison": comparison})

    @router.get("/dives/{number}/strip/{index}.jpg")
    def strip(request: Request, number: int = _NUMBER, index: int = _PICTURE) -> Response:
        pictures = session.strip(number)
        if pictures is None or index >= len(pictures):
            raise HTTPException(404, f"there is no picture {index} of dive {number}")
        return Response(pictures[index], media_type="image/jpeg", headers=_caching(request))

    @router.get("/dives/{number}/comparison/{which}/{index}.jpg")
    def moment(
        request: Request, which: Literal["dive", "exemplar"], number: int = _NUMBER, index: int = _PICTURE
    ) -> Response:
        comparison = session.exemplar_comparison(number)
        moments = () if comparison is None else comparison.dive if which == "dive" else comparison.exemplar
        if index >= len(moments):
            raise HTTPException(404, f"there is no moment {index} of dive {number} and an exemplar")
        return Response(moments[index].jpeg, media_type="image/jpeg", headers=_caching(request))

    @router.get("/dives/{number}/clip.mp4")
    def clip(request: Request, number: int = _NUMBER) -> Response:
        path = session.clip_path(number)
        if path is None or not _is_within(path, Path(session.snapshot()["session"]["folder"])):
            raise HTTPException(404, f"there is no video of dive {number}")
        return FileResponse(path, media_type="video/mp4", headers=_caching(request))  # answers ranges too

    return router


def _live(service: Service) -> APIRouter:
    router, session, pictures = APIRouter(), service.session, service.pictures

    @router.get("/picture.jpg")
    def picture() -> Response:
        newest = pictures.newest()
        if newest is None:
            raise HTTPException(404, "there is no picture yet")
        return Response(newest[1], media_type="image/jpeg", headers={"x-frame": str(newest[0])})

    @router.get("/stream")
    async def stream() -> Response:
        if pictures.viewers >= _MAX_STREAMS:
            raise HTTPException(503, "too many look at the live picture")
        return StreamingResponse(pictures.stream(), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    @router.post("/command")
    async def command(request: Request) -> Response:
        try:
            wanted = _read_command(await request.body())
        except UserError as error:
            raise HTTPException(422, str(error)) from None
        await asyncio.to_thread(session.do, wanted)
        return _json({"ok": True, "revision": session.snapshot()["revision"]})

    @router.websocket("/events")
    async def events(socket: WebSocket) -> None:
        await service.send_events(socket)

    return router


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
    """Whether a file is in the session's folder, links followed."""
    resolved = path.resolve()
    return resolved.is_file() and resolved.is_relative_to(folder.resolve())


def _caching(request: Request) -> dict[str, str]:
    """A dive that is scored again has another version in its address; without one, nothing is kept."""
    return {"cache-control": _CACHED} if "v" in request.query_params else {}


def _json(value: Any) -> Response:
    return Response(encode(value), media_type="application/json")


def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409)


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = ", ".join(str(fault["loc"][-1]) for fault in error.errors())
    return JSONResponse({"error": f"the address has a part that cannot be: {places}"}, 422)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)
