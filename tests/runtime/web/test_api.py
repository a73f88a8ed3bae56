"""The HTTP interface of the page, on a real server."""

from __future__ import annotations

import http.client
import io
import json
import threading
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the page's packages are not installed (extra: web)")
pytest.importorskip("websockets", reason="the page's packages are not installed (extra: web)")

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from mcore_runtime.live.commands import Assign, Command, Edit, GoTo, SetDive, Stop, Trigger, Void
from tests.runtime.waiting import wait_until
from tests.runtime.web.conftest import TIMEOUT_S, Served, begin
from tests.runtime.web.fake_session import write_video

JPEG = b"\xff\xd8\xff"


def listen(served: Served) -> ClientConnection:
    # A client with unread messages does not hear the answer to its good-bye; it need not wait for it.
    return connect(f"ws://{served.host}/api/events", open_timeout=TIMEOUT_S, close_timeout=0.2)


def hear(there: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        message: dict[str, Any] = json.loads(there.recv(TIMEOUT_S))
        if message["type"] == kind:
            return message
    raise AssertionError(f"no {kind} came")


def farewell(there: ClientConnection) -> tuple[int, str]:
    """Code and reason with which the page is left."""
    try:
        while True:
            there.recv(TIMEOUT_S)
    except ConnectionClosed as closed:
        return (0, "no farewell") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)


def test_the_snapshot_is_the_sessions_with_dives_in_words(served: Served) -> None:
    served.session.add_dive()
    served.session.state["default"] = "999Z"  # no dive number, and so no words for it
    answer = served.ask("/api/snapshot")
    assert answer.headers["content-type"] == "application/json"
    value = answer.json()
    words, difficulties = value.pop("dive_words"), value.pop("difficulty_words")
    assert value == json.loads(json.dumps(served.session.snapshot()))
    assert words["407C"] == "inward 3 1/2 somersaults tuck"
    assert set(words) == set(difficulties) == {"107B", "407C", "5253B", "205B"}
    assert difficulties["407C"]["3.2"] == "difficulty 3.2 (from 10 m; World Aquatics, 25 June 2025)"
    assert sorted(difficulties["407C"]) == ["3.2", "3.4", "3.8"]


def test_a_dive_is_told_whole(served: Served) -> None:
    number = served.session.add_dive()
    value = served.ask(f"/api/dives/{number}").json()
    assert value.pop("strip_pictures") == 12
    compared = value.pop("comparison")
    assert compared["exemplar"] == value["result"]["exemplars"][0]["name"]
    assert (len(compared["dive_s"]), compared["dive_s"][2], compared["exemplar_s"][2]) == (15, 0.5, 0.4)
    assert value == served.session.records[number].to_json()


@pytest.mark.parametrize(
    "path",
    [
        "dives/9",
        "dives/0",
        "dives/-1",
        "dives/1e3",
        "dives/" + 5000 * "9",
        "dives/1/strip/12.jpg",
        "dives/1/strip/-1.jpg",
        "dives/9/strip/0.jpg",
        "dives/1/comparison/dive/15.jpg",
        "dives/9/comparison/exemplar/0.jpg",
        "dives/1/comparison/judge/0.jpg",
        "dives/1/clip.mp4",
        "nothing",
    ],
)
def test_what_is_not_there_is_said_as_json(served: Served, path: str) -> None:
    served.session.add_dive()
    answer = served.ask(f"/api/{path}")
    assert answer.status == 404
    assert answer.json()["error"]


def test_pictures_of_a_dive_and_of_its_closest_exemplar(served: Served) -> None:
    number = served.session.add_dive()
    both, strip = served.session.exemplar_comparison(number), served.session.strip(number)
    assert both is not None
    assert strip is not None
    for path, jpeg in (
        ("strip/11.jpg", strip[11]),
        ("comparison/dive/14.jpg", both.dive[14].jpeg),
        ("comparison/exemplar/14.jpg", both.exemplar[14].jpeg),
    ):
        answer = served.ask(f"/api/dives/{number}/{path}")
        assert (answer.headers["content-type"], answer.body) == ("image/jpeg", jpeg)
        assert answer.headers["cache-control"] == "no-store"
        assert "max-age" in served.ask(f"/api/dives/{number}/{path}?v=2026").headers["cache-control"]
    served.session.has_exemplars = False
    assert served.ask(f"/api/dives/{number}").json()["comparison"] is None
    assert served.ask(f"/api/dives/{number}/comparison/dive/0.jpg").status == 404


