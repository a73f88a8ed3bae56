"""One attempt to deliver one message, and what came of it in words that hold no part of an address."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum

import mcore
from mcore_runtime.integrations.webhooks.target import WebhookTarget

_MAX_ASKED_S = 3600.0
_NOT_OF_THIS_MESSAGE = (401, 403, 404, 405, 407, 408, 421, 425, 429)
"""Client errors that say nothing of this one message: the others would meet the same."""


class Result(Enum):
    """Outcome of an attempt."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """The receiver does not take this message; others it may."""
    UNREACHABLE = "unreachable"
    """The receiver takes nothing now."""
    GONE = "gone"
    """It says that it wants no more, ever: HTTP 410."""


@dataclass(frozen=True)
class Answer:
    """The result of an attempt, and why."""

    result: Result
    reason: str = ""
    wait_s: float = 0.0
    """Pause that the receiver asks for, seconds."""


def post(target: WebhookTarget, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """Send one message; redirects are not followed, and proxies of the environment not used.

    Args:
        target: where to.
        body: JSON.
        headers: of this message.
        timeout_s: longest time for all of it but the look-up of the host's name, seconds.
    """
    sent = {"Content-Type": "application/json", "User-Agent": f"mcore-edge/{mcore.__version__}", **headers}
    if target.credentials is not None:
        sent["Authorization"] = f"Basic {base64.b64encode(':'.join(target.credentials).encode()).decode()}"
    kind = http.client.HTTPSConnection if target.is_secure else http.client.HTTPConnection
    connection = kind(target.host, target.port, timeout=timeout_s)
    with _ended_after(connection, timeout_s) as is_late:
        try:
            connection.request("POST", target.path, body, sent)
            response = connection.getresponse()
            if is_late():  # an answer that was cut off within its headers looks like one that ends there
                raise TimeoutError
            return _answer(response.status, response.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a host that IDNA refuses
            late = is_late() or isinstance(error, TimeoutError)
            return Answer(Result.UNREACHABLE, f"no answer for {timeout_s:g} s") if late else failure(error)
        finally:
            connection.close()


@contextmanager
def _ended_after(connection: http.client.HTTPConnection, timeout_s: float) -> Iterator[Callable[[], bool]]:
    """End a connection that takes too long as a whole; its own time-out begins anew with every byte.

    Yields:
        What tells whether that has happened.
    """
    done, late = threading.Event(), threading.Event()

    def end() -> None:
        if done.wait(timeout_s):
            return
        late.set()
        while True:  # more than once: while TLS is being set up the socket is not to be had
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)
            if done.wait(0.2):
                return

    watch = threading.Thread(target=end, name="webhook time-out", daemon=True)
    watch.start()
    try:
        yield late.is_set
    finally:
        done.set()


def _answer(status: int, retry_after: str | None) -> Answer:
    if 200 <= status < 300:
        return Answer(Result.DELIVERED)
    if status == 410:
        return Answer(Result.GONE, "HTTP 410, it wants no more")
    wait_s = float(retry_after) if retry_after is not None and retry_after.strip().isdecimal() else 0.0
    reason = f"HTTP {status}"
    if 300 <= status < 400:
        reason += ", a redirection, which is not followed; give the address that it leads to"
    refused = 400 <= status < 500 and status not in _NOT_OF_THIS_MESSAGE
    return Answer(Result.REFUSED if refused else Result.UNREACHABLE, reason, min(wait_s, _MAX_ASKED_S))


def failure(error: Exception) -> Answer:
    """Return the answer of who cannot be reached, with the reason in the system's fixed words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted: {error.verify_message}"
    elif isinstance(error, ssl.SSLError):
        reason = "no TLS connection can be made with it"
    elif isinstance(error, socket.gaierror):
        reason = "its name is not known"
    elif isinstance(error, OSError):  # before HTTPException: a closed connection is both
        reason = error.strerror or "it closed the connection"
    else:
        reason = "what it answers is not HTTP"
    return Answer(Result.UNREACHABLE, reason)
