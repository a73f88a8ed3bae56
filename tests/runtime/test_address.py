"""Addresses of the page and access to it, without a server."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mcore.common.errors import MissingDependencyError, UserError
from mcore_runtime.access_token import COOKIE_SECONDS, AccessToken, make_token
from mcore_runtime.address import is_loopback, listen, url_of
from mcore_runtime.web import Address, parse_address, read_token, serve
from tests.runtime.web.fake_session import FakeSession

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("", "127.0.0.1", 8000),
        ("9000", "127.0.0.1", 9000),
        (":9000", "127.0.0.1", 9000),
        ("localhost", "localhost", 8000),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("[::1]:8080", "::1", 8080),
        ("[::]", "::", 8000),
        (" scorer.local:80 ", "scorer.local", 80),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)
    assert parse_address(str(parse_address(text))) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["host:", "a:b", "::1:80", "host:99999", "http://host", "a b:80", "-x:80", "[::1", "h/8"]
)
def test_what_is_no_address_is_said_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match="HOST:PORT") as caught:
        parse_address(text)
    assert "\n" not in str(caught.value)


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(UserError, match=f"port {port} is in use; give another"),
            serve(FakeSession(tmp_path), f"127.0.0.1:{port}"),
        ):
            pass


@pytest.mark.parametrize(
    ("address", "said"),
    [("203.0.113.7:0", "this machine has no address"), ("no-such-host.invalid:0", "no host of this")],
)
def test_an_address_of_another_machine_is_said(address: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said), serve(FakeSession(tmp_path), address):
        pass


def test_a_free_port_is_named_in_the_url() -> None:
    address = Address("127.0.0.1", 0)
    with listen(address) as taken:
        assert url_of(taken, address) == f"http://127.0.0.1:{taken.getsockname()[1]}/"


def test_a_page_on_all_addresses_is_named_by_one_that_others_can_use() -> None:
    address = Address("0.0.0.0", 0)
    with listen(address) as taken:
        assert "0.0.0.0" not in url_of(taken, address)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.1.2", False),
        ("fe80::1%2", False),
    ],
)
def test_loopback(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local


def test_tokens_are_compared_whole() -> None:
    keys = AccessToken("correct-horse-battery")
    assert keys.is_token("correct-horse-battery")
    assert not any(
        map(keys.is_token, ("", "correct-horse-batterz", "correct-horse-batter", "CORRECT-horse-battery", "ü"))
    )


def test_cookies_end_and_belong_to_their_token() -> None:
    keys, others = AccessToken("correct-horse-battery"), AccessToken("another-horse-battery")
    cookie = keys.cookie(NOW_S)
    assert keys.is_cookie(cookie, NOW_S + COOKIE_SECONDS - 1)
    assert not keys.is_cookie(cookie, NOW_S + COOKIE_SECONDS + 1)
    assert not others.is_cookie(cookie, NOW_S)
    until, _, proof = cookie.partition(".")
    later = f"{int(until) + 9}.{proof}"
    for forged in ("", ".", until, f"{until}.", f".{proof}", later, f"{cookie}0", f"9e99.{proof}", f"{until}.é"):
        assert not keys.is_cookie(forged, NOW_S), forged
    assert "correct" not in cookie


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 257, "has a space in it", "übergrößenträger", "line\nbreak-and-more"]
)
def test_weak_tokens_are_refused(token: str) -> None:
    with pytest.raises(UserError, match="12 to 256 letters"):
        AccessToken(token)


def test_made_tokens_are_good_and_never_the_same() -> None:
    made = {make_token() for _ in range(50)}
    assert len(made) == 50
    assert all(len(token) == 23 and AccessToken(token) for token in list(made)[:2])


def test_a_token_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("correct-horse-battery\n")
    assert read_token(file) == "correct-horse-battery"
    file.write_text("short")
    with pytest.raises(UserError, match=r"token.*12 to 256"):
        read_token(file)
    with pytest.raises(UserError, match="cannot be read"):
        read_token(tmp_path / "missing")


def test_importing_the_package_loads_no_server() -> None:
    heavy = ("starlette", "uvicorn", "torch")
    code = f"import sys, mcore_runtime.web; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(MissingDependencyError, match=r"\[web\]"), serve(FakeSession(tmp_path), "127.0.0.1:0"):
        pass
