"""What may break without ending a session: the power, the engine, the folder and the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.video import SampledClip
from mcore_runtime.live.pipeline import LiveSettings
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.session import SessionStore, read_session
from tests.runtime.live.conftest import ENTRIES, FACTS, PATIENCE_S, THREE, begin, current, rows


def fails_at(*calls: int) -> Callable[[Scorer], None]:
    """Break the regressor at these calls, counted over all engines that are opened."""
    count = iter(range(1, 100))

    def spoil(scorer: Scorer) -> None:
        regressor = scorer.backend.regressor

        def failing(*inputs: NDArray[np.float32]) -> object:
            if next(count) in calls:
                raise RuntimeError("the device is gone")
            return regressor(*inputs)

        scorer.backend.regressor = failing  # type: ignore[method-assign, assignment]

    return spoil


def test_a_dive_that_was_being_scored_at_a_power_cut_is_not_forgotten(
    video: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    with begin(video, tiny_bundle, folder, entries=ENTRIES, dives=THREE[:1]) as session:
        session.run()
        state = read_session(folder).state["competition"]
        record = session.dive(1)
    with SessionStore.create(tmp_path / "cut", FACTS) as store:
        assert record is not None
        store.save_state("competition", {**state, "scoring": [{**record, "status": "scoring", "result": None}]})
    with begin(video, tiny_bundle, tmp_path / "cut", dives=()) as session:
        assert rows(session, "number", "status", "athlete") == [(1, "failed", "Ada")]
        assert "the program ended while it was being scored" in session.snapshot()["dives"][0]["reasons"][0]
        assert current(session) == 2
        with pytest.raises(UserError, match="no frames"):
            session.command("rescore", number=1)
    assert [dive["status"] for dive in read_session(tmp_path / "cut").dives] == ["failed"]


def test_an_engine_that_fails_costs_one_dive_which_can_be_scored_again(
    video: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", entries=ENTRIES, spoil=fails_at(2)) as session:
        summary = session.run()
        assert rows(session, "status", "order") == [("scored", 1), ("failed", 2), ("scored", 3)]
        assert (summary.scored, summary.failed) == (2, 1)
        assert "the device is gone" in (session.dive(2) or {})["reasons"][0]
        session.command("rescore", number=2)
        session.drain()
        again = session.dive(2) or {}
    assert (again["status"], again["reasons"], again["order"]) == ("scored", [], 2)
    with Scorer(tiny_bundle, backend="onnxruntime", threads=1) as scorer:
        reference = scorer.score(video, "5253B", start_s=3.5 - 1.2, end_s=4.2 + 1.5)
    assert again["result"]["score"] == reference.score
    events = [(event.kind, event.text) for event in read_session(tmp_path / "s").events]
    assert ("engine", "RuntimeError: the device is gone") in events
    assert any(kind == "engine" and text.startswith("open again: onnxruntime") for kind, text in events)


def test_a_rescore_that_fails_leaves_the_score_there_was(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", dives=THREE[:1], spoil=fails_at(2)) as session:
        session.run()
        before = session.dive(1)
        session.command("rescore", number=1)
        session.drain()
        assert session.dive(1) == before
        assert rows(session, "status") == [("scored",)]


def test_a_folder_that_cannot_be_written_costs_the_video_and_not_the_score(
    video: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "clips").touch()
    with begin(video, tiny_bundle, tmp_path / "s", dives=((2.0, 3.5),), settings=LiveSettings()) as session:
        session.run()
        assert rows(session, "status", "has_clip") == [("scored", False)]
        assert "no video was kept" in session.snapshot()["dives"][0]["notes"][0]
        assert session.clip_path(1) is None


def test_a_full_disk_is_shown_and_forgotten_once_there_is_room(
    video: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = SessionStore.save_dive
    full = [True]

    def limited(store: SessionStore, record: Any, clip: SampledClip | None = None) -> str | None:
        return "the disk is full" if full[0] else save(store, record, clip)

    monkeypatch.setattr(SessionStore, "save_dive", limited)
    monkeypatch.setattr(SessionStore, "save_state", lambda *_: "the disk is full" if full[0] else None)
    with begin(video, tiny_bundle, tmp_path / "s", dives=THREE[:1]) as session:
        session.run()
        assert rows(session, "status") == [("scored",)]
        assert session.snapshot()["session"]["problem"] == "the disk is full"
        full[0] = False
        session.command("void", number=1)
        assert session.snapshot()["session"]["problem"] is None


def test_a_store_that_breaks_is_shown_and_ends_nothing(
    video: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))
    save = SessionStore.save_dive

    def broken(store: SessionStore, record: Any, clip: SampledClip | None = None) -> str | None:
        if next(calls) == 0:
            raise KeyError("a fault of ours")
        return save(store, record, clip)

    monkeypatch.setattr(SessionStore, "save_dive", broken)
    with begin(video, tiny_bundle, tmp_path / "s", dives=THREE[:2]) as session:
        session.run()
        assert rows(session, "status") == [("scored",), ("scored",)]


def test_a_slow_disk_does_not_slow_the_stream(
    video: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight seconds of video are watched in one, while the disk takes almost as long for every dive."""
    save = SessionStore.save_dive

    def slow(store: SessionStore, record: Any, clip: SampledClip | None = None) -> str | None:
        time.sleep(0.4)
        return save(store, record, clip)

    monkeypatch.setattr(SessionStore, "save_dive", slow)
    with begin(video, tiny_bundle, tmp_path / "s") as session:
        with session.subscribe() as news:
            began_s = time.monotonic()
            thread = threading.Thread(target=session.run)
            thread.start()
            while (event := news.get(PATIENCE_S)) is not None:
                if event["type"] == "source" and event["source"]["state"] == "ended":
                    break
        watched_s = time.monotonic() - began_s
        thread.join()
        took_s = time.monotonic() - began_s
        assert [row["status"] for row in session.snapshot()["dives"]] == ["scored"] * 3
    assert took_s > watched_s + 0.4
