"""Addresses of webhooks and their secrets, of which nothing private is ever shown."""

from __future__ import annotations

import traceback

import pytest

from mcore.common.errors import UserError
from mcore_runtime.integrations.webhooks import parse_target
from mcore_runtime.integrations.webhooks.signing import SECRET_VARIABLE, read_secret, signed_headers

PRIVATE = "hunter2"


@pytest.mark.parametrize(
    ("url", "public", "host", "port", "path"),
    [
        ("https://scores.example/dives", "https://scores.example", "scores.example", 443, "/dives"),
        ("HTTP://Scores.Example", "http://scores.example", "scores.example", 80, "/"),
        (f"http://u:{PRIVATE}@10.0.0.5:8080/a/b?c={PRIVATE}", "http://10.0.0.5:8080", "10.0.0.5", 8080,
         f"/a/b?c={PRIVATE}"),
        ("http://[::1]:81/x", "http://[::1]:81", "::1", 81, "/x"),
        ("https://h/a%20b/%C3%A4", "https://h", "h", 443, "/a%20b/%C3%A4"),
        ("mqtt://h/pool/dives", "mqtt://h", "h", 1883, "/pool/dives"),
        (f"mqtts://u:{PRIVATE}@h:1/{PRIVATE}", "mqtts://h:1", "h", 1, f"/{PRIVATE}"),
    ],
)  # fmt: skip
def test_an_address_has_a_public_form(url: str, public: str, host: str, port: int, path: str) -> None:
    target = parse_target(url)
    assert (target.public, target.host, target.port, target.path) == (public, host, port, path)
    assert target.is_secure == public.startswith(("https", "mqtts"))
    assert target.is_mqtt == public.startswith("mqtt")
    assert PRIVATE not in f"{target} {target!r} {[target]} {target.key}"


def test_user_name_and_password_are_no_part_of_the_targets_name() -> None:
    target = parse_target("https://user:p%40ss@h/x")
    assert target.credentials == ("user", "p@ss")
    assert target.key == parse_target("https://other:word@h/x").key == parse_target("https://h/x").key
    assert target.key != parse_target("https://h/y").key
    assert parse_target("https://h/x").credentials is None


@pytest.mark.parametrize(
    "url",
    ["", f"scores.example/{PRIVATE}", f"ftp://{PRIVATE}@h/", f"http:///{PRIVATE}", f"http://h:99999/{PRIVATE}",
     f"http://h:x/{PRIVATE}", f"http://h:0/{PRIVATE}", f"http://h/{PRIVATE}#part", f"http://h/{PRIVATE} b",
     f"http://h/{PRIVATE}\r\nX-Evil: 1", f"http://h/é{PRIVATE}", f"http://-h-/{PRIVATE}", f"http://[::1/{PRIVATE}",
     f"http://a_b c@h/{PRIVATE}", "mqtt://h", "mqtt://h/", f"mqtt://h/{PRIVATE}/+", f"mqtts://h/%23{PRIVATE}",
     f"mqtt://h/a?{PRIVATE}"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(UserError, match="webhook's address") as raised:
        parse_target(url)
    assert PRIVATE not in "".join(traceback.format_exception(raised.value))


def test_the_signature_is_the_specifications() -> None:
    # The example of the Standard Webhooks specification's reference libraries.
    secret = read_secret({SECRET_VARIABLE: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
    headers = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_without_a_secret_nothing_is_signed() -> None:
    assert read_secret({}) is None
    assert "webhook-signature" not in signed_headers(None, "a", 1, b"")


@pytest.mark.parametrize("value", [f"{PRIVATE}", "whsec_", "whsec_AAAA", "whsec_" + "A" * 200, "whsec_Ää"])
def test_a_secret_that_is_none_is_refused_without_quoting_it(value: str) -> None:
    with pytest.raises(UserError, match="openssl rand") as raised:
        read_secret({SECRET_VARIABLE: value})
    assert value.removeprefix("whsec_") == "" or value not in str(raised.value)
