"""The page in a real browser: watched, read out, pressed, cut off, and asked whom else it talks to."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mcore_runtime.web import serve
from tests.runtime.web.conftest import TOKEN, Served
from tests.runtime.web.fake_session import ENTRIES, FakeSession, write_video

CHROMIUM = os.environ.get("MCORE_CHROMIUM", "chromium")
PATIENCE_MS = 8000
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
EVIL = '<img src="x" onerror="window.evil = 1"><script>window.evil = 1</script>'
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
LEAST_CONTRAST, LEAST_LARGE_CONTRAST = 4.5, 3.0
"""WCAG 2 AA; large: from 24 px, or 18.7 px in bold."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Python's playwright is not installed")
    path = shutil.which(CHROMIUM)
    if path is None:
        pytest.skip("no Chromium here (set MCORE_CHROMIUM to its command)")
    with sync_api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


class Tab:
    """An open page, and everything it complained of or asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda line: self.hosts.add(urlsplit(line.url).netloc))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def waits_for(self, selector: str, text: str | re.Pattern[str]) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator(selector).first).to_contain_text(text, timeout=PATIENCE_MS)

    def until(self, script: str) -> None:
        """Wait for a condition; the page's policy forbids the way in which the browser's driver would."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not self.page.evaluate(script):
            assert time.monotonic() < deadline, script
            self.page.wait_for_timeout(50)

    def press(self, name: str, within: str = "body") -> None:
        self.page.locator(within).get_by_role("button", name=name, exact=True).click()


@contextmanager
def opened(browser: Any, url: str, viewport: dict[str, int] | None = None, **context: Any) -> Iterator[Tab]:
    """Open a page; at its end it must have complained of nothing and talked to nobody but its server."""
    with browser.new_context(viewport=viewport or DESK, **context) as there:
        tab = Tab(there.new_page())
        tab.page.goto(url)
        yield tab
        assert tab.complaints == []
        assert tab.hosts == {urlsplit(url).netloc}


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
        tab.waits_for("#dive .spread-text", "exemplars disagree by 4.9 points: 68.5 to 73.4")
        tab.waits_for("#dive", "not a calibrated interval")
        tab.waits_for("#announcer", "Ada Example, forward 3 1/2 somersaults pike: 71.2 points")
        tab.waits_for("#now-entry", "Bo Sample")
        tab.waits_for("#ranking", "Ada Example")
        tab.waits_for(".exemplars tbody tr", re.compile(r"0000\s*67.5\s*−0.3\s*67.2"))
        tab.waits_for(".stages", re.compile(r"Take-off.*−0.8.*Flight.*\+1.5.*Entry.*\+0.8.*This dive.*71.2", re.S))
        tab.until("[...document.querySelectorAll('.strip img')].every((image) => image.naturalWidth === 200)")
        assert tab.page.locator(".strip figure").count() == 12
        assert tab.page.locator(".strip .begins").all_inner_texts() == ["Flight 1.20 s", "Entry 2.60 s"]
        assert tab.page.title() == "71.2 Ada Example · MCoRe live"
        served.session.add_dive(60.05, interval_level=0.8)
        tab.waits_for("#dive .spread-text", "80 % interval: 57.3 to 62.2")
        tab.waits_for("#dive", "Calibrated: it holds the judges' score for 80 % of dives")
        served.session.show_frame(7, 200)
        tab.waits_for("#health", "0.2 %")


def test_a_dive_is_seen_beside_its_closest_exemplar(browser: Any, served: Served) -> None:
    served.session.add_dive(71.2)
    with opened(browser, served.page.url) as tab:
        tab.waits_for(".beside figure:first-child", re.compile(r"This dive\s*71.2\s*2.50 s"))  # first the entry
        tab.waits_for(".beside figure:last-child", re.compile(r"Exemplar\s*67.5\s*2.00 s"))
        slider = tab.page.get_by_role("slider", name="Moment of the dive")
        assert slider.get_attribute("aria-valuetext") == "entry, 2.50 seconds"
        slider.focus()
        tab.page.keyboard.press("Home")
        tab.waits_for(".beside-stage", "Take-off")
        tab.waits_for(".beside figure:last-child", "0.00 s")
        tab.until("[...document.querySelectorAll('.beside img')].every((image) => image.naturalWidth === 200)")
        tab.press("Play", ".beside")
        tab.until("document.querySelector('.beside input').value > 0")
        tab.press("Pause", ".beside")
        paused = slider.input_value()
        tab.page.wait_for_timeout(600)
        assert slider.input_value() == paused
        served.session.add_dive(60.0)  # the next dive begins at its own entry
        tab.waits_for(".beside figure:first-child", re.compile(r"60.0\s*2.50 s"))
    served.session.has_exemplars = False
    with opened(browser, served.page.url) as tab:
        tab.waits_for("#dive .points", "60.0")
        tab.waits_for(".strip figcaption b", "flight")
        assert tab.page.locator(".beside").count() == 0


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


