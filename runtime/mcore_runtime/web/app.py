"""The page's HTTP interface on top of a live session; docs/http-api.md describes it for other programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Body, FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from mcore.common.errors import UserError
from mcore_runtime.integrations import prometheus as metrics
from mcore_runtime.web.assets import assets
from mcore_runtime.web.board import Board, Viewer
from mcore_runtime.web.facade import Session
from mcore_runtime.web.messages import Command, arguments_of, what_is_wrong
from mcore_runtime.web.pictures import BOUNDARY, Pictures
from mcore_runtime.web.presenting import present, present_beside, to_text

_MOST_STREAMS, _MOST_SOCKETS = 24, 64
_KEPT = "private, max-age=86400"
"""Cache-Control of what is asked for by its version."""
_AWAY, _TOO_MANY, _SILENCE = 1001, 1013, 1008
"""Codes with which a WebSocket is closed: the run is over; too many pages; it may not send anything."""
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
        self.board: Board
        """There from the first request on."""
        self.sockets: set[WebSocket] = set()
        self._over = asyncio.Event()

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Listen to the session while the application runs."""
        self.board = Board(self.session, asyncio.get_running_loop())
        self.board.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.board.close)

    async def finish(self) -> None:
        """Take leave of all pages, so that the server need not cut them off."""
        await self.pictures.close()
        for socket in tuple(self.sockets):
            with suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(_AWAY, "the run is over")

    async def attend(self, socket: WebSocket) -> None:
        """Tell a page of everything until it leaves."""
        await socket.accept()
        if len(self.sockets) >= _MOST_SOCKETS:
            await socket.close(_TOO_MANY, "too many pages are open")
            return
        self.sockets.add(socket)
        try:
            with self.board.viewer() as viewer:
                viewer.begin(await asyncio.to_thread(self.board.snapshot_text))
                await _first(_tell(socket, viewer), _listen(socket))
        finally:
            self.sockets.discard(socket)


def make_app(session: Session) -> FastAPI:
    """Return the application; it checks no rights, see ``mcore_runtime.web.guard``."""
    service = Service(session)
    # The pages that describe an interface load their scripts from elsewhere, which must not be.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=service.lifespan)
    app.state.service = service
    app.include_router(_page())
    app.add_api_route(metrics.PATH, partial(_metrics, session), methods=["GET"])
    app.include_router(_reading(service), prefix="/api")
    app.include_router(_live(service), prefix="/api")
    app.add_exception_handler(UserError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    return app


def _metrics(session: Session) -> Response:
    return Response(metrics.metrics_text(session.snapshot()), media_type=metrics.CONTENT_TYPE)


def _page() -> APIRouter:
    router = APIRouter()

    def serve(request: Request) -> Response:
        asset = assets()[request.url.path]
        headers = {"cache-control": "no-cache", "etag": asset.etag}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.kind, headers=headers)

    for path in assets():
        router.add_api_route(path, serve, methods=["GET", "HEAD"])
    return router


def _reading(service: Service) -> APIRouter:
    router, session = APIRouter(), service.session

    @router.get("/snapshot")
    def snapshot() -> Response:
        return _json(present(session.snapshot()))

    @router.get("/dives/{number}")
    def dive(number: int = _NUMBER) -> Response:
        record = session.dive(number)
        if record is None:
            raise HTTPException(404, f"there is no dive {number}")
        pictures = len(session.strip(number) or ())
        return _json({**record.to_json(), "strip_pictures": pictures, "beside": present_beside(session.beside(number))})

    @router.get("/dives/{number}/strip/{index}.jpg")
    def strip(request: Request, number: int = _NUMBER, index: int = _PICTURE) -> Response:
        pictures = session.strip(number)
        if pictures is None or index >= len(pictures):
            raise HTTPException(404, f"there is no picture {index} of dive {number}")
        return Response(pictures[index], media_type="image/jpeg", headers=_caching(request))

    @router.get("/dives/{number}/beside/{which}/{index}.jpg")
    def moment(
        request: Request, which: Literal["dive", "exemplar"], number: int = _NUMBER, index: int = _PICTURE
    ) -> Response:
        both = session.beside(number)
        moments = () if both is None else both.dive if which == "dive" else both.other
        if index >= len(moments):
            raise HTTPException(404, f"there is no moment {index} of dive {number} beside an exemplar")
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
        if pictures.viewers >= _MOST_STREAMS:
            raise HTTPException(503, "too many look at the live picture")
        return StreamingResponse(pictures.stream(), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    @router.post("/command")
    def command(wanted: Command = Body()) -> Response:  # noqa: B008, how FastAPI is told
        session.command(wanted.name, **arguments_of(wanted))
        return _json({"ok": True, "revision": session.snapshot()["revision"]})

    @router.websocket("/events")
    async def events(socket: WebSocket) -> None:
        await service.attend(socket)

    return router


async def _tell(socket: WebSocket, viewer: Viewer) -> None:
    while True:
        for text in await viewer.take():
            await socket.send_text(text)


async def _listen(socket: WebSocket) -> None:
    """Notice that a page leaves; one that talks is no page of ours."""
    message = await socket.receive()
    if message["type"] != "websocket.disconnect":
        await socket.close(_SILENCE, "commands go to /api/command")


async def _first(*works: Any) -> None:
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
    return {"cache-control": _KEPT} if "v" in request.query_params else {}


def _json(value: Any, status: int = 200) -> Response:
    return Response(to_text(value), status, media_type="application/json")


def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409)


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": what_is_wrong(list(error.errors()))}, 422)


def _plain(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)
