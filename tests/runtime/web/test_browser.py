"""The page in a real browser: watched, pressed, cut off, logged in to, and asked whom else it talks to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mcore_runtime.live.commands import (
    Accept,
    Assign,
    Back,
    Edit,
    GoTo,
    Rescore,
    Restore,
    SetDive,
    Skip,
    Stop,
    Trigger,
    Void,
)  # fmt: skip
from mcore_runtime.web import serve
from tests.runtime.web.conftest import DESK, TOKEN, Served, Tab, opened
from tests.runtime.web.fake_session import FakeSession, write_video

EVIL = '<img src="x" onerror="window.evil = 1"><script>window.evil = 1</script>'


def test_a_session_is_watched(browser: Any, served: Served) -> None:
    with opened(browser, served.page.url) as tab:
        tab.waits_for("#source-pill", "Live 25 fps")
        tab.waits_for("#detector-pill", "Watching")
        tab.waits_for("#now-entry", "Ada Example")
        tab.waits_for("#now-entry", "107B forward 3½ somersaults pike")
        tab.waits_for("#dive", "No dive yet")
        tab.until("document.getElementById('picture').naturalWidth === 320")
        served.session.state["detector"] = "dive seen"
        served.session.changed()
        tab.waits_for("#detector-pill", "Dive seen")
        served.session.add_dive(71.24)
        tab.waits_for("#dive .points", "71.2")
        tab.waits_for("#dive .interval-text", "exemplars say 68.5 to 73.4")
        tab.waits_for("#dive .award", "award 7.7 (7.4 to 7.9)")
        tab.waits_for("#dive", "not a conformal interval")
        tab.waits_for("#announcer", "Ada Example, forward 3 1/2 somersaults pike: 71.2 points")
        tab.waits_for("#now-entry", "Bo Sample")
        tab.waits_for("#ranking", "Ada Example")
        tab.waits_for(".exemplars tbody tr", re.compile(r"0000\s*67.5\s*−0.3\s*67.2"))
        tab.waits_for(".stages", re.compile(r"Take-off.*−0.8.*Entry.*\+0.8.*Other.*\+1.5.*This dive.*71.2", re.S))
        tab.until("[...document.querySelectorAll('.strip img')].every((image) => image.naturalWidth === 200)")
        assert tab.page.locator(".strip figure").count() == 12
        assert tab.page.locator(".strip .begins").all_inner_texts() == ["Flight 1.20 s", "Entry 2.60 s"]
        assert tab.page.title() == "71.2 Ada Example · MCoRe live"
        served.session.add_dive(60.05, interval_level=0.8)
        tab.waits_for("#dive .interval-text", "80 % interval: 57.3 to 62.2")
        for place in ("#dive .score .caution", "#ranking .caution"):
            tab.waits_for(place, "Trained on 240 rendered dives, on no real one: scores mean nothing for real dives.")
        tab.waits_for("#dive", "Conformal interval: it holds the judges' score for 80 % of dives")
        served.session.show_frame(7, 200)
        tab.waits_for("#health", "0.2 %")


def test_a_dive_is_compared_with_its_closest_exemplar(browser: Any, served: Served) -> None:
    served.session.add_dive(71.2)
    with opened(browser, served.page.url) as tab:
        tab.waits_for(".comparison figure:first-child", re.compile(r"This dive\s*71.2\s*2.50 s"))  # first the entry
        tab.waits_for(".comparison figure:last-child", re.compile(r"Exemplar\s*67.5\s*2.00 s"))
        slider = tab.page.get_by_role("slider", name="Moment of the dive")
        assert slider.get_attribute("aria-valuetext") == "entry, 2.50 seconds"
        slider.focus()
        tab.page.keyboard.press("Home")
        tab.waits_for(".comparison-stage", "Take-off")
        tab.waits_for(".comparison figure:last-child", "0.00 s")
        tab.until("[...document.querySelectorAll('.comparison img')].every((image) => image.naturalWidth === 200)")
        tab.press("Play", ".comparison")
        tab.until("document.querySelector('.comparison input').value > 0")
        tab.press("Pause", ".comparison")
        paused = slider.input_value()
        tab.page.wait_for_timeout(600)
        assert slider.input_value() == paused
        served.session.add_dive(60.0)  # the next dive begins at its own entry
        tab.waits_for(".comparison figure:first-child", re.compile(r"60.0\s*2.50 s"))
    served.session.has_exemplars = False
    with opened(browser, served.page.url) as tab:
        tab.waits_for("#dive .points", "60.0")
        tab.waits_for(".strip figcaption b", "flight")
        assert tab.page.locator(".comparison").count() == 0


def test_an_older_dive_stays_until_the_latest_is_wanted(browser: Any, served: Served) -> None:
    for score in (60.0, 70.0):
        served.session.add_dive(score)
    with opened(browser, served.page.url) as tab:
        tab.waits_for("#dive .points", "70.0")
        tab.press("Dive 1, Ada Example, 60.0")
        tab.waits_for("#dive .points", "60.0")
        served.session.add_dive(80.0)
        tab.waits_for("#dives", "80.0")
        tab.waits_for("#dive .points", "60.0")
        tab.press("Latest")
        tab.waits_for("#dive .points", "80.0")


def test_a_dive_that_is_unlike_the_known_ones_is_accepted(browser: Any, served: Served) -> None:
    served.session.add_dive(60.0)
    served.session.add_dive(68.2, status="unlike", reasons=("nothing moves in the clip", "no take-off found"))
    with opened(browser, served.page.url) as tab:
        tab.waits_for("#dive .score.unlike .points", "68.2")
        tab.waits_for("#dive .score.unlike .interval-text", "does not count")
        tab.waits_for("#dive .remark", "its score does not count: nothing moves in the clip; no take-off found.")
        tab.waits_for("#ranking", "Ada Example")
        assert "Bo Sample" not in tab.page.locator("#ranking").inner_text()
        tab.waits_for("#start-list [data-order='2'] .result", "unlike")
        tab.press("Accept", "#dive")
        tab.waits_for("#toast", "The score of dive 2 counts now.")
        tab.waits_for("#ranking", "Bo Sample")
        tab.waits_for("#dive .score.scored .points", "68.2")
        tab.waits_for(
            "#dive .remark", "Accepted by the operator, although unlike the known dives: nothing moves in the"
        )
        assert tab.page.locator("#dive").get_by_role("button", name="Accept", exact=True).count() == 0
    assert served.session.commands == [Accept(2)]


def test_names_are_texts(browser: Any, served: Served) -> None:
    served.session.competition = served.session.competition.edit(1, {"athlete": EVIL[:80], "club": EVIL[-60:]})
    served.session.source["error"] = EVIL
    served.session.state["problem"] = EVIL
    served.session.add_dive(status="invalid", reasons=(EVIL,))
    with opened(browser, served.page.url) as tab:
        tab.waits_for("#dive h2", EVIL[:80])
        tab.waits_for("#alerts", EVIL)
        tab.waits_for("#start-list", "Cléo <b>Třída</b>")
        for place in ("", "#big"):
            tab.page.goto(served.page.url + place)
            tab.waits_for("#alerts", EVIL)
            assert tab.page.evaluate("window.evil") is None
            assert tab.page.locator('[src="x"]').count() == 0


def test_the_operators_buttons(browser: Any, served: Served) -> None:
    with opened(browser, served.page.url) as tab:
        tab.press("Dive just ended")
        tab.waits_for("#toast", "cut and scored")
        tab.press("Skip", "#now")
        tab.waits_for("#now-entry", "Bo Sample")
        tab.press("Back", "#now")
        tab.waits_for("#now-entry", "Ada Example")
        tab.press("Go to entry 3, Cléo <b>Třída</b>")
        tab.waits_for("#now-entry", "5253B")
        served.session.add_dive()
        tab.waits_for("#dive .points", "71.2")
        tab.press("Void", "#dive")
        tab.waits_for("#dive .badge", "void")
        tab.press("Restore", "#dive")
        tab.waits_for("#dive .foot", "Void")
        tab.press("Score again", "#dive")
        tab.waits_for("#toast", "Dive 1 is scored again")
        tab.press("Give to…", "#dive")
        tab.page.locator("#assign-dialog select").select_option("2")
        tab.press("Save", "#assign-dialog")
        tab.page.locator("#assign-dialog").wait_for(state="hidden")
        assert served.session.commands == [
            Trigger(), Skip(), Back(), GoTo(3), Void(1), Restore(1), Rescore(1), Assign(1, 2),
        ]  # fmt: skip


def test_an_entry_is_edited(browser: Any, served: Served) -> None:
    with opened(browser, served.page.url) as tab:
        tab.press("Edit entry 2, Bo Sample")
        form = tab.page.locator("#edit-dialog")
        assert form.get_by_label("Difficulty").input_value() == "3.4"
        form.get_by_label("Dive number").fill("999Z")
        form.get_by_label("Difficulty").fill("3,6")
        tab.press("Save", "#edit-dialog")
        tab.waits_for("#edit-dialog .fault", "'999Z' is not a dive number")
        form.get_by_label("Dive number").fill("205b")
        tab.press("Save", "#edit-dialog")
        form.wait_for(state="hidden")
        tab.waits_for("#start-list", "205B · 3.6")
        assert isinstance(served.session.commands[-1], Edit)
        assert served.session.competition.entries[1].athlete == "Bo Sample"
        # A refused command is an answer of 409, which Chromium reports; nothing else may be there.
        refused = [line for line in tab.complaints if "409" in line]
        assert tab.complaints == refused
        tab.complaints.clear()


def test_a_refusal_is_shown(browser: Any, served: Served) -> None:
    with opened(browser, served.page.url) as tab:
        tab.press("Back", "#now")
        tab.waits_for("#toast.bad", "There is no athlete to go back to: this is the first.")
        tab.complaints.clear()


def test_stopping_asks_first(browser: Any, served: Served) -> None:
    with opened(browser, served.page.url) as tab:
        tab.press("Stop…")
        tab.press("Keep running", "#stop-dialog")
        tab.page.locator("#stop-dialog").wait_for(state="hidden")
        assert served.session.commands == []
        tab.press("Stop…")
        tab.page.keyboard.press("Escape")
        tab.press("Stop…")
        tab.press("Stop the run", "#stop-dialog")
        tab.page.locator("#stop-dialog").wait_for(state="hidden")
        assert served.session.commands == [Stop()]


def test_without_a_start_list_the_number_is_set_here(browser: Any, tmp_path: Path) -> None:
    session = FakeSession(tmp_path, ())
    with serve(session, "127.0.0.1:0", log=lambda _: None) as page, opened(browser, page.url) as tab:
        tab.waits_for("#now-entry", "Dive number unknown")
        tab.page.get_by_label("Dive number").first.fill("407C")
        tab.page.keyboard.press("Enter")
        tab.waits_for("#now-entry", "407C inward 3½ somersaults tuck")
        assert not tab.page.locator("#start-list").is_visible()
        tab.page.get_by_label("Dive number").first.fill("")
        tab.page.keyboard.press("Enter")
        tab.waits_for("#now-entry", "Dive number unknown")
        assert session.commands == [SetDive("407C"), SetDive(None)]


def test_a_video_is_played_from_where_a_stage_begins(browser: Any, served: Served, tmp_path: Path) -> None:
    served.session.add_dive()
    served.session.alter(1, recording="clips/dive-0001.mp4")
    write_video(tmp_path / "clips" / "dive-0001.mp4", 4.0)
    with opened(browser, served.page.url) as tab:
        tab.press("Play video")
        tab.until("document.querySelector('video').duration > 3.9")
        tab.press("0.25×")
        tab.press("Entry", "#video-dialog")
        # The recording begins 0.4 s before the clip, the entry is 2.6 s after its start, and 0.15 s are shown before.
        tab.until("Math.abs(document.querySelector('video').currentTime - 2.85) < 0.3")
        assert tab.page.evaluate("document.querySelector('video').playbackRate") == 0.25
        tab.press("Close", "#video-dialog")
        tab.until("!document.querySelector('video').hasAttribute('src')")  # the dialog says later that it is closed


def test_what_is_wrong_is_said_loudly_and_only_while_it_is(browser: Any, served: Served) -> None:
    session = served.session
    troubles: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        (
            session.state,
            {"problem": "No space left on device"},
            "Results are not on the disk. No space left on device.",
        ),
        (session.state, {"problem": "the scorer failed: no GPU"}, "The scorer failed. The scorer failed: no GPU."),
        (
            session.source,
            {"state": "retrying", "error": "no route", "silent_s": 12.0},
            "The camera is lost. No route. Dives",
        ),
        (session.source, {"state": "failed", "error": "no such file"}, "The source failed. No such file."),
        (session.source, {"silent_s": 8.2}, "The picture stands still."),
        (session.health, {"disk_free_mb": 300.0}, "The disk is nearly full. 300 MB are free."),
        (session.health, {"temperature_c": 95.0}, "The computer has 95 °C."),
    ]
    with opened(browser, served.page.url) as tab:
        tab.waits_for("#source-pill", "Live")
        for place, trouble, said in troubles:
            assert tab.page.locator("#alerts .alert").count() == 0
            before = dict(place)
            place.update(trouble)
            session.changed()
            tab.waits_for("#alerts [role=alert]", said)
            if "state" in trouble:
                assert "Live" not in tab.page.locator("#source-pill").inner_text()
                tab.page.locator("#live.stale").wait_for()
            place.clear()
            place.update(before)
            session.changed()
            tab.page.locator("#alerts .alert").wait_for(state="detached")


def test_a_dive_that_failed_is_said_loudly(browser: Any, served: Served) -> None:
    served.session.add_dive(status="failed", reasons=("EngineError: out of memory",))
    with opened(browser, served.page.url) as tab:
        tab.waits_for("#alerts [role=alert]", "Dive 1 could not be scored. EngineError: out of memory.")
        tab.press("Score again", "#dive")
        tab.waits_for("#toast", "scored again")
        served.session.add_dive()
        tab.waits_for("#dive .points", "71.2")
        assert tab.page.locator("#alerts .alert").count() == 0


def test_a_line_that_dies_without_a_word_is_noticed(browser: Any, served: Served) -> None:
    with browser.new_context(viewport=DESK) as there:
        tab = Tab(there.new_page())
        tab.page.clock.install()
        tab.page.goto(served.page.url)
        tab.waits_for("#source-pill", "Live")
        with served.session._lock:  # the scorer hangs
            tab.page.clock.fast_forward(6000)
            tab.waits_for("#alerts [role=alert]", re.compile(r"No connection to the scorer. What you see is from \d"))
            assert tab.page.locator("#trigger").is_disabled()
        tab.waits_for("#source-pill", "Live")
        tab.page.locator("#alerts .alert").wait_for(state="detached")
        assert tab.page.locator("#trigger").is_enabled()


def test_the_page_comes_back_with_the_next_run(browser: Any, tmp_path: Path) -> None:
    session = FakeSession(tmp_path)
    with browser.new_context(viewport=DESK) as there:
        tab = Tab(there.new_page())
        with serve(session, "127.0.0.1:0", log=lambda _: None) as page:
            tab.page.goto(page.url)
            tab.waits_for("#source-pill", "Live")
        tab.waits_for("#alerts", "This run is over.")
        assert tab.complaints == []
        session.add_dive(66.6)
        with serve(session, urlsplit(page.url).netloc, log=lambda _: None):
            tab.waits_for("#dive .points", "66.6")
            tab.waits_for("#source-pill", "Live")
            tab.until("document.getElementById('picture').naturalWidth === 320")


def test_logging_in(browser: Any, locked: Served) -> None:
    with opened(browser, locked.page.url) as tab:
        assert urlsplit(tab.page.url).path == "/login"
        tab.page.get_by_label("Token").fill("not-the-right-one")
        tab.press("Open the page")
        tab.waits_for("#help", "This is not the token")
        tab.complaints.clear()  # Chromium reports the answer's 403
        tab.page.get_by_label("Token").fill(TOKEN)
        tab.press("Open the page")
        tab.waits_for("#source-pill", "Live")
        assert tab.page.url == locked.page.url
        assert tab.page.evaluate("document.cookie") == ""
        tab.press("Skip", "#now")
        tab.waits_for("#now-entry", "Bo Sample")


def test_a_link_with_the_token(browser: Any, locked: Served) -> None:
    with opened(browser, f"{locked.page.url}?token={TOKEN}") as tab:
        tab.waits_for("#source-pill", "Live")
        assert tab.page.url == locked.page.url
        assert TOKEN not in tab.page.evaluate("JSON.stringify(performance.getEntries())")
