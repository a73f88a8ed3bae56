"""A video that stands for a stream, and sessions of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mcore_runtime.competition import Competition, Entry
from mcore_runtime.live.pipeline import LiveSettings
from mcore_runtime.live.scorer_thread import ScorerThread
from mcore_runtime.live.session import LiveSession
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.session import LiveDive, SessionStore
from mcore_runtime.sources import open_source
from tests.numbered_video import write_numbered
from tests.runtime.live.at import At

THREE = ((1.3, 2.0), (3.5, 4.2), (5.0, 6.0))
ENTRIES = (
    Entry(1, "Ada", "North", "407C", 3.4),
    Entry(2, "Bo", "South", "5253B"),
    Entry(3, "Ada", "North", "107B"),
    Entry(4, "Bo", "South", None),
)
FACTS = {"source": "v.mp4", "bundle": "tiny", "settings": {}}
PATIENCE_S = 10.0
"""Longest wait for anything on loopback; passing tests take far less."""
SETTINGS = LiveSettings(record=False)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds at 30 frames a second, 4:3."""
    return write_numbered(tmp_path_factory.mktemp("video") / "v.mp4", 240)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, from which processes find these tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]), prepend=os.pathsep)
    return tmp_path


@contextmanager
def begin(
    video: Path,
    bundle: Path,
    folder: Path | None = None,
    *,
    dives: tuple[tuple[float, float], ...] = THREE,
    entries: tuple[Entry, ...] = (),
    dive_number: str | None = None,
    settings: LiveSettings = SETTINGS,
    spoil: Callable[[Scorer], None] | None = None,
    **others: Any,
) -> Iterator[LiveSession]:
    """A session that goes on where there is one; it has not run yet."""

    def open_scorer() -> Scorer:
        scorer = Scorer(bundle, backend="onnxruntime", threads=1)
        if spoil is not None:
            spoil(scorer)
        return scorer

    store = None
    if folder is not None:
        there = (folder / "session.sqlite").exists()
        store = SessionStore.open(folder) if there else SessionStore.create(folder, FACTS)
    try:
        with (
            ScorerThread(open_scorer, first_delay_s=0.05) as thread,
            open_source(str(video)) as source,
            LiveSession(
                source, thread, settings, store=store, competition=Competition.begin(entries), dive_number=dive_number,
                detector=At(*dives), **others,
            ) as session,
        ):  # fmt: skip
            yield session
    finally:
        assert store is None or store.close() is None


def rows(session: LiveSession, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in session.snapshot()["dives"]]


def current(session: LiveSession) -> int | None:
    entry = session.snapshot()["current"]
    return None if entry is None else entry["order"]


def dive_of(session: LiveSession, number: int) -> LiveDive:
    dive = session.dive(number)
    assert dive is not None
    return dive


def result_of(session: LiveSession, number: int) -> DiveScore:
    result = dive_of(session, number).result
    assert result is not None
    return result
