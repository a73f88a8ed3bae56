"""An operator in a headless browser, who reads the live page and works the labelling page by keys."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from tools.user_commands import StepFailedError

_SCORED_S = 300.0
"""Longest wait until the last dive is scored."""
_PAGE_MS = 30_000
_ROUNDED = 0.051
"""A number on the live page has one digit after the point."""


def wait_until_scored(page: str) -> None:
    """Wait until the film is over and all its dives are scored.

    Raises:
        StepFailedError: it takes too long, or nobody answers.
    """
    end_s = time.monotonic() + _SCORED_S
    while time.monotonic() < end_s:
        snapshot = _snapshot(page)
        is_busy = snapshot["health"]["queue"] or any(dive["status"] == "scoring" for dive in snapshot["dives"])
        if snapshot["source"]["state"] == "ended" and not is_busy:
            return
        time.sleep(0.5)
    raise StepFailedError(f"the last dive has no score after {_SCORED_S:.0f} s")


def read_live_page(tab: Any, page: str) -> str:
    """Compare what stands on the live page with what the program says; returns what was seen.

    Raises:
        StepFailedError: a score, points or awards of the judges are not there, or are others.
    """
    snapshot = _snapshot(page)
    rows = {row["number"]: row for row in snapshot["dives"]}
    judged = {
        entry["order"]: row
        for entry in snapshot["start_list"]
        if (row := rows.get(entry["dive"])) is not None and row["judges"] is not None
    }
    if not judged:
        raise StepFailedError("no dive has a result of the judges: neither is there one on the page")
    scores = 0
    for order, row in judged.items():
        line = tab.locator(f'#start-body li[data-order="{order}"] .result')
        line.get_by_text("judges").wait_for(timeout=_PAGE_MS)
        words = line.inner_text().replace("judges", " ").split()
        _same(words[-1], row["judges"]["points"], f"the judges' points of dive {row['number']}")
        if row["status"] == "scored":
            _same(words[0], row["score"], f"the score of dive {row['number']}")
            scores += 1
    last = list(judged.values())[-1]
    tab.locator(f'#dives [data-key="dive-{last["number"]}"]').click()
    awards = tab.locator("#dive .awards li span")
    awards.first.wait_for(timeout=_PAGE_MS)
    shown = awards.all_inner_texts()
    if shown != [f"{award:g}" for award in last["judges"]["awards"]]:
        raise StepFailedError(f"the page shows the awards {' '.join(shown)} for dive {last['number']}")
    return f"on the page {len(judged)} results of judges, {scores} with a score beside them"


def label_by_keys(tab: Any, moments: Mapping[str, tuple[int, int] | None]) -> int:
    """Label all clips that nobody has finished yet; returns how many became dives.

    Args:
        tab: with the labelling page.
        moments: frames of take-off and entry by the clip's name; None: no dive.

    Raises:
        StepFailedError: the page does not go on.
    """
    tab.get_by_text("labelled").first.wait_for(timeout=_PAGE_MS)
    dives = 0
    left = sum("open" in button.get_attribute("class") for button in tab.locator("#clips button").all())
    for place in range(1, left + 1):
        name = tab.locator("#name").inner_text()
        done = _done(tab)
        key = _look(tab, moments[name])
        tab.keyboard.press(key)
        end_s = time.monotonic() + _PAGE_MS / 1000
        while _done(tab) == done or (place < left and tab.locator("#name").inner_text() == name):
            if time.monotonic() > end_s:
                raise StepFailedError(f"the labelling page did not finish {name}")
            time.sleep(0.05)
        dives += key == "Enter"
    return dives


def _look(tab: Any, frames: tuple[int, int] | None) -> str:
    """Mark a clip's moments; returns the key that finishes it."""
    if frames is None:
        return "x"
    for frame, moment in zip(frames, ("takeoff", "entry"), strict=True):
        tab.keyboard.press("Home")
        for key, times in (("Shift+ArrowRight", frame // 10), ("ArrowRight", frame % 10)):
            for _ in range(times):
                tab.keyboard.press(key)
        tab.keyboard.press(moment[0])
        tab.locator(f"#{moment}", has_text=f"frame {frame},").wait_for(timeout=_PAGE_MS)
    # A dive that cannot be a line of the list, because the meet gave it no awards, is of no use.
    return "b" if tab.locator("#remarks .remark:not(.warn)").count() else "Enter"


def _done(tab: Any) -> int:
    """Clips that are finished, as ``3 of 40 labelled`` says."""
    return int(tab.locator("#progress").inner_text().split()[0])


def _snapshot(page: str) -> Any:
    try:
        with urllib.request.urlopen(f"{page}api/snapshot", timeout=_PAGE_MS / 1000) as answer:
            return json.loads(answer.read())
    except OSError as error:
        raise StepFailedError(f"{page} does not answer: {error}") from error


def _same(shown: str, value: float, what: str) -> None:
    try:
        is_same = abs(float(shown) - value) < _ROUNDED
    except ValueError:
        is_same = False
    if not is_same:
        raise StepFailedError(f"{what}: the page shows {shown!r}, the program says {value:.2f}")
