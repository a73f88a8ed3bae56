"""Requests with a small body, read before anything is done, and why one is refused."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import Message, Receive

_MOST_BODY = 4096
_BODY_S = 5.0
"""A body of this size that takes longer will never be whole."""


class Refusal(Exception):
    """A request is not answered.

    Args:
        status: of HTTP.
        text: what to do instead.
        retry_s: when to ask again, seconds.
    """

    def __init__(self, status: int, text: str, retry_s: int | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.retry_s = status, text, retry_s


async def read_body(headers: Headers, receive: Receive) -> bytes:
    """Read a small body.

    Raises:
        Refusal: it is not small, or does not come.
    """
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > _MOST_BODY:
        raise Refusal(413, f"a request has at most {_MOST_BODY} bytes")
    try:
        return await asyncio.wait_for(_read(receive), _BODY_S)
    except asyncio.TimeoutError:  # not yet the built-in one on Python 3.10
        raise Refusal(408, "the request did not come in time") from None


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the connection was lost")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _MOST_BODY:
            raise Refusal(413, f"a request has at most {_MOST_BODY} bytes")
    return body


def again(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives a body that was read already, and then what comes after it."""
    waiting = [body]

    async def give() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return give
