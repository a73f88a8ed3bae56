"""A listening socket with limits, real connections and a clock that a test sets."""

from __future__ import annotations

import os
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mcore.common.errors import UserError
from mcore_runtime.address import Address, listen
from mcore_runtime.limited_listener import (
    REQUEST_TIMEOUT_S,
    SEND_TIMEOUT_S,
    ConnectionLimits,
    LimitedConnection,
    LimitedListener,
    client_of,
    within_open_files,
)

TIMEOUT_S = 10.0


class Scene:
    """A listener, clients that connect, and a server that closes what it sees the end of, as all servers do."""

    def __init__(self, limits: ConnectionLimits, stack: ExitStack) -> None:
        self.now_s = 0.0
        self.listener = stack.enter_context(
            LimitedListener(listen(Address("127.0.0.1", 0)), limits, lambda: self.now_s)
        )
        self.connections: list[LimitedConnection] = []
        self.stack = stack

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """Connect from an address; the server accepts as long as it is told to come again."""
        client = self.stack.enter_context(socket.socket())
        client.settimeout(TIMEOUT_S)
        client.bind((source, 0))
        client.connect(self.listener.getsockname())
        while True:
            try:
                self.connections.append(self.listener.accept()[0])
            except BlockingIOError:
                self.tidy()
                continue
            except ConnectionAbortedError:
                pass
            return client

    def tidy(self) -> None:
        for connection in [connection for connection in self.connections if not is_open(connection)]:
            self.connections.remove(connection)
            connection.close()


def is_open(connection: socket.socket) -> bool:
    if not select.select([connection], [], [], 0)[0]:
        return True
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except OSError:
        return False


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with ExitStack() as stack:
        scene = Scene(getattr(request, "param", ConnectionLimits(in_all=6, by_address=3)), stack)
        yield scene
        for connection in scene.connections:
            connection.close()


def test_of_one_address_the_one_that_says_nothing_for_longest_makes_room(scene: Scene) -> None:
    client = []
    for second in range(5):
        scene.now_s = second
        client.append(scene.connect())
        scene.tidy()
    assert [is_open(each) for each in client] == [False, False, True, True, True]
    other = scene.connect("127.0.0.2")
    assert is_open(other)
    assert all(map(is_open, client[2:]))


def test_who_is_answered_is_not_sent_away(scene: Scene) -> None:
    answered = [scene.connect() for _ in range(3)]
    for connection in scene.connections:
        scene.listener.set_timeout(connection.fileno(), None)
    refused = scene.connect()
    assert not is_open(refused)
    assert all(map(is_open, answered))
    scene.listener.set_timeout(scene.connections[1].fileno(), REQUEST_TIMEOUT_S)
    assert is_open(scene.connect())
    scene.tidy()
    assert [is_open(each) for each in answered] == [True, False, True]


def test_in_all_the_address_with_most_connections_makes_room(scene: Scene) -> None:
    many = [scene.connect("127.0.0.1") for _ in range(3)]
    few = [scene.connect("127.0.0.2"), scene.connect("127.0.0.3"), scene.connect("127.0.0.3")]
    new = scene.connect("127.0.0.4")
    assert [is_open(each) for each in many] == [False, True, True]
    assert all(map(is_open, [*few, new]))


def test_in_all_nobody_is_let_in_where_everybody_is_answered(scene: Scene) -> None:
    for source in range(2, 8):
        scene.connect(f"127.0.0.{source}")
    for connection in scene.connections:
        scene.listener.set_timeout(connection.fileno(), None)
    assert not is_open(scene.connect("127.0.0.9"))
    scene.connections.pop().close()
    assert is_open(scene.connect("127.0.0.9"))


def test_a_flood_never_has_more_than_the_limit(scene: Scene) -> None:
    for number in range(200):
        scene.connect(f"127.0.0.{2 + number % 40}")
        assert len(scene.connections) <= 6
    scene.tidy()
    assert len(scene.connections) == 6


def test_what_keeps_the_server_waiting_for_too_long_is_closed_whatever_it_sends(scene: Scene) -> None:
    dripping = scene.connect()
    scene.now_s = REQUEST_TIMEOUT_S - 0.1
    dripping.sendall(b"x")
    scene.listener.set_timeout(scene.connections[0].fileno(), REQUEST_TIMEOUT_S)  # still
    late = scene.connect()
    scene.listener.close_overdue()
    assert is_open(dripping)
    scene.now_s = REQUEST_TIMEOUT_S
    scene.listener.close_overdue()
    assert not is_open(dripping)
    assert is_open(late)


def test_a_debt_that_was_paid_is_forgotten(scene: Scene) -> None:
    there = scene.connect()
    scene.listener.set_timeout(scene.connections[0].fileno(), None)
    scene.now_s = 100.0
    scene.listener.close_overdue()
    assert is_open(there)
    scene.listener.set_timeout(scene.connections[0].fileno(), REQUEST_TIMEOUT_S)
    scene.now_s = 100.0 + REQUEST_TIMEOUT_S
    scene.listener.close_overdue()
    assert not is_open(there)
    scene.listener.set_timeout(9999, None)  # closed meanwhile


def test_an_answer_may_be_taken_slowly(scene: Scene) -> None:
    there = scene.connect()
    scene.now_s = 5.0
    scene.listener.set_timeout(scene.connections[0].fileno(), SEND_TIMEOUT_S)
    scene.now_s = 5.0 + SEND_TIMEOUT_S - 0.1
    scene.listener.close_overdue()
    assert is_open(there)
    scene.now_s = 5.0 + SEND_TIMEOUT_S
    scene.listener.close_overdue()
    assert not is_open(there)


def test_clients() -> None:
    assert client_of("192.168.1.20") == "192.168.1.20"
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1")
    assert client_of("2001:db8::1") != client_of("2001:db8:0:1::1")
    assert client_of("fe80::1%eth0") == client_of("fe80::2")
    assert client_of("testclient") == "testclient"


LIMITED = """
import resource, sys
from mcore_runtime.limited_listener import ConnectionLimits, within_open_files
from mcore.common.errors import UserError
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
try:
    limits = within_open_files(ConnectionLimits(256, 128))
except UserError as error:
    print(error)
else:
    print(limits.in_all, limits.by_address, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "in_all", "raised"),
    [(4096, 4096, 256, False), (256, 4096, 256, True), (512, 512, range(150, 200), False)],
)
def test_files_are_kept_for_camera_and_session(soft: int, hard: int, in_all: int | range, raised: bool) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip("this process may not open so many files")
    most, by_address, files = map(int, limited(soft, hard).split())
    assert most in (in_all if isinstance(in_all, range) else [in_all])
    assert by_address == (128 if most == 256 else most // 2)
    assert (soft < files < 1024) if raised else files == soft


def test_too_few_files_are_said_before_anybody_is_let_in() -> None:
    said = limited(140, 140)
    assert "this process may open 140 files" in said
    assert "LimitNOFILE=" in said


def limited(soft: int, hard: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(soft), str(hard)], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_small_server_needs_few(monkeypatch: pytest.MonkeyPatch) -> None:
    assert within_open_files(ConnectionLimits(4, 2)) == ConnectionLimits(4, 2)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (130, 130))
    with pytest.raises(UserError, match="ulimit -n"):
        within_open_files(ConnectionLimits(4, 2))
