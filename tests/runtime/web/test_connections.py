"""Those who are not let in, and the page and the metrics server that they cannot close, with real connections."""

from __future__ import annotations

import http.client
import itertools
import resource
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the page's packages are not installed (extra: web)")

from mcore_runtime import limited_listener
from mcore_runtime.integrations.prometheus import serve_metrics
from mcore_runtime.web import server as web_server
from tests.runtime.waiting import wait_until
from tests.runtime.web.conftest import TIMEOUT_S, TOKEN, Served, port_of
from tests.runtime.web.fake_session import FakeSession
from tests.runtime.web.test_api import hear, listen

_SHORT_S = 0.5
_MORE_THAN_BUFFERS = 50_000_000
STREAM = b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    client = socket.socket()
    client.settimeout(TIMEOUT_S)
    client.bind((source, 0))
    client.connect(("127.0.0.1", port))
    return client


def status(port: int, path: str, source: str = "127.0.0.1", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S, source_address=(source, 0))
    connection.request("GET", path, headers={"Host": "localhost", **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


@contextmanager
def crowd(port: int, number: int, sources: int = 1) -> Iterator[list[socket.socket]]:
    """Connections that say nothing."""
    with ExitStack() as stack:
        yield [stack.enter_context(connect(port, f"127.0.0.{10 + each % sources}")) for each in range(number)]


@pytest.mark.parametrize("sources", [1, 3, 40])
def test_who_says_nothing_keeps_nobody_out(locked: Served, sources: int) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with crowd(locked.port, 300, sources):
        for source in ("127.0.0.2", "127.0.0.10", "127.0.0.1"):
            assert status(locked.port, "/api/snapshot", source, **bearer) == 200


def test_the_metrics_have_the_same_limits(tmp_path: Path) -> None:
    with serve_metrics(FakeSession(tmp_path).snapshot, "127.0.0.1:0") as url:
        port = port_of(url)
        with crowd(port, 40, 3):
            assert status(port, "/metrics", "127.0.0.2") == 200
            assert status(port, "/metrics", "127.0.0.10") == 200


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (limited_listener, web_server):
        monkeypatch.setattr(module, "REQUEST_TIMEOUT_S", _SHORT_S)
    monkeypatch.setattr(web_server, "SEND_TIMEOUT_S", _SHORT_S + 0.1)


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"GET /api/snapshot HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /api/command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 4000\r\n\r\n",
        b"GET /api/snapshot HTTP/1.1\r\nHost: localhost\r\n\r\nGET /",  # another one on the same connection
        b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n",
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_request_comes_in_seconds_or_never(served: Served, begin: bytes) -> None:
    with connect(served.port) as dripping:
        dripping.sendall(begin)
        assert drips_until_closed(dripping)


@pytest.mark.parametrize("begin", [b"", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"])
@pytest.mark.usefixtures("impatient")
def test_a_request_for_metrics_too(tmp_path: Path, begin: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        serve_metrics(FakeSession(tmp_path).snapshot, "127.0.0.1:0") as url,
        connect(port_of(url)) as dripping,
    ):
        dripping.sendall(begin)
        assert drips_until_closed(dripping)
    assert capfd.readouterr().err == ""


def drips_until_closed(dripping: socket.socket) -> bool:
    """Send a letter now and then; whether the other side has closed."""
    deadline = time.monotonic() + TIMEOUT_S
    with suppress(OSError):
        while time.monotonic() < deadline:
            dripping.sendall(b"a")
            if select.select([dripping], [], [], 0.1)[0] and not dripping.recv(65536):
                return True
        return False
    return True


@pytest.mark.usefixtures("impatient")
def test_an_answer_that_is_not_taken_ends(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    big = served.session.folder / "big.mp4"
    big.write_bytes(bytes(_MORE_THAN_BUFFERS))
    monkeypatch.setattr(served.session, "clip_path", lambda number: big)
    with connect(served.port) as deaf:
        deaf.sendall(b"GET /api/dives/1/clip.mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(3 * _SHORT_S)
        received = 0
        with suppress(OSError):
            while part := deaf.recv(1 << 20):
                received += len(part)
    assert 0 < received < _MORE_THAN_BUFFERS


@pytest.mark.usefixtures("impatient")
def test_who_listens_may_stay(served: Served) -> None:
    with listen(served) as there, connect(served.port) as watching:
        watching.sendall(STREAM)
        deadline = time.monotonic() + 3 * _SHORT_S
        for number in itertools.count(1):
            served.session.frame = (number, np.full((180, 320, 3), number % 200, np.uint8))
            assert watching.recv(65536)
            if time.monotonic() > deadline:
                break
        hear(there, "heartbeat")


def test_the_live_picture_has_24_places_however_many_come_at_once(served: Served) -> None:
    with ExitStack() as stack:
        lines = [stack.enter_context(connect(served.port)) for _ in range(40)]
        for line in lines:
            line.sendall(STREAM)
        found = Counter(line.recv(12) for line in lines)
    assert found == {b"HTTP/1.1 200": 24, b"HTTP/1.1 503": 16}

    def is_free() -> bool:
        with connect(served.port) as line:
            line.sendall(STREAM)
            return line.recv(12) == b"HTTP/1.1 200"

    wait_until(is_free)


SERVER = """
import resource, sys
from pathlib import Path
import numpy as np
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
from mcore_runtime.live.recording import Recording
from mcore_runtime.sources.frame import Frame
from mcore_runtime.web import serve
from tests.runtime.web.fake_session import FakeSession
folder = Path(sys.argv[1])
with serve(FakeSession(folder), "127.0.0.1:0", log=lambda line: None) as page:
    print(page.url, flush=True)
    input()
    recording = Recording()
    for index in range(50):
        recording.add(Frame(np.full((120, 160, 3), index, np.uint8), index / 25, index))
    (folder / "clip.mp4").write_bytes(recording.mp4(0.2, 1.8)[0])
    files = [open(folder / f"{number}", "w") for number in range(100)]
    print("kept", flush=True)
    input()
"""


def test_files_are_left_for_clips(tmp_path: Path) -> None:
    mine, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < 1400:
        pytest.skip("this process may not open 1,100 connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(mine, 1400), most))
    try:
        with subprocess.Popen(
            [sys.executable, "-c", SERVER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            port = port_of(server.stdout.readline().strip())
            with crowd(port, 1100, 30):
                assert status(port, "/api/snapshot", "127.0.0.2") == 200
                server.stdin.write("\n")
                server.stdin.flush()
                assert server.stdout.readline() == "kept\n"
            server.communicate("\n", timeout=TIMEOUT_S)
            assert server.returncode == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (mine, most))
    assert (tmp_path / "clip.mp4").stat().st_size > 1000
