"""A page that is really served, a client that says exactly what a test wants, and a browser that is listened to."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mcore_runtime.web import Page, serve
from tests.runtime.web.fake_session import FakeSession

TOKEN = "correct-horse-battery"
TIMEOUT_S = 10.0
CHROMIUM = os.environ.get("MCORE_CHROMIUM", "chromium")
TIMEOUT_MS = 8000
DESK = {"width": 1440, "height": 900}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
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
    for package in ("starlette", "uvicorn", "websockets"):
        pytest.importorskip(package, reason="the page's packages are not installed (extra: web)")
    session = FakeSession(folder)
    said: list[str] = []
    with serve(session, address, token=token, log=said.append) as page:
        yield Served(session, page, port_of(page.url), said)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A page on loopback, without a token."""
    yield from begin(tmp_path)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Served]:
    """A page that asks for ``TOKEN``."""
    yield from begin(tmp_path, token=TOKEN)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Python's playwright is not installed")
    path = shutil.which(CHROMIUM)
    if path is None:
        pytest.skip("no Chromium here (set MCORE_CHROMIUM to its command)")
    with sync_api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


class Tab:
    """An open page, and everything it complained of or asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda line: self.hosts.add(urlsplit(line.url).netloc))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def waits_for(self, selector: str, text: str | re.Pattern[str]) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator(selector).first).to_contain_text(text, timeout=TIMEOUT_MS)

    def until(self, script: str) -> None:
        """Wait for a condition; the page's policy forbids the way in which the browser's driver would."""
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not self.page.evaluate(script):
            assert time.monotonic() < deadline, script
            self.page.wait_for_timeout(50)

    def press(self, name: str, within: str = "body") -> None:
        self.page.locator(within).get_by_role("button", name=name, exact=True).click()


@contextmanager
def opened(browser: Any, url: str, viewport: dict[str, int] | None = None, **context: Any) -> Iterator[Tab]:
    """Open a page; at its end it must have complained of nothing and talked to nobody but its server."""
    with browser.new_context(viewport=viewport or DESK, **context) as there:
        tab = Tab(there.new_page())
        tab.page.goto(url)
        yield tab
        assert tab.complaints == []
        assert tab.hosts == {urlsplit(url).netloc}
