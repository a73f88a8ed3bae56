"""Limits on clients: how often they may ask, how large a request's body is, and how long it may take.

Memory stays bounded however many clients there are. Their connections are limited by
``mcore_runtime.limited_listener``.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

_MAX_CLIENTS = 1024
_MAX_BODY_BYTES = 4096
_BODY_TIMEOUT_S = 5.0
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


class RateLimit:
    """A bucket of requests for each client, refilled all the time.

    Args:
        burst: requests at once.
        per_second: requests in the long run.
        clock: seconds, never going back.
    """

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str, *, cost: float = 1.0) -> bool:
        """Take from a client's bucket if there is enough; ``cost=0`` only asks whether there is one left."""
        now_s = self._clock()
        left, then_s = self._buckets.pop(client, (self._burst, now_s))
        left = min(self._burst, left + (now_s - then_s) * self._per_second)
        allowed = left >= max(cost, 1.0)
        self._buckets[client] = (left - cost if allowed else left, now_s)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return allowed


async def read_body(request: Request) -> bytes:
    """Read a small body.

    Raises:
        Refusal: it is not small, or does not come.
    """
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > _MAX_BODY_BYTES:
        raise _too_large()
    try:
        return await asyncio.wait_for(_read(request), _BODY_TIMEOUT_S)
    except asyncio.TimeoutError:  # not yet the built-in one on Python 3.10
        raise Refusal(408, "the request did not come in time") from None
    except ClientDisconnect:
        raise Refusal(400, "the connection was lost") from None


async def _read(request: Request) -> bytes:
    body = b""
    async for part in request.stream():  # in chunks a body may be longer than its header said
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise _too_large()
    return body


def _too_large() -> Refusal:
    return Refusal(413, f"a request has at most {_MAX_BODY_BYTES} bytes")
