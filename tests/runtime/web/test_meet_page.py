"""The page at a meet: announced, held back, judged, compared; and what an operator is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcore_runtime.live.commands import Reveal, TrustSender
from mcore_runtime.meet.feed import FeedStatus
from mcore_runtime.meet.follow import hear
from mcore_runtime.meet.message import RefereeMessage
from mcore_runtime.meet.record import MeetProgress, result_of
from tests.runtime.meet.made import announced, judged
from tests.runtime.web.conftest import Served, opened

NOW = "2026-12-01T10:00:00.000+00:00"
EVIL = '<img src="x" onerror="window.evil = 1">'


def tell(served: Served, message: RefereeMessage, sender: str = "10.0.0.1") -> None:
    session = served.session
    heard = hear(session.meet or MeetProgress(), session.competition, message, sender, NOW)
    session.meet, session.competition = heard.meet, heard.competition
    session.changed()


def test_the_overlay_says_what_may_be_shown(browser: Any, served: Served) -> None:
    session = served.session
    with opened(browser, served.page.url + "overlay") as tab:
        tab.waits_for("#overlay .athlete", "Ada Example")
        assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgba(0, 0, 0, 0)"
        session.meet = MeetProgress(leads=True)
        number = session.add_dive(61.0)
        session.alter(number, held=True)
        session.changed()
        tab.waits_for("#overlay .wait", "Waiting for the judges")
        session.alter(number, held=False, judges=result_of(judged(points=56.7), NOW))
        session.changed()
        tab.waits_for("#overlay .interval", "58.3 to 63.1")
        tab.waits_for("#overlay .award", "award ")
        tab.waits_for("#overlay .scores", "56.7")
        tab.waits_for("#overlay .stage2", "+0.8")
        assert tab.page.locator("#overlay .stage1").count() == 0  # a share that is not to be trusted


def test_network_and_judges(browser: Any, served: Served) -> None:
    session = served.session
    session.meet = MeetProgress()
    session.meet_feed = FeedStatus("diverecorder://0.0.0.0:58091?event=A", "A", other_event=3)
    with opened(browser, served.page.url) as tab:
        tab.waits_for("#alerts", "Nothing was heard from the meet yet.")
        tab.waits_for("#alerts", "Only the other event is sent")
        session.meet_feed = replace(session.meet_feed, last_heard=NOW)
        ada = announced("Ada Example", event_name=EVIL, dive_number="405C", difficulty=2.7)
        tell(served, ada)
        tab.waits_for("#now-title", "Announced by the meet")
        tab.waits_for("#now-entry", "405C")
        tab.waits_for("#now-entry", "The start list says 107B")
        number = session.add_dive(61.0)
        session.alter(number, held=True)
        session.changed()
        tab.waits_for("#dive .score.held", "held back until the judges' awards are in")
        assert "61.0" not in tab.page.locator("body").inner_text()
        tab.press("Show score")
        tab.until("document.getElementById('toast').textContent.includes('is shown')")
        assert Reveal(number) in session.commands
        tell(served, judged(ada, 56.7))
        result = result_of(judged(ada, 56.7, rank=1), NOW)
        session.alter(number, held=False, judges=result)
        session.changed()
        tab.waits_for("#dive .by-judges", "56.7")
        tab.waits_for("#dive .judges", "network +4.3 · rank 1")
        assert tab.page.locator("#dive .awards .cancelled").count() == 4
        tab.waits_for("#meet", "Mean absolute error")
        tab.waits_for("#meet .meet-event", EVIL)
        tell(served, announced("Bo Sample"))
        tell(served, judged(announced("Bo Sample")))
        tab.waits_for("#alerts", "A result is nobody's.")
        tell(served, ada, sender="10.0.0.9")
        tab.press("Believe it instead")
        tab.until("document.getElementById('toast').textContent.includes('is believed now')")
        assert TrustSender("10.0.0.9") in session.commands
        tab.page.evaluate("location.hash = 'big'")
        tab.waits_for("#big .big-judges", "Judges: 56.70")
        assert tab.page.evaluate("window.evil") is None
