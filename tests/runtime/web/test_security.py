"""Every check of the page's access control, on a real server."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the page's packages are not installed (extra: web)")
pytest.importorskip("websockets", reason="the page's packages are not installed (extra: web)")

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from mcore_runtime.access_token import AccessToken
from mcore_runtime.live.commands import Skip
from mcore_runtime.web import serve
from mcore_runtime.web.access_control import HEADERS, AccessControl
from tests.runtime.web.conftest import TIMEOUT_S, TOKEN, Answer, Served, begin, port_of
from tests.runtime.web.fake_session import FakeSession

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SKIP = b'{"name": "skip"}'
COMMAND_HEAD = b"POST /api/command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def log_in(locked: Served, token: str = TOKEN, **headers: str) -> Answer:
    return locked.ask("/login", "POST", {**FORM, **headers}, f"token={token}".encode())


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost", 200),
        ("LOCALHOST:1234", 200),  # a forwarded port has another number
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8000", 403),
        ("192.168.1.20", 403),
        ("", 403),
        ("[::1", 403),
    ],
)
def test_a_name_that_was_pointed_here_is_refused(served: Served, host: str, status: int) -> None:
    for path in ("/", "/api/snapshot", "/no/such/thing"):
        assert served.ask(path, headers={"Host": host}).status == (404 if status == 200 and "no" in path else status)


@pytest.mark.parametrize("headers", [{"Host": "localhost"}, {"Host": "evil.example"}])
def test_the_web_socket_asks_for_the_same_host(served: Served, headers: dict[str, str]) -> None:
    where = f"ws://{headers['Host']}:{served.port}/api/events"
    with socket.create_connection(("127.0.0.1", served.port)) as wire:
        if headers["Host"] == "localhost":
            with connect(where, sock=wire) as there:
                assert "snapshot" in there.recv(TIMEOUT_S)
        else:
            with pytest.raises(InvalidStatus) as caught:
                connect(where, sock=wire)
            assert caught.value.response.status_code == 403


def test_a_request_without_a_host_is_refused(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), TIMEOUT_S) as wire:
        wire.sendall(b"GET /api/snapshot HTTP/1.0\r\n\r\n")
        assert b" 400 " in wire.recv(4096)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "file://", ""]
)
def test_another_origin_commands_nothing(served: Served, origin: str) -> None:
    answer = served.ask("/api/command", "POST", {**JSON, "Origin": origin}, SKIP)
    assert answer.status == 403
    assert "origin" in answer.json()["error"]
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://{served.host}/api/events", additional_headers={"Origin": origin})
    assert caught.value.response.status_code == 403
    assert served.session.commands == []


@pytest.mark.parametrize("headers", [{}, {"Origin": "own"}, {"Sec-Fetch-Site": "same-origin", "Origin": "own"}])
def test_our_own_page_and_programs_may(served: Served, headers: dict[str, str]) -> None:
    sent = {name: f"http://{served.host}" if value == "own" else value for name, value in headers.items()}
    assert served.ask("/api/command", "POST", {**JSON, **sent}, SKIP).status == 200
    assert served.session.commands == [Skip()]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_no_form_can_command(served: Served, kind: str) -> None:
    assert served.ask("/api/command", "POST", {"Content-Type": kind}, SKIP).status == 415
    assert served.session.commands == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_embeds_nothing(served: Served, site: str) -> None:
    for path in ("/api/picture.jpg", "/api/stream", "/api/snapshot", "/static/app.js"):
        assert served.ask(path, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}).status == 403
    posted = served.ask("/api/command", "POST", {**JSON, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}, SKIP)
    assert posted.status == 403
    assert served.ask("/", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}).status == 200  # a link


def test_without_the_token_nothing_is_seen(locked: Served) -> None:
    locked.session.add_dive()
    paths = ["/api/snapshot", "/api/dives/1", "/api/dives/1/strip/0.jpg", "/api/dives/1/clip.mp4", "/api/picture.jpg"]
    paths += ["/api/stream", "/", "/static/app.js", "/index.html", "/no/such/thing", "/static/style.css/", "/login/"]
    paths += ["//static/style.css"]
    for method, path in [
        *(("GET", path) for path in paths),
        ("POST", "/api/command"),
        ("DELETE", "/static/style.css/x"),
    ]:
        answer = locked.ask(path, method, JSON, SKIP if method == "POST" else None)
        assert answer.status == 401, (method, path)
        assert b"Ada" not in answer.body
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://{locked.host}/api/events")
    assert caught.value.response.status_code == 403
    assert locked.session.commands == []
    assert locked.session.pictures_taken == 0


def test_a_browser_is_led_to_the_login(locked: Served) -> None:
    answer = locked.ask("/", headers={"Accept": "text/html,*/*"})
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    form = locked.ask("/login", headers={"Accept": "text/html"})
    assert form.status == 200
    assert b'type="password"' in form.body
    assert locked.ask("/static/style.css").status == 200


def test_the_token_is_exchanged_for_a_cookie(locked: Served) -> None:
    answer = log_in(locked, Origin=f"http://{locked.host}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    parts = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= parts
    assert TOKEN not in answer.headers["set-cookie"]
    known = {"Cookie": f"other=1; {cookie_of(answer)}"}
    assert locked.ask("/api/snapshot", headers=known).status == 200
    assert locked.ask("/", headers=known).status == 200
    assert locked.ask("/login", headers=known).headers["location"] == "/"
    with connect(f"ws://{locked.host}/api/events", additional_headers=known) as there:
        assert "snapshot" in there.recv(TIMEOUT_S)
    # The cookie says who asks, not which page: other origins stay out.
    assert locked.ask("/api/command", "POST", {**JSON, **known, "Origin": "http://evil.example"}, SKIP).status == 403


def test_a_link_with_the_token_is_taken_out_of_the_address(locked: Served) -> None:
    answer = locked.ask(f"/?token={TOKEN}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert TOKEN not in str(dict(answer.headers))
    again = locked.ask(f"/?token={TOKEN}", headers={"Cookie": cookie_of(answer)})
    assert (again.status, again.headers["location"]) == (303, "/")


def test_a_link_from_another_site_asks_once_more_from_here(locked: Served) -> None:
    """Browsers keep a strict cookie back from such a request, but not from the one that our own page makes."""
    answer = locked.ask(
        "/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    )
    assert answer.status == 200
    assert b"http-equiv" in answer.body
    assert b"Ada" not in answer.body


def test_the_token_of_programs(locked: Served) -> None:
    assert locked.ask("/api/snapshot", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
    assert locked.command({"name": "skip"}, Authorization=f"bearer {TOKEN}").status == 200
    assert locked.ask("/api/snapshot", headers={"Authorization": "Bearer wrong-token-here"}).status == 401
    assert locked.ask("/api/snapshot", headers={"Authorization": f"Basic {TOKEN}"}).status == 401


def test_cookies_of_others_open_nothing(locked: Served) -> None:
    name = cookie_of(log_in(locked)).partition("=")[0]
    old = AccessToken(TOKEN).cookie(time.time() - 8 * 24 * 3600)
    for value in (AccessToken("another-horse-battery").cookie(), old, TOKEN, ""):
        assert locked.ask("/api/snapshot", headers={"Cookie": f"{name}={value}"}).status == 401
    assert locked.ask("/api/snapshot", headers={"Cookie": f"mcore-1={AccessToken(TOKEN).cookie()}"}).status == 401


def test_guessing_is_slow(locked: Served) -> None:
    answers = [log_in(locked, f"wrong-token-{i}").status for i in range(12)]
    assert answers[:8] == [403] * 8
    assert set(answers[8:]) == {429}
    assert log_in(locked).status == 429  # not even the right one, for a while
    assert locked.ask(f"/?token={TOKEN}").status == 429
    assert locked.ask("/api/snapshot", headers={"Authorization": f"Bearer {TOKEN}"}).status == 429
    cookie = f"mcore-{locked.port}={AccessToken(TOKEN).cookie()}"
    assert locked.ask("/api/snapshot", headers={"Cookie": cookie}).status == 200  # who is in, stays in


def test_a_wrong_token_is_not_repeated(locked: Served) -> None:
    answer = log_in(locked, "%3Cscript%3Ealert(1)%3C/script%3E")
    assert answer.status == 403
    assert b"<script>" not in answer.body
    assert b"not the token" in answer.body


def test_with_a_token_the_host_may_have_any_name(locked: Served) -> None:
    assert log_in(locked, Host="scorer.local:8000").status == 303


def test_other_addresses_get_a_token_that_is_told_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    session = FakeSession(tmp_path)
    with serve(session, "0.0.0.0:0") as page:
        assert page.token is not None
        served = Served(session, page, port_of(page.url), [])
        assert served.ask("/api/snapshot").status == 401
        assert served.ask(f"/?token={page.token}").status == 303
        assert log_in(served, page.token).status == 303
        assert page.token not in repr(page)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count(page.token) == 1


def test_a_token_that_was_given_is_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for locked in begin(tmp_path, "0.0.0.0:0", TOKEN):
            assert locked.ask(f"/?token={TOKEN}").status == 303
            assert locked.ask(f"/no/such/thing?token={TOKEN}").status == 401
            assert log_in(locked).status == 303
            assert not any(TOKEN in line for line in locked.said)
    assert TOKEN not in caplog.text


def test_every_answer_has_its_headers(served: Served) -> None:
    served.session.add_dive()
    for path in ("/", "/static/app.js", "/api/snapshot", "/api/dives/9", "/nothing", "/api/picture.jpg", "/login"):
        headers = served.ask(path).headers
        assert HEADERS.items() <= headers.items(), path
        assert "cache-control" in headers
        assert "server" not in headers
    refused = served.ask("/", headers={"Host": "evil.example"}).headers
    assert HEADERS.items() <= refused.items()
    assert "'unsafe" not in HEADERS["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/..%2f..%2fpyproject.toml",
        "/app.js",
        "/static/..%2fapp.py",
        "/static/../app.py",
        "/static/",
        "/pages/login.html",
        "/login.html",
        "/index.html",
        "/app.py",
        "//etc/passwd",
        "/api/dives/1/strip/..%2f..%2f0.jpg",
        "/api/dives/%2e%2e/clip.mp4",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_else_is_served(served: Served, path: str) -> None:
    served.session.add_dive()
    assert served.ask(path).status in (404, 422)


def test_a_clip_outside_the_session_is_not_served(served: Served, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    served.session.folder = inside
    (inside / "clips").mkdir(parents=True)
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (inside / "clips" / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (inside / "clips" / "own.mp4").write_bytes(b"own")
    number = served.session.add_dive()
    for recording, status in (("../secret.mp4", 404), ("clips/link.mp4", 404), ("clips", 404), ("clips/own.mp4", 200)):
        served.session.alter(number, recording=recording)
        assert served.ask(f"/api/dives/{number}/clip.mp4").status == status, recording


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 100000000\r\n\r\n",  # refused before it comes
        b"Transfer-Encoding: chunked\r\n\r\n1000\r\n" + b" " * 4096 + b"\r\n10\r\n" + b" " * 16 + b"\r\n",
    ],
)
def test_large_bodies_are_refused(served: Served, rest: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), TIMEOUT_S) as wire:
        wire.sendall(COMMAND_HEAD + rest)
        assert b" 413 " in wire.recv(4096)
    assert served.ask("/api/snapshot").status == 200


def test_a_flood_is_refused_and_ends(served: Served) -> None:
    statuses = [served.command({"name": "skip"}, Host="localhost").status for _ in range(30)]
    assert 429 in statuses
    assert served.ask("/api/snapshot").status == 200


def test_asking_too_often_is_refused(served: Served) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=TIMEOUT_S)) as connection:
        for _ in range(2000):
            connection.request("GET", "/static/icon.svg")
            answer = connection.getresponse()
            answer.read()
            if answer.status == 429:
                break
        assert answer.status == 429
        assert answer.getheader("retry-after") == "1"


def test_a_body_that_does_not_come_keeps_nobody_waiting(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), TIMEOUT_S) as wire:
        wire.sendall(COMMAND_HEAD + b"Content-Length: 9\r\n\r\n")
        assert served.ask("/api/snapshot").status == 200
        assert b" 408 " in wire.recv(4096)


def test_a_page_for_everybody_is_refused_in_the_code() -> None:
    with pytest.raises(ValueError, match="needs its host names"):
        AccessControl(lambda *_: None, None, None, "cookie")  # type: ignore[arg-type]


def test_the_server_ends_with_its_context(tmp_path: Path) -> None:
    for served in begin(tmp_path):
        port = served.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)
    assert not any(thread.name.startswith("page") for thread in threading.enumerate())
