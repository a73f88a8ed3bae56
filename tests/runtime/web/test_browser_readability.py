"""The page for everybody: on a phone, from afar, in dark and light, by keyboard, read out, and without motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcore_runtime.web import serve
from tests.runtime.web.conftest import DESK, Served, opened
from tests.runtime.web.fake_session import ENTRIES, FakeSession

PHONE = {"width": 390, "height": 844}
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
LEAST_CONTRAST, LEAST_LARGE_CONTRAST = 4.5, 3.0
"""WCAG 2 AA; large: from 24 px, or 18.7 px in bold."""


@pytest.mark.parametrize("viewport", [PHONE, {"width": 320, "height": 640}])
def test_a_phone_needs_no_sideways_scrolling(browser: Any, served: Served, viewport: dict[str, int]) -> None:
    longest = {"athlete": "Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh"}
    served.session.competition = served.session.competition.edit(2, longest)
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
    served.session.competition = served.session.competition.skip()
    served.session.add_dive(64.0)
    result = served.session.records[3].result
    assert result is not None
    served.session.alter(3, result=replace(result, same_dive_number=False))
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
    session.competition = session.competition.go_to(45)
    with serve(session, "127.0.0.1:0", log=lambda _: None) as page, opened(browser, page.url) as tab:
        tab.waits_for("#now-entry", "45 of 60")
        from playwright.sync_api import expect

        expect(tab.page.locator("#start-list .current")).to_be_in_viewport()
        assert tab.page.evaluate("document.documentElement.scrollHeight") == DESK["height"]
