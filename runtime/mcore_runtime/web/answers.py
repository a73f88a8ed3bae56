"""Answers that every page of this program gives alike: its files, JSON, and errors in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from mcore.common.errors import UserError
from mcore.common.typed_json import encode

FOLDER = Path(__file__).parent
"""Of the live page; other pages share its style and scripts."""


class _PageFiles(StaticFiles):
    """The page's own files; a browser asks each time whether its copy is still the newest."""

    def file_response(self, *args: Any, **keywords: Any) -> Response:
        response = super().file_response(*args, **keywords)
        response.headers["cache-control"] = "no-cache"
        return response


def files_at(path: str, folder: Path) -> Mount:
    """Serve a folder of scripts and styles."""
    return Mount(path, _PageFiles(directory=folder))


def page(file: Path) -> Callable[[Request], Response]:
    """Serve one page."""

    def answer(_: Request) -> Response:
        return FileResponse(file, headers={"cache-control": "no-cache"})

    return answer


def json_answer(value: Any, status: int = 200) -> Response:
    """Answer with a record or plain containers."""
    return Response(encode(value), status, media_type="application/json")


class _Number(Convertor[int]):
    """A number in an address; Starlette's own may be so long that Python refuses to read it."""

    regex = "[0-9]{1,7}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("number", _Number())


def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)


ERRORS = {UserError: _refused, HTTPException: _http_error}
"""Answers to what goes wrong."""
