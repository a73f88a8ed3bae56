"""Addresses of sources, and that nothing secret in them is ever shown."""

from __future__ import annotations

import logging
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore_runtime.sources import SourceError, open_source, parse_source

SECRET = "s3cr3t"
NASTY = [
    f"rtsp://admin:{SECRET}@127.0.0.1:1/live",
    f"rtsp://admin:{SECRET}@@127.0.0.1:1/live",
    f"rtsp://ad/min:{SECRET}@127.0.0.1:1/live",
    f"rtsp://admin:pa/ss{SECRET}@127.0.0.1:1/live@2",
    f"rtsp://admin:{SECRET}#x@127.0.0.1:1/live",
    f"rtsp://admin:{SECRET}#timeout=5@127.0.0.1:1/live",
    f"rtsp://127.0.0.1:1/user=admin&password={SECRET}&channel=1.sdp",
    f"rtsp://127.0.0.1:1/x@{SECRET}",
    f"rtsp://[::1]:1/{SECRET}#name=lane 3",
    f"http://{SECRET}:@127.0.0.1:1/",
    f"http://{SECRET}@127.0.0.1:1/",
    f"http://127.0.0.1:1/video?token={SECRET}#rotation=90",
    f"http://admin:%73%33{SECRET}@127.0.0.1:1/video",
    f"http://u:{SECRET}?@127.0.0.1:1/video",
    f"HTTP://u:{SECRET}@127.0.0.1:1/video",
    f"  http://u:{SECRET}@127.0.0.1:1/video",
    f"https://u:{SECRET}@127.0.0.1:1/video",
]
REFUSED = [
    f"rtmp://u:{SECRET}@host/x",
    f"rtsp:/u:{SECRET}@host/x",
    f"u:{SECRET}@host/x",
    f"http://u:p@h/x#wrong={SECRET}",
    f"gst://rtspsrc location=rtsp://u:{SECRET}@h 'open",
]


@pytest.mark.parametrize("text", NASTY)
def test_no_part_of_an_address_shows_a_secret(text: str) -> None:
    uri = parse_source(text)
    assert SECRET in uri.target
    assert SECRET not in f"{uri} {uri!r} {uri.public} {[uri]}"


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_does_not_quote_a_secret(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_source(text)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("text", [NASTY[0], NASTY[11], f"http://nowhere.invalid/{SECRET}"])
def test_a_failing_connection_does_not_tell_the_secret(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), open_source(text, first_delay_s=0.01) as source:
        while source.status().failures < 2:
            assert source.read(0.01) is None
        status = source.status()
    assert status.error
    assert SECRET not in f"{status} {caplog.text} {source.uri!r} {source!r}"


def test_a_failing_connection_prints_no_secret_below_python() -> None:
    """FFmpeg writes to the process's standard error, which pytest does not see from within."""
    code = (
        "import sys\nfrom mcore_runtime.sources import open_source\n"
        "for text in sys.stdin.read().split():\n"
        "    with open_source(text, first_delay_s=0.01) as source:\n"
        "        while source.status().failures < 1: source.read(0.01)\n"
        "        print(source.status())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="\n".join((NASTY[0], NASTY[6], NASTY[11])),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "public", "target"),
    [
        ("camera://0?size=1280x720&rate=59.94", "camera://0", "0"),
        ("camera:///dev/v4l/by-id/usb-x", "camera:///dev/v4l/by-id/usb-x", "/dev/v4l/by-id/usb-x"),
        ("csi://1", "csi://1", "1"),
        ("rtsp://10.0.0.2/live?ch=1", "rtsp://10.0.0.2/…", "rtsp://10.0.0.2/live?ch=1"),
        ("rtsp://u:p@cam-1.local:554/x#transport=udp", "rtsp://cam-1.local:554/…", "rtsp://u:p@cam-1.local:554/x"),
        ("http://[fe80::1]:8080/v?size=1x1", "http://[fe80::1]:8080/…", "http://[fe80::1]:8080/v?size=1x1"),
        ("http://h/v#name=lane%203", "lane 3", "http://h/v"),
        ("gst://rtspsrc location=rtsp://u:p@h/x ! decodebin", "gst://rtspsrc ! decodebin", None),
        ("synthetic://meet?seed=1", "synthetic://meet", "meet"),
        ("no/such/file.mp4", "no/such/file.mp4", "no/such/file.mp4"),
    ],
)
def test_public_form_and_target(text: str, public: str, target: str | None) -> None:
    uri = parse_source(text)
    assert uri.public == public
    assert target is None or uri.target == target


def test_options_reach_their_fields() -> None:
    options = parse_source("camera://0?size=1280x720&rate=59.94&rotation=270&format=mjpeg&timeout=2").options
    assert (options.size, options.rate, options.rotation) == ((1280, 720), 59.94, 270)
    assert (options.format, options.timeout_s) == ("mjpeg", 2.0)
    options = parse_source("rtsp://h/x#transport=udp&open-timeout=3&queue=2").options
    assert (options.transport, options.open_timeout_s, options.queue) == ("udp", 3.0, 2)
    assert parse_source("synthetic://meet?seed=7&rate=30").extra == {"seed": "7"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("camera://0?size=big", "size"),
        ("camera://0?rotation=45", "0, 90, 180, 270"),
        ("camera://0?transport=udp", "no option 'transport'"),
        ("camera://0?rate=0", "1 to 1000"),
        ("camera://0?rate=5&rate=6", "twice"),
        ("camera://0?rate", "key=value"),
        ("camera://front door", "camera://0"),
        ("csi://x", "csi://0"),
        ("rtsp://", "host"),
        ("rtsp://h/x#wrong=1", "transport"),
        ("gst://", "pipeline"),
        ("ftp://h/x", "no ftp://"),
        ("", "empty"),
        ("rtsp://h/x#timeout=nan", "number"),
    ],
)
def test_mistakes_are_named(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_source(text)


def test_a_path_is_a_path_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "heat?1 a@b#x.mp4"
    Path(name).touch()
    assert parse_source(name).target == name
    assert parse_source(f"file:{tmp_path}/a%3Fb.mp4?pace=realtime").target == f"{tmp_path}/a?b.mp4"
    assert parse_source(f"file://{tmp_path}/a.mp4?pace=realtime").is_live
    assert not parse_source(name).is_live