def test_names_are_texts(browser: Any, served: Served) -> None:
    served.session.competition.edit(1, {"athlete": EVIL[:80], "club": EVIL[-60:]})
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
            ("trigger", {}),
            ("skip", {}),
            ("back", {}),
            ("go_to", {"order": 3}),
            ("void", {"number": 1}),
            ("restore", {"number": 1}),
            ("rescore", {"number": 1}),
            ("assign", {"number": 1, "order": 2}),
        ]


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
        assert served.session.commands[-1][0] == "edit"
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
        assert served.session.commands == [("stop", {})]


def test_without_a_start_list_the_number_is_set_here(browser: Any, tmp_path: Path) -> None:
    session = FakeSession(tmp_path, ())
    with serve(session, "127.0.0.1:0", say=lambda _: None) as page, opened(browser, page.url) as tab:
        tab.waits_for("#now-entry", "Dive number unknown")
        tab.page.get_by_label("Dive number").first.fill("407C")
        tab.page.keyboard.press("Enter")
        tab.waits_for("#now-entry", "407C inward 3½ somersaults tuck")
        assert not tab.page.locator("#start-list").is_visible()
        tab.page.get_by_label("Dive number").first.fill("")
        tab.page.keyboard.press("Enter")
        tab.waits_for("#now-entry", "Dive number unknown")
        assert session.commands == [("set_dive", {"dive_number": "407C"}), ("set_dive", {"dive_number": None})]


def test_a_video_is_played_from_where_a_stage_begins(browser: Any, served: Served, tmp_path: Path) -> None:
    served.session.add_dive()
    served.session.records[1]["recording"] = "clips/dive-0001.mp4"
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
        (session.state, {"problem": "the engine failed: no GPU"}, "The engine failed. The engine failed: no GPU."),
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
        with serve(session, "127.0.0.1:0", say=lambda _: None) as page:
            tab.page.goto(page.url)
            tab.waits_for("#source-pill", "Live")
        tab.waits_for("#alerts", "This run is over.")
        assert tab.complaints == []
        session.add_dive(66.6)
        with serve(session, urlsplit(page.url).netloc, say=lambda _: None):
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


@pytest.mark.parametrize("viewport", [PHONE, {"width": 320, "height": 640}])
def test_a_phone_needs_no_sideways_scrolling(browser: Any, served: Served, viewport: dict[str, int]) -> None:
    served.session.competition.edit(2, {"athlete": "Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh"})
    for score in (71.2, 64.0, 55.0):
        served.session.add_dive(score)
    with opened(browser, served.page.url, viewport, has_touch=True) as tab:
        tab.waits_for("#dive .points", "55.0")
        tab.press("Dive 2, Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh, 64.0")
        tab.waits_for("#dive .points", "64.0")
        for place in ("", "#big"):
            tab.page.evaluate("(place) => { location.hash = place; }", place)
            assert tab.page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        tab.page.evaluate("location.hash = ''")
        small = tab.page.locator("button:visible").evaluate_all(
            "(buttons) => buttons.map((b) => [b.textContent, b.getBoundingClientRect()])"
            ".filter(([, box]) => box.height < 30 || box.width < 30).map(([text]) => text)"
        )
        assert small == []


