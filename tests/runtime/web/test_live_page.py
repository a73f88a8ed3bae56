"""A whole rendered meet, watched in a browser: camera, detector, engine, disk and page are the real ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mcore_runtime.competition import Competition, Entry
from mcore_runtime.live.pipeline import LiveSettings
from mcore_runtime.live.scorer_thread import ScorerThread
from mcore_runtime.live.session import LiveSession
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.session import SessionStore
from mcore_runtime.sources import open_source
from mcore_runtime.web import serve
from mcore_runtime.web.protocols import Session
from tests.runtime.web.conftest import TIMEOUT_S, opened

pytest.importorskip("starlette", reason="the page's packages are not installed (extra: web)")

DIVES = 3
MEET = f"synthetic://meet?seed=5&dives={DIVES}&pause=0&numbers=407C&distractors=none&pace=fast"


@contextmanager
def running(bundle: Path, folder: Path) -> Iterator[tuple[LiveSession, threading.Event]]:
    """A session whose meet begins when the event is set, and whose page stays when it is over."""
    entries = [Entry(i + 1, f"Athlete {i + 1}", "Club", "407C", 3.4, 1) for i in range(DIVES + 1)]
    begin = threading.Event()

    def run() -> None:
        begin.wait()
        session.run()

    with (
        ScorerThread(lambda: Scorer(bundle, "onnxruntime", threads=1)) as engine,
        SessionStore.create(folder, {"source": "meet", "bundle": "tiny", "settings": {}}) as store,
        open_source(MEET) as source,
        LiveSession(source, engine, LiveSettings(), store=store, competition=Competition.begin(entries)) as session,
    ):
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield session, begin
        finally:
            begin.set()
            session.stop()
            thread.join()


def test_a_meet_is_watched_and_its_results_are_worked_with(browser: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    with running(tiny_bundle, tmp_path / "meet") as (session, begin):
        page: Session = session  # the page's own idea of a session, checked by mypy
        with serve(page, "127.0.0.1:0", log=lambda _: None) as served, opened(browser, served.url) as tab:
            tab.waits_for("#now-entry", "Athlete 1")
            tab.waits_for("#dive", "No dive yet")
            begin.set()
            tab.page.set_default_timeout(6 * TIMEOUT_S * 1000)
            tab.page.locator(".chip.scored").nth(DIVES - 1).wait_for()
            tab.until("document.getElementById('picture').naturalWidth === 320")
            assert [row["status"] for row in session.snapshot()["dives"]] == ["scored"] * DIVES
            tab.waits_for("#dive h2", f"Athlete {DIVES}")
            tab.waits_for("#now-entry", f"Athlete {DIVES + 1}")
            assert tab.page.locator("#ranking tbody tr").count() == DIVES
            shown = float(tab.page.locator("#dive .points").inner_text())
            record = session.dive(DIVES)
            assert record is not None
            assert record.result is not None
            assert shown == pytest.approx(record.result.score, abs=0.05)

            tab.page.locator(".strip img").nth(7).wait_for()  # eight frames are all that this network takes
            tab.until("[...document.querySelectorAll('.strip img')].every((image) => image.naturalWidth > 0)")
            tab.press("Play video")
            tab.until("document.querySelector('video').duration > 2")
            tab.press("Close", "#video-dialog")

            tab.press("Void", "#dive")
            tab.waits_for("#dive .badge", "void")
            tab.waits_for("#now-entry", f"Athlete {DIVES}")
            assert tab.page.locator("#ranking tbody tr").count() == DIVES - 1
            tab.press("Restore", "#dive")
            tab.waits_for("#now-entry", f"Athlete {DIVES + 1}")
            tab.press("Give to…", "#dive")
            tab.page.locator("#assign-dialog select").select_option(str(DIVES + 1))
            tab.press("Save", "#assign-dialog")
            tab.waits_for("#dive h2", f"Athlete {DIVES + 1}")
            before = session.dive(DIVES)
            tab.press("Score again", "#dive")
            tab.waits_for("#toast", "scored again")
            session.drain()
            after = session.dive(DIVES)
            assert before is not None
            assert after is not None
            assert after.score == before.score
            assert after.created != before.created
            tab.waits_for("#dive .points", f"{shown:.1f}")
            tab.waits_for("#alerts", "The source is over.")
    with SessionStore.open(tmp_path / "meet") as store:
        assert [record.athlete for record in store.dives()] == ["Athlete 1", "Athlete 2", f"Athlete {DIVES + 1}"]