def test_clips_are_read_in_parts(served: Served, tmp_path: Path) -> None:
    served.session.add_dive()
    served.session.alter(1, recording="clips/dive-0001.mp4")
    write_video(tmp_path / "clips" / "dive-0001.mp4")
    content = (tmp_path / "clips" / "dive-0001.mp4").read_bytes()
    whole = served.ask("/api/dives/1/clip.mp4")
    assert (whole.status, whole.headers["content-type"], whole.body) == (200, "video/mp4", content)
    part = served.ask("/api/dives/1/clip.mp4", headers={"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, content[10:20])


def test_files_of_the_page_are_sent_once(served: Served) -> None:
    answer = served.ask("/static/app.js")
    assert "javascript" in answer.headers["content-type"]
    again = served.ask("/static/app.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("sent", "command"),
    [
        ({"name": "trigger"}, Trigger()),
        ({"name": "stop"}, Stop()),
        ({"name": "go_to", "order": 3}, GoTo(3)),
        ({"name": "edit", "order": 2, "club": "New"}, Edit(2, club="New")),
        ({"name": "edit", "order": 2, "difficulty": None}, Edit(2, difficulty=None)),
        ({"name": "set_dive", "dive_number": None}, SetDive(None)),
        ({"name": "set_dive", "dive_number": "407C"}, SetDive("407C")),
        ({"name": "void", "number": 1}, Void(1)),
        ({"name": "assign", "number": 1, "order": None}, Assign(1, None)),
    ],
)
def test_commands_reach_the_session(served: Served, sent: dict[str, Any], command: Command) -> None:
    served.session.add_dive()
    answer = served.command(sent)
    assert answer.status == 200
    assert answer.json() == {"ok": True, "revision": served.session.snapshot()["revision"]}
    assert served.session.commands == [command]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"trigger"',
        b"{}",
        b'{"name": 1}',
        b'{"name": "shutdown"}',
        b'{"name": "__init__"}',
        b'{"name": "trigger", "order": 1}',
        b'{"name": "go_to"}',
        b'{"name": "go_to", "order": "3"}',
        b'{"name": "go_to", "order": true}',
        b'{"name": "void", "number": 1.5}',
        b'{"name": "edit", "order": 1, "state": "done"}',
        b'{"name": "edit", "order": 1, "difficulty": NaN}',
    ],
)
def test_what_is_no_command_is_refused_before_the_session_sees_it(served: Served, body: bytes) -> None:
    answer = served.ask("/api/command", "POST", {"Content-Type": "application/json"}, body)
    assert answer.status == 422
    assert "\n" not in answer.json()["error"]
    assert served.session.commands == []


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"name": "back"}, "this is the first"),
        ({"name": "go_to", "order": 10**9}, "no entry"),
        ({"name": "void", "number": -1}, "no dive"),
        ({"name": "edit", "order": 1, "athlete": 81 * "x"}, "at most 80"),
    ],
)
def test_what_the_session_refuses_is_told(served: Served, sent: dict[str, Any], reason: str) -> None:
    answer = served.command(sent)
    assert answer.status == 409
    assert reason in answer.json()["error"]


def test_commands_are_posted(served: Served) -> None:
    assert served.ask("/api/command").status == 405


def test_a_page_hears_first_everything_and_then_what_is_new(served: Served) -> None:
    with listen(served) as there:
        first = hear(there, "snapshot")
        assert first["snapshot"]["dives"] == []
        assert "407C" in first["snapshot"]["dive_words"]
        served.session.add_dive(64.0)
        told, shown = None, None
        while told is None or shown is None:  # in either order
            message = json.loads(there.recv(TIMEOUT_S))
            told = message["dive"] if message["type"] == "dive" else told
            if message["type"] == "snapshot" and message["snapshot"]["dives"]:
                shown = message["snapshot"]["dives"][0]["score"]
        assert told == served.session.records[1].to_json()
        assert shown == 64.0


def test_a_pulse_tells_what_must_not_be_missed(served: Served) -> None:
    with listen(served) as there:
        served.session.state["problem"] = "No space left on device"
        served.session.source["silent_s"] = 7.0
        heartbeat = hear(there, "heartbeat")
        assert heartbeat["problem"] == "No space left on device"
        assert heartbeat["source"]["silent_s"] == 7.0
        assert heartbeat["health"]["memory_mb"] == 300.0


