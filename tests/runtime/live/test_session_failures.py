"""Failures that must not end a session: of the scorer, the folder and the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore_runtime.detector.base import USUAL_FLIGHT_S
from mcore_runtime.live.pipeline import LiveSettings
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.session import DiveStatus, SessionStore, read_session
from tests.runtime.live.conftest import ENTRIES, PATIENCE_S, THREE, begin, dive_of, result_of, rows


def fails_at(*calls: int) -> Callable[[Scorer], None]:
    """Break the regressor at these calls, counted over all scorers that are opened."""
    count = iter(range(1, 100))

    def spoil(scorer: Scorer) -> None:
        regressor = scorer.backend.regressor

        def failing(*inputs: NDArray[np.float32]) -> object:
            if next(count) in calls:
                raise RuntimeError("the device is gone")
            return regressor(*inputs)

        scorer.backend.regressor = failing  # type: ignore[method-assign, assignment]

    return spoil


def test_a_scorer_that_fails_costs_one_dive_which_can_be_scored_again(
    video: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", entries=ENTRIES, spoil=fails_at(2)) as session:
        summary = session.run()
        assert rows(session, "status", "order") == [("scored", 1), ("failed", 2), ("scored", 3)]
        assert (summary.scored, summary.failed) == (2, 1)
        assert "the device is gone" in dive_of(session, 2).reasons[0]
        session.command("rescore", number=2)
        session.drain()
        again, score = dive_of(session, 2), result_of(session, 2).score
    assert (again.status, again.reasons, again.order) == (DiveStatus.SCORED, (), 2)
    with Scorer(tiny_bundle, backend="onnxruntime", threads=1) as scorer:
        reference = scorer.score(video, "5253B", start_s=4.2 - USUAL_FLIGHT_S - 1.2, end_s=4.2 + 1.5)
    assert score == reference.score
    events = [(event.kind, event.text) for event in read_session(tmp_path / "s").events]
    assert ("scorer", "RuntimeError: the device is gone") in events
    assert any(kind == "scorer" and text.startswith("open again: onnxruntime") for kind, text in events)


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
    flush, full = SessionStore.flush, [True]
    monkeypatch.setattr(SessionStore, "flush", lambda store: "the disk is full" if full[0] else flush(store))
    with begin(video, tiny_bundle, tmp_path / "s", dives=THREE[:1]) as session:
        session.run()
        assert rows(session, "status") == [("scored",)]
        assert session.snapshot()["session"]["problem"] == "the disk is full"
        with pytest.raises(UserError, match="not on the disk: the disk is full"):
            session.command("set_dive", dive_number="407C")
        full[0] = False
        session.command("void", number=1)
        assert session.snapshot()["session"]["problem"] is None


def test_a_store_that_breaks_is_shown_and_ends_nothing(
    video: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = SessionStore.save

    def broken(store: SessionStore, **named: Any) -> str | None:
        if any(dive.number == 1 for dive in named.get("dives", ())):
            raise KeyError("a fault of ours")
        return save(store, **named)

    monkeypatch.setattr(SessionStore, "save", broken)
    with begin(video, tiny_bundle, tmp_path / "s", dives=THREE[:2]) as session:
        session.run()
        assert rows(session, "status") == [("scored",), ("scored",)]


def test_a_slow_disk_slows_neither_the_stream_nor_the_scorer(
    video: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes nothing until the source has ended and all dives are scored; then all of it."""
    save, go_on, scored = SessionStore.save, threading.Event(), threading.Semaphore(0)

    def slow(store: SessionStore, **named: Any) -> str | None:
        assert go_on.wait(PATIENCE_S)
        return save(store, **named)

    def count(scorer: Scorer) -> None:
        regressor = scorer.backend.regressor

        def counting(*inputs: NDArray[np.float32]) -> object:
            scored.release()
            return regressor(*inputs)

        scorer.backend.regressor = counting  # type: ignore[method-assign, assignment]

    with begin(video, tiny_bundle, tmp_path / "s", spoil=count) as session:
        monkeypatch.setattr(SessionStore, "save", slow)
        thread = threading.Thread(target=session.run)
        thread.start()
        assert all(scored.acquire(timeout=PATIENCE_S) for _ in range(3))
        assert session.snapshot()["dives"] == [], "what is not on the disk is not shown"
        go_on.set()
        thread.join()
        assert [row["status"] for row in session.snapshot()["dives"]] == ["scored"] * 3
