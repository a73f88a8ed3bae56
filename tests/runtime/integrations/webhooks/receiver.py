"""A receiver of webhooks on loopback that does as a test says, and remembers what it was sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback import LoopbackServer


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    """By small names."""
    body: bytes
    at_s: float
    status: int

    @property
    def data(self) -> dict[str, Any]:
        """What the message is about."""
        value: dict[str, Any] = json.loads(self.body)["data"]
        return value


Behaviour = Callable[[int], tuple[int, dict[str, str]]]
"""Status and headers of the answer to the n-th request, from 0."""


class Receiver:
    """What came, and how to change what is answered."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.behave: Behaviour = lambda count: (204, {})
        self.url = ""
        self._changed = threading.Condition()

    def take(self, received: Received) -> None:
        with self._changed:
            self.requests.append(received)
            self._changed.notify_all()

    def wait_for(self, count: int, timeout_s: float = 5.0) -> list[Received]:
        """The requests, once there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, timeout_s), self.requests
            return list(self.requests)


@contextmanager
def receiving(behave: Behaviour | None = None, port: int = 0) -> Iterator[Receiver]:
    """Run a receiver; its address is ``url``."""
    receiver = Receiver()
    if behave is not None:
        receiver.behave = behave

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers = receiver.behave(len(receiver.requests))
            named = {name.lower(): value for name, value in self.headers.items()}
            receiver.take(Received(self.path, named, body, time.monotonic(), status))
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

    with LoopbackServer(Handler, port) as server:
        receiver.url = f"{server.url}/dives?key=letmein"
        yield receiver