def test_a_storm_of_changes_becomes_a_few_snapshots(served: Served) -> None:
    with listen(served) as there:
        hear(there, "snapshot")
        for _ in range(300):
            served.session.changed()
            time.sleep(0.002)
        newest, count = 0, 0
        while newest < served.session.snapshot()["revision"]:
            newest, count = hear(there, "snapshot")["snapshot"]["revision"], count + 1
        assert count <= 12  # five a second


def test_a_page_that_does_not_listen_costs_nobody_anything(served: Served) -> None:
    with listen(served) as deaf, listen(served) as there:
        hear(there, "snapshot")
        for i in range(200):
            served.session.add_dive(float(i))
        while len(hear(there, "snapshot")["snapshot"]["dives"]) < 200:
            pass
        while len(hear(deaf, "snapshot")["snapshot"]["dives"]) < 200:
            pass


def test_a_page_may_only_listen(served: Served) -> None:
    with listen(served) as there:
        there.send("hello")
        assert farewell(there)[0] == 1008


def test_a_fault_in_one_message_does_not_silence_the_page(served: Served) -> None:
    with listen(served) as there:
        hear(there, "snapshot")
        served.session.health["memory_mb"] = object()  # no JSON
        taken = served.session.snapshots_taken
        served.session.changed()
        wait_until(lambda: served.session.snapshots_taken > taken)
        served.session.health["memory_mb"] = float("nan")
        served.session.changed()
        revision = served.session.snapshot()["revision"]
        while (newest := hear(there, "snapshot")["snapshot"])["revision"] < revision:
            pass  # one that was on its way
        assert newest["health"]["memory_mb"] is None  # browsers cannot read NaN


def test_the_end_is_told(tmp_path: Path) -> None:
    for served in begin(tmp_path):
        there = listen(served)
        hear(there, "snapshot")
        stream = http.client.HTTPConnection("127.0.0.1", served.port, timeout=TIMEOUT_S)
        stream.request("GET", "/api/stream")
        body = stream.getresponse()
    assert farewell(there) == (1001, "the run is over")
    body.read()  # a whole answer, not one that was cut off
    stream.close()


def test_the_newest_picture(served: Served) -> None:
    first = served.ask("/api/picture.jpg")
    assert (first.status, first.headers["content-type"], first.headers["x-frame"]) == (200, "image/jpeg", "0")
    served.session.frame = None
    assert served.ask("/api/picture.jpg").status == 404


def parts(served: Served, count: int, seconds_between: float = 0.0) -> list[bytes]:
    """Read some JPEGs of the live picture."""
    with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", "/api/stream")
        response = connection.getresponse()
        assert response.getheader("content-type") == "multipart/x-mixed-replace; boundary=frame"
        data = b""
        found: list[bytes] = []
        while len(found) < count:
            data += response.read1(65536)
            *whole, data = data.split(b"\r\n--frame\r\n")
            found += [part.partition(b"\r\n\r\n")[2] for part in whole]
            time.sleep(seconds_between)
        return found


def test_the_live_picture_is_the_newest_and_not_too_often(served: Served) -> None:
    stop = threading.Event()

    def film() -> None:
        for i in range(10_000):
            served.session.show_frame(i + 1, i % 200)
            if stop.wait(0.005):
                return

    thread = threading.Thread(target=film)
    thread.start()
    began = time.monotonic()
    try:
        found = parts(served, 13)
    finally:
        stop.set()
        thread.join()
    assert all(part.startswith(JPEG) for part in found)
    assert all(one != following for one, following in pairwise(found))  # grey levels come again each second
    assert time.monotonic() - began >= 0.9  # twelve a second, of two hundred


def test_one_encoder_serves_all_and_rests_when_nobody_looks(served: Served) -> None:
    wait_until(lambda: served.session.pictures_taken == 0)
    threads = [threading.Thread(target=parts, args=(served, 2)) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: served.session.pictures_taken > 3)
    served.session.show_frame(1)
    for thread in threads:
        thread.join()

    def rests() -> bool:
        taken = served.session.pictures_taken
        time.sleep(0.4)
        return taken == served.session.pictures_taken

    wait_until(rests)


@pytest.mark.parametrize(
    ("size", "encoded"), [((1920, 1080), (960, 540)), ((720, 1280), (405, 720)), ((160, 120), (160, 120))]
)
def test_large_pictures_become_smaller(size: tuple[int, int], encoded: tuple[int, int]) -> None:
    from mcore_runtime.web.pictures import encode

    width, height = size
    assert Image.open(io.BytesIO(encode(np.zeros((height, width, 3), np.uint8)))).size == encoded
