"""The labelling page: its HTTP interface, and a person who labels a session on a phone, in a real browser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the page's packages are not installed (extra: web)")
pytest.importorskip("websockets", reason="the page's packages are not installed (extra: web)")

from mcore.data.manifest import read_manifest
from mcore_runtime.labelling.app import make_app
from mcore_runtime.labelling.clips import read_sessions
from mcore_runtime.labelling.label import Label
from mcore_runtime.labelling.pairs import pair_views
from mcore_runtime.labelling.store import LabelStore
from mcore_runtime.web import Page, serve_app
from tests.runtime.labelling.made import ENTRY, NUM_FRAMES, POINTS, TAKEOFF, dive, make_session
from tests.runtime.web.conftest import Served, opened
from tests.runtime.web.conftest import browser as browser

PHONE = {"width": 390, "height": 844}
GOOD = asdict(Label("dive", TAKEOFF, ENTRY, "107B", 3.1, "7 7 7"))


class Labelling:
    """A page that is served, and the labels behind it."""

    def __init__(self, store: LabelStore, page: Page) -> None:
        self.store, self.page = store, page
        self._served = Served(None, page, int(page.url.rstrip("/").rpartition(":")[2]), [])  # type: ignore[arg-type]
        self.ask = self._served.ask

    def get(self, path: str) -> Any:
        answer = self.ask(path)
        assert answer.status == 200, answer.body
        return answer.json()

    def save(self, index: int, seen: int, **changes: Any) -> tuple[int, Any]:
        body = json.dumps({"seen": seen, "label": {**GOOD, **changes}}).encode()
        answer = self.ask(f"/api/clips/{index}", "POST", {"Content-Type": "application/json"}, body)
        return answer.status, answer.json()


@pytest.fixture
def labelling(tmp_path: Path) -> Iterator[Labelling]:
    """A session of four dives; the third has no awards, and the fourth a broken video."""
    folder = make_session(tmp_path / "final", dive(1), dive(2), dive(3, judges=None, takeoff_s=None), dive(4))
    (folder / "clips/dive-0004.mp4").write_bytes(b"no video")
    sessions = read_sessions(folder)
    store = LabelStore(folder / "dives.jsonl")
    store.add_session(sessions[0].name, sessions[0].started, 4)
    with serve_app(make_app(store, sessions), "127.0.0.1:0", log=lambda _: None) as page:
        yield Labelling(store, page)


def test_clips_are_shown_and_saved(labelling: Labelling) -> None:
    assert labelling.get("/api/clips")["clips"] == ["final/1", "final/2", "final/3", "final/4"]
    shown = labelling.get("/api/clips/0")
    assert (shown["is_proposed"], shown["version"], shown["score"]) == (True, 0, POINTS)
    assert [3.0, 3.1] in shown["difficulties"]
    pictures = labelling.ask("/api/clips/0/frames").body
    assert len(shown["sizes"]) == len(shown["times_s"]) == NUM_FRAMES
    assert pictures[: shown["sizes"][0]].startswith(b"\xff\xd8")
    assert pictures[shown["sizes"][0] :].startswith(b"\xff\xd8")
    assert sum(shown["sizes"]) == len(pictures)
    status, saved = labelling.save(0, 0)
    assert (status, saved["version"], saved["verdicts"][0], saved["score"]) == (200, 1, "dive", 65.1)
    (listed,) = read_manifest(labelling.store.listing)
    assert (listed.score, listed.event) == (65.1, "final")


def test_another_persons_label_is_never_overwritten_unseen(labelling: Labelling) -> None:
    assert labelling.save(0, 0)[0] == 200
    status, answer = labelling.save(0, 0, verdict="no-dive")
    assert status == 409
    assert "somebody else has labelled final/1" in answer["error"]
    assert labelling.get("/api/clips/0")["label"]["verdict"] == "dive"
    assert labelling.save(0, 1, verdict="no-dive")[0] == 200


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"judged": ""}, 422, "give the awards"),
        ({"judged": "", "verdict": "open"}, 200, ""),
        ({"verdict": "perhaps"}, 422, "perhaps"),
        ({"takeoff_frame": -1}, 422, "frame -1"),
        ({"dive_number": "1" * 200}, 422, "letters"),
        ({"other": 1}, 200, ""),
    ],
)
def test_labels_that_are_none(labelling: Labelling, changes: dict[str, Any], status: int, words: str) -> None:
    found, answer = labelling.save(0, 0, **changes)
    assert found == status
    assert words in answer.get("error", "")
    assert labelling.store.newest("final/1").version == int(status == 200)


def test_a_broken_video_can_only_be_a_bad_clip(labelling: Labelling) -> None:
    assert "video" in labelling.get("/api/clips/3")["unreadable"]
    assert labelling.ask("/api/clips/3/frames").status == 409
    assert labelling.save(3, 0)[0] == 409
    assert labelling.save(3, 0, verdict="bad-clip")[0] == 200
    assert labelling.ask("/api/clips/4").status == 404


def test_the_difficulty_follows_the_dive_number(labelling: Labelling) -> None:
    _, answer = labelling.save(2, 0, verdict="open", dive_number="407c", difficulty=None, judged="8 8 8")
    assert (answer["label"]["difficulty"], answer["score"]) == (3.4, 81.6)


def test_the_page_is_protected_like_the_live_one(labelling: Labelling) -> None:
    assert labelling.ask("/", headers={"Host": "evil.example"}).status == 403
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert labelling.ask("/api/clips/0", "POST", form, b"{}").status == 415
    assert labelling.ask("/api/clips", headers={"Origin": "http://evil.example"}).status == 403


def test_a_session_is_labelled_on_a_phone(browser: Any, labelling: Labelling) -> None:
    with opened(browser, labelling.page.url, PHONE) as tab:
        keyboard = tab.page.keyboard
        tab.waits_for("#progress", "0 of 4 labelled")
        tab.waits_for("#score", "65.10 points")
        tab.waits_for("#frame", f"Frame {TAKEOFF} of {NUM_FRAMES - 1}")
        tab.until("document.getElementById('picture').width === 96")
        assert tab.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        keyboard.press("Enter")  # the first is as proposed
        tab.waits_for("#name", "final/2")
        for key in ("ArrowRight", "ArrowRight", "t", "Shift+ArrowRight", "ArrowLeft", "x"):
            keyboard.press(key)
        tab.waits_for("#name", "final/3")
        keyboard.press("u")  # it was a dive, two frames later
        tab.waits_for("#name", "final/2")
        tab.waits_for("#who", "begun")
        tab.waits_for("#takeoff", f"Take-off: frame {TAKEOFF + 2}")
        keyboard.press("Enter")
        tab.waits_for("#name", "final/3")
        keyboard.press("Enter")
        tab.waits_for("#toast.bad", "Give the awards, or the score.")
        tab.complaints.clear()  # Chromium reports the answer's 422
        keyboard.press("a")
        keyboard.type("8 8 8.5")
        keyboard.press("Enter")
        tab.waits_for("#name", "final/4")
        tab.waits_for("#unreadable", "video")
        keyboard.press("b")
        tab.waits_for("#toast", "All clips are labelled.")
        tab.waits_for("#progress", "4 of 4 labelled")
        assert labelling.save(0, 1, verdict="no-dive")[0] == 200  # somebody else
        tab.press("final/1", "#clips")
        tab.waits_for("#who", "no dive")
        assert labelling.save(0, 2)[0] == 200
        keyboard.press("b")
        tab.waits_for("#toast.bad", "Somebody else has labelled final/1 meanwhile")
        tab.waits_for("#who", "dive")
        tab.complaints.clear()
    dives = read_manifest(labelling.store.listing)
    assert [(each.transition_frames, each.score) for each in dives] == [
        ((TAKEOFF, ENTRY), 65.1), ((TAKEOFF + 2, ENTRY), POINTS), ((TAKEOFF, ENTRY), 75.95),
    ]  # fmt: skip
    assert labelling.store.newest("final/4").label == Label("bad-clip")


def test_two_cameras_are_labelled_side_by_side(browser: Any, tmp_path: Path) -> None:
    sessions = [
        *read_sessions(make_session(tmp_path / "front", dive(1), dive(2))),
        # This camera's clips begin three frames later; its second one is broken.
        *read_sessions(make_session(tmp_path / "side", dive(1, takeoff_s=100.5), dive(2), dive(3))),
    ]
    (tmp_path / "side/clips/dive-0002.mp4").write_bytes(b"no video")
    store = LabelStore(tmp_path / "dives.jsonl")
    for session in sessions:
        store.add_session(session.name, session.started, len(session.clips), "train")
    app = make_app(store, sessions, pair_views(*sessions))
    with serve_app(app, "127.0.0.1:0", log=lambda _: None) as page, opened(browser, page.url) as tab:
        keyboard = tab.page.keyboard
        tab.waits_for("#progress", "0 of 3 labelled")  # a pair is one
        tab.waits_for("#frame", f"Frame {TAKEOFF} of")
        tab.waits_for("#second-frame", f"side/1: frame {TAKEOFF - 3} · take-off at 15, entry at 75")
        tab.until("document.getElementById('second-picture').width === 96")
        keyboard.press("Shift+ArrowRight")
        tab.waits_for("#second-frame", f"frame {TAKEOFF + 7} ")
        keyboard.press("ArrowLeft")
        keyboard.press(".")  # this one alone
        tab.waits_for("#frame", f"Frame {TAKEOFF + 9} of")
        tab.waits_for("#second-frame", f"frame {TAKEOFF + 7} ")
        keyboard.press("t")
        tab.waits_for("#second-frame", f"take-off at {TAKEOFF + 7}, entry at 75")
        keyboard.press("u")
        tab.waits_for("#second-frame", "take-off at 15, entry at 75")
        tab.waits_for("#frame", f"Frame {TAKEOFF} of")  # it is over
        keyboard.press("a")
        keyboard.type("8 8 8")
        keyboard.press("Enter")
        tab.waits_for("#name", "front/2")
        tab.waits_for("#second-frame", "side/2: ")
        keyboard.press("Enter")
        tab.waits_for("#name", "side/3")  # which one camera saw
        tab.until("document.getElementById('second').hidden")
        keyboard.press("j")
        tab.waits_for("#name", "front/2")
        keyboard.press("j")
        tab.waits_for("#name", "front/1")
        keyboard.press("v")
        tab.waits_for("#second-frame", "side/1: bad clip")
        keyboard.press("t")
        tab.waits_for("#who", "begun")
        keyboard.press("u")
        tab.waits_for("#who", "dive")
        keyboard.press("u")
        tab.waits_for("#second-frame", "side/1: frame")
    found = [
        (each.path.parent.parent.name, each.transition_frames, each.score) for each in read_manifest(store.listing)
    ]
    assert found == [
        ("front", (TAKEOFF, ENTRY), 74.4), ("front", (TAKEOFF, ENTRY), POINTS), ("side", (15, 75), 74.4),
    ]  # fmt: skip


def test_ctrl_c_ends_the_command_and_loses_nothing(tmp_path: Path) -> None:
    folder = make_session(tmp_path / "final", dive(1))
    command = [sys.executable, "-m", "mcore_runtime.labelling.command", str(folder), "--web", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ) as run:
        assert run.stderr is not None
        assert run.stderr.readline().startswith("page: http://127.0.0.1:")
        LabelStore(folder / "dives.jsonl").save("final", "final/1", 0, Label("no-dive"), None)
        run.send_signal(signal.SIGINT)
        said, errors = run.communicate(timeout=300)
    assert (run.returncode, errors) == (0, "")
    assert said.endswith(f"{folder / 'dives.jsonl'}: 0 dives\n")
    assert LabelStore(folder / "dives.jsonl").newest("final/1").label == Label("no-dive")