def test_the_big_screen_is_read_from_afar(browser: Any, served: Served) -> None:
    served.session.add_dive(71.2)
    with opened(browser, served.page.url) as tab:
        tab.press("Big screen")
        tab.waits_for("#big", "Ada Example")
        height = tab.page.locator(".big-points").evaluate("(p) => parseFloat(getComputedStyle(p).fontSize)")
        assert height > 0.3 * DESK["height"]
        assert not tab.page.locator("#trigger").is_visible()
        served.session.add_dive(88.8)
        tab.waits_for(".big-points", "88.8")
        tab.waits_for(".big-next", "Cléo <b>Třída</b>")
        served.session.state["problem"] = "disk full"
        tab.waits_for("#alerts", "Results are not on the disk")
        assert tab.page.evaluate("document.documentElement.scrollHeight") <= DESK["height"] + 60  # the alert
        tab.page.keyboard.press("Escape")
        assert tab.page.locator("#trigger").is_visible()
        assert tab.page.url == served.page.url


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("place", ["", "#big"])
def test_every_text_has_contrast(browser: Any, served: Served, scheme: str, place: str) -> None:
    served.session.add_dive()
    served.session.add_dive(status="invalid", reasons=("a gap",))
    served.session.competition.skip()
    served.session.add_dive(64.0)
    served.session.records[3]["result"]["same_dive_number"] = False
    served.session.state.update(problem="disk full", detector="dive seen")
    served.session.health.update(disk_free_mb=1500.0)
    with opened(browser, served.page.url + place, color_scheme=scheme) as tab:
        tab.waits_for("#alerts", "nearly full")
        tab.waits_for("#dive", "Closest exemplars") if place == "" else tab.waits_for("#big", "64.0")
        tab.page.evaluate("document.getAnimations().forEach((animation) => animation.cancel())")
        faint = tab.page.evaluate(CONTRAST, [LEAST_CONTRAST, LEAST_LARGE_CONTRAST])
        assert faint == []


def test_the_colours_are_chosen_and_remembered(browser: Any, served: Served) -> None:
    with opened(browser, served.page.url, color_scheme="light") as tab:
        colour = "getComputedStyle(document.body).backgroundColor"
        light = tab.page.evaluate(colour)
        tab.press("Colours: Auto")
        dark = tab.page.evaluate(colour)
        assert dark != light
        tab.page.reload()
        tab.waits_for("#source-pill", "Live")
        assert tab.page.evaluate(colour) == dark
        tab.press("Colours: Dark")
        assert tab.page.evaluate(colour) == light


def test_keyboard_and_screen_readers(browser: Any, served: Served) -> None:
    served.session.add_dive()
    with opened(browser, served.page.url) as tab:
        tab.waits_for("#dive .points", "71.2")
        edit = tab.page.get_by_role("button", name="Edit entry 4, Ada Example", exact=True)
        edit.focus()
        served.session.add_dive(64.0)  # the list is built anew
        tab.waits_for("#dive .points", "64.0")
        assert edit.evaluate("(button) => button === document.activeElement")
        tab.page.keyboard.press("Enter")
        assert tab.page.locator("#edit-dialog").is_visible()
        assert tab.page.get_by_label("Athlete").evaluate("(input) => input === document.activeElement")
        tab.page.keyboard.press("Escape")
        assert not tab.page.locator("#edit-dialog").is_visible()
        assert edit.evaluate("(button) => button === document.activeElement")
        tab.page.reload()
        tab.waits_for("#dive .points", "64.0")
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate("document.activeElement.textContent") == "Go to the last dive"
        unnamed = tab.page.evaluate(
            "[...document.querySelectorAll('button, input, select, img, svg[role=img], section')].filter((e) => !("
            "e.ariaLabel || e.getAttribute('aria-labelledby') || e.textContent.trim() || e.labels?.length"
            " || e.hasAttribute('alt'))).map((e) => e.outerHTML)"
        )
        assert unnamed == []
        ids = tab.page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(set(ids)) == len(ids)


def test_nothing_moves_for_those_who_do_not_want_it(browser: Any, served: Served) -> None:
    served.session.state["detector"] = "scoring"
    with opened(browser, served.page.url, reduced_motion="reduce") as tab:
        tab.waits_for("#detector-pill", "Scoring")
        served.session.add_dive()
        tab.waits_for("#dive .points", "71.2")
        assert tab.page.evaluate("document.getAnimations().length") == 0


def test_a_long_start_list_shows_whose_turn_it_is(browser: Any, tmp_path: Path) -> None:
    entries = tuple(replace(ENTRIES[i % 3], order=i + 1, athlete=f"Athlete {i + 1}") for i in range(60))
    session = FakeSession(tmp_path, entries)
    session.competition.go_to(45)
    with serve(session, "127.0.0.1:0", say=lambda _: None) as page, opened(browser, page.url) as tab:
        tab.waits_for("#now-entry", "45 of 60")
        from playwright.sync_api import expect

        expect(tab.page.locator("#start-list .current")).to_be_in_viewport()
        assert tab.page.evaluate("document.documentElement.scrollHeight") == DESK["height"]
