"""A page that is really served, and a client that says exactly what a test wants."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcore_runtime.web import Page, serve
from tests.runtime.web.fake_session import FakeSession

TOKEN = "correct-horse-battery"
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A page and the session behind it."""

    session: FakeSession
    page: Page
    port: int
    said: list[str]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send one request, with no header but Host, Content-Length and those given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        given = {name.lower() for name in headers or {}}
        try:
            connection.putrequest(method, path, skip_host="host" in given, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def command(self, value: Any, **headers: str) -> Answer:
        """Post a command as a program does."""
        sent = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.ask("/api/command", "POST", sent, json.dumps(value).encode())


def begin(folder: Path, address: str = "127.0.0.1:0", token: str | None = None) -> Iterator[Served]:
    for package in ("fastapi", "uvicorn", "websockets"):
        pytest.importorskip(package, reason="the page's packages are not installed (extra: web)")
    session = FakeSession(folder)
    said: list[str] = []
    with serve(session, address, token=token, say=said.append) as page:
        yield Served(session, page, int(page.url.rstrip("/").rpartition(":")[2]), said)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A page on loopback, without a token."""
    yield from begin(tmp_path)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Served]:
    """A page that asks for ``TOKEN``."""
    yield from begin(tmp_path, token=TOKEN)
