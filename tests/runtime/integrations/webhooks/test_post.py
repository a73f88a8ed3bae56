"""One attempt, at receivers that answer everything a receiver can answer, and at some that do not answer."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mcore_runtime.integrations.webhooks.post import Answer, Result, post
from mcore_runtime.integrations.webhooks.target import parse_target
from tests.runtime.integrations.webhooks.receiver import receiving

PRIVATE = "hunter2"


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does not know HTTP."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    talk(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def hear(connection: socket.socket) -> None:
    """Read a whole message: a connection that is closed before that is reset, and its answer lost."""
    heard = b""
    while not heard.endswith(b"}"):
        heard += connection.recv(65536)


def send(url: str, timeout_s: float = 2.0) -> Answer:
    answer = post(parse_target(url), b'{"a": 1}', {"webhook-id": "x"}, timeout_s)
    assert PRIVATE not in answer.reason
    return answer


@pytest.mark.parametrize(
    ("status", "result"),
    [(200, Result.DELIVERED), (202, Result.DELIVERED), (204, Result.DELIVERED),
     (301, Result.UNREACHABLE), (307, Result.UNREACHABLE), (304, Result.UNREACHABLE),
     (400, Result.REFUSED), (409, Result.REFUSED), (413, Result.REFUSED), (422, Result.REFUSED),
     (401, Result.UNREACHABLE), (403, Result.UNREACHABLE), (404, Result.UNREACHABLE), (429, Result.UNREACHABLE),
     (500, Result.UNREACHABLE), (502, Result.UNREACHABLE), (503, Result.UNREACHABLE),
     (410, Result.GONE)],
)  # fmt: skip
def test_every_status_means_something(status: int, result: Result) -> None:
    with receiving(lambda count: (status, {})) as receiver:
        answer = send(receiver.url)
    assert answer.result is result
    assert (str(status) in answer.reason) == (result is not Result.DELIVERED)


def test_a_message_arrives_as_it_was_sent() -> None:
    with receiving() as receiver:
        send(receiver.url.replace("//", f"//user:{PRIVATE}@"))
        (request,) = receiver.wait_for(1)
    assert (request.path, request.body) == ("/dives?key=letmein", b'{"a": 1}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "x"
    assert request.headers["authorization"].startswith("Basic ")
    assert request.headers["host"] == receiver.url.split("/")[2]  # without user name and password


def test_a_redirection_is_not_followed() -> None:
    with receiving() as other, receiving(lambda count: (307, {"Location": other.url})) as receiver:
        answer = send(receiver.url)
        assert "not followed" in answer.reason
        assert other.requests == []


@pytest.mark.parametrize(("asked", "wait_s"), [("7", 7.0), ("99999999", 3600.0), ("soon", 0.0), ("-5", 0.0)])
def test_what_a_receiver_asks_to_wait_for_is_heard(asked: str, wait_s: float) -> None:
    with receiving(lambda count: (503, {"Retry-After": asked})) as receiver:
        assert send(receiver.url).wait_s == wait_s


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with receiving() as receiver:
        assert send(receiver.url).result is Result.DELIVERED


def hang(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(200):
        connection.sendall(b"X")
        time.sleep(0.02)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("talk", [hang, drip])
def test_no_receiver_takes_longer_than_its_time(talk: Callable[[socket.socket], None], scheme: str) -> None:
    with raw_server(talk) as place:
        answer = send(f"{scheme}://{place}/{PRIVATE}", timeout_s=0.4)
    assert answer.result is Result.UNREACHABLE
    if (talk, scheme) != (drip, "https"):  # whose first bytes already are no TLS
        assert answer.reason == "no answer for 0.4 s"


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"", "closed the connection"), (b"SSH-2.0-OpenSSH\r\n", "not HTTP"), (b"HTTP/1.1 abc\r\n\r\n", "not HTTP")],
)
def test_what_does_not_speak_http_is_unreachable(said: bytes, reason: str) -> None:
    def talk(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(said)

    with raw_server(talk) as place:
        answer = send(f"http://{place}/")
    assert answer.result is Result.UNREACHABLE
    assert reason in answer.reason


def test_nobody_there(port: int) -> None:
    assert send(f"http://127.0.0.1:{port}/{PRIVATE}").reason == "Connection refused"
    assert send(f"http://no-such-host.invalid/{PRIVATE}").reason == "its name is not known"
    assert send(f"http://{'a' * 70}.example/{PRIVATE}").result is Result.UNREACHABLE  # no name can be so long


@pytest.mark.parametrize("is_trusted", [False, True])
def test_tls_needs_a_certificate_that_the_system_trusts(
    tls: ssl.SSLContext, certificate: Path, is_trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talk(connection: socket.socket) -> None:
        with suppress(ssl.SSLError), tls.wrap_socket(connection, server_side=True) as secure:
            hear(secure)
            secure.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with raw_server(talk) as place:
        answer = send(f"https://{place}/{PRIVATE}")
    assert answer.result is (Result.DELIVERED if is_trusted else Result.UNREACHABLE)
    assert ("certificate is not trusted" in answer.reason) != is_trusted
