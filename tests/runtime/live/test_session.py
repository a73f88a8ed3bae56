"""A whole session: what it shows, what it keeps, what an operator can do, and what may break without ending it."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mcore.errors import UserError
from mcore.video import SampledClip
from mcore_runtime.competition import Competition, Entry
from mcore_runtime.live.engine import EngineThread
from mcore_runtime.live.pipeline import LiveSettings
from mcore_runtime.live.session import LiveSession
from mcore_runtime.scorer import Scorer
from mcore_runtime.session import SessionStore, read_session
from mcore_runtime.sources import open_source
from tests.numbered_video import write_numbered
from tests.runtime.conftest import TOKENS
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
SETTINGS = LiveSettings(record=False)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds at 30 frames a second, 4:3."""
    return write_numbered(tmp_path_factory.mktemp("video") / "v.mp4", 240)


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
            EngineThread(open_scorer, first_delay_s=0.05) as engine,
            open_source(str(video)) as source,
            LiveSession(
                source, engine, settings, store=store, competition=Competition(entries), dive_number=dive_number,
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


def test_the_start_list_gives_dives_their_numbers_and_advances(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", entries=ENTRIES) as session:
        assert current(session) == 1
        summary = session.run()
        assert rows(session, "number", "athlete", "order", "dive_number", "same_dive_number") == [
            (1, "Ada", 1, "407C", True),
            (2, "Bo", 2, "5253B", True),
            (3, "Ada", 3, "107B", False),
        ]
        assert current(session) == 4
        snapshot = session.snapshot()
        scores = [dive["score"] for dive in snapshot["dives"]]
        by_total = sorted([("Ada", scores[0] + scores[2], 2), ("Bo", scores[1], 1)], key=lambda row: -row[1])
        ranking = [(row["athlete"], row["total"], row["dives"]) for row in snapshot["ranking"]]
        assert ranking == [(who, pytest.approx(total, abs=0.006), dives) for who, total, dives in by_total]
        assert "the bundle has no exemplars of 107B" in snapshot["dives"][2]["notes"]
    assert (summary.dives, summary.scored) == (3, 3)


def test_the_snapshot_is_plain_json_with_all_parts(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    machine = {"memory_mb": 1.0, "cpu_percent": 2.0, "disk_free_mb": 3.0}
    with begin(video, tiny_bundle, tmp_path / "s", entries=ENTRIES, read_health=lambda folder: machine) as session:
        empty = session.snapshot()
        assert json.loads(json.dumps(empty, allow_nan=False)) == empty
        assert session.picture() is None
        session.run()
        full = session.snapshot()
        picture = session.picture()
    assert json.loads(json.dumps(full, allow_nan=False)) == full
    assert full.keys() == empty.keys()
    assert full["version"] == 1
    assert full["revision"] > empty["revision"]
    assert full["session"]["name"] == "s"
    assert full["session"]["backend"] == "onnxruntime"
    assert len(full["session"]["bundle_sha256"]) == 64
    assert full["session"]["problem"] is None
    assert (full["source"]["state"], full["source"]["frames"]) == ("ended", 240)
    assert full["detector"] == {"state": "watching"}
    assert full["health"]["temperature_c"] is None
    assert full["health"]["memory_mb"] == 1.0
    assert set(full["health"]["time_to_score_ms"]) == {"p50", "p90", "p99", "max"}
    assert picture is not None
    assert picture[0] == 239
    assert picture[1].dtype == np.uint8


@pytest.mark.parametrize(("default", "number", "same"), [(None, None, False), ("5253b", "5253B", True)])
def test_without_a_start_list(
    video: Path, tiny_bundle: Path, default: str | None, number: str | None, same: bool
) -> None:
    with begin(video, tiny_bundle, dive_number=default, dives=THREE[:1]) as session:
        session.run()
        assert rows(session, "status", "dive_number", "same_dive_number", "order") == [("scored", number, same, None)]
        result = (session.dive(1) or {})["result"]
        assert len(result["exemplars"]) == (1 if same else 4)
        assert same or "less certain" in result["notes"][0]
        with pytest.raises(UserError, match="not a dive number"):
            session.command("set_dive", dive_number="99")
        session.command("set_dive", dive_number="407c")
        assert session.snapshot()["default_dive_number"] == "407C"
        session.command("set_dive", dive_number=None)
        assert session.snapshot()["default_dive_number"] is None


def test_a_session_goes_on_at_the_right_diver(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with begin(video, tiny_bundle, folder, entries=ENTRIES, dives=THREE[:2]) as session:
        session.run()
        session.command("edit", order=3, athlete="Cy")
        session.command("void", number=2)
        before = session.snapshot()
    with begin(video, tiny_bundle, folder, dives=THREE[:1]) as session:
        after = session.snapshot()
        for part in ("current", "start_list", "dives", "ranking"):
            assert after[part] == before[part]
        assert after["session"]["started"] == before["session"]["started"]
        session.run()
        assert rows(session, "number", "order", "status") == [(1, 1, "scored"), (2, 2, "void"), (3, 2, "scored")]
        session.command("restore", number=2)
        assert current(session) == 3
    with pytest.raises(UserError, match="start list already"), begin(video, tiny_bundle, folder, entries=ENTRIES):
        pass


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


def test_what_is_corrected_while_a_dive_is_with_the_engine_is_not_lost(
    video: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def wait(scorer: Scorer) -> None:
        regressor = scorer.backend.regressor

        def waiting(*inputs: NDArray[np.float32]) -> object:
            busy.set()
            assert go_on.wait(PATIENCE_S)
            return regressor(*inputs)

        scorer.backend.regressor = waiting  # type: ignore[method-assign, assignment]

    with begin(video, tiny_bundle, tmp_path / "s", entries=ENTRIES, dives=THREE[:1], spoil=wait) as session:
        thread = threading.Thread(target=session.run)
        thread.start()
        assert busy.wait(PATIENCE_S)
        assert session.snapshot()["detector"] == {"state": "scoring"}
        session.command("edit", order=1, athlete="Zoë", dive_number="5253B")
        assert rows(session, "status", "athlete", "score") == [("scoring", "Zoë", None)]
        assert read_session(tmp_path / "s").dives == []
        session.command("void", number=1)
        with pytest.raises(UserError, match="void"):
            session.command("rescore", number=1)
        go_on.set()
        thread.join(PATIENCE_S)
        assert rows(session, "status", "athlete") == [("void", "Zoë")]
        session.command("restore", number=1)
        (row,) = session.snapshot()["dives"]
        assert (row["status"], row["dive_number"]) == ("scored", "5253B")
        assert "was scored as 407C; score it again" in row["notes"]


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


def test_a_corrected_dive_number_changes_the_score(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", entries=ENTRIES, dives=THREE[:2]) as session:
        session.run()
        before = session.dive(1) or {}
        session.command("edit", order=1, dive_number="5253B", athlete="Zoë")
        session.drain()
        after = session.dive(1) or {}
        assert (after["dive_number"], after["athlete"]) == ("5253B", "Zoë")
        assert after["result"]["exemplars"][0]["dive_number"] == "5253B"
        assert after["result"]["score"] != before["result"]["score"]
        session.command("assign", number=1, order=3)
        session.drain()
        assert rows(session, "order", "athlete", "dive_number")[0] == (3, "Ada", "107B")
        assert session.snapshot()["start_list"][0]["state"] == "waiting"


def test_a_void_dive_is_out_of_the_ranking_and_comes_back(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", entries=ENTRIES, dives=THREE[:1]) as session:
        session.run()
        ranking = session.snapshot()["ranking"]
        session.command("void", number=1)
        assert session.snapshot()["ranking"] == []
        assert current(session) == 1
        for name in ("void", "rescore"):
            with pytest.raises(UserError, match="void"):
                session.command(name, number=1)
        session.command("restore", number=1)
        assert session.snapshot()["ranking"] == ranking
        with pytest.raises(UserError, match="not void"):
            session.command("restore", number=1)
        assert session.summary().scored == 1


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("dance", {}, "allowed: trigger, skip"),
        ("skip", {"order": 1}, "takes nothing"),
        ("go_to", {}, "takes order"),
        ("go_to", {"order": "1"}, "whole number"),
        ("go_to", {"order": 9}, "allowed: 1 to 4"),
        ("edit", {"order": 1}, "nothing to change"),
        ("edit", {"order": 1, "state": "done"}, "no 'state' to edit"),
        ("void", {"number": 7}, "no dive 7"),
        ("void", {"number": True}, "whole number"),
        ("rescore", {"number": 7}, "no dive 7"),
        ("assign", {"number": 7, "order": None}, "no dive 7"),
        ("set_dive", {"dive_number": 4}, "give a text"),
        ("trigger", {}, "no picture yet"),
        ("back", {}, "this is the first"),
    ],
)
def test_commands_that_cannot_be(
    video: Path, tiny_bundle: Path, name: str, arguments: dict[str, Any], words: str
) -> None:
    with begin(video, tiny_bundle, entries=ENTRIES) as session:
        before = session.snapshot()["revision"]
        with pytest.raises(UserError, match=words):
            session.command(name, **arguments)
        assert session.snapshot()["revision"] == before


def test_a_listener_who_never_listens_costs_nothing(video: Path, tiny_bundle: Path) -> None:
    with begin(video, tiny_bundle, entries=ENTRIES) as session:
        deaf, good = session.subscribe(limit=2), session.subscribe()
        session.run()
        heard = []
        while (event := good.get(0.0)) is not None:
            heard.append(event)
        good.close()
        for order in range(100):
            session.command("go_to", order=1 + order % 4)
        assert deaf.dropped > 0
        assert len([1 for _ in iter(lambda: deaf.get(0.0), None)]) <= 2
    assert [event["dive"]["number"] for event in heard if event["type"] == "dive"] == [1, 2, 3]
    assert all(event["dive"]["status"] == "scored" for event in heard if event["type"] == "dive")
    assert {"type": "changed"} in heard
    assert heard[-1]["type"] == "source" or any(event["type"] == "source" for event in heard)
    assert deaf.is_over
    assert session.subscribe().is_over


def test_a_result_is_on_the_disk_before_anybody_hears_of_it(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    folder, missing = tmp_path / "s", []
    with begin(video, tiny_bundle, folder) as session:
        news = session.subscribe()

        def listen() -> None:
            while not news.is_over:
                event = news.get(1.0)
                if event is not None and event["type"] == "dive":
                    kept = {dive["number"]: dive for dive in read_session(folder).dives}
                    if kept.get(event["dive"]["number"]) != event["dive"]:
                        missing.append(event)

        thread = threading.Thread(target=listen)
        thread.start()
        session.run()
    thread.join(PATIENCE_S)
    assert not missing


def test_a_dive_is_put_beside_its_closest_exemplar(
    video: Path, tiny_bundle: Path, pictured_bundle: Path, tmp_path: Path
) -> None:
    with begin(video, pictured_bundle, tmp_path / "s", entries=ENTRIES) as session:
        session.run()
        record, both = session.dive(1), session.beside(1)
        assert record is not None
        assert both is not None
        assert both.exemplar == record["result"]["exemplars"][0]["name"]
        assert len(both.dive) == len(both.other) == TOKENS
        assert session.beside(2) is None  # there are no pictures of its only exemplar
        assert session.beside(9) is None
    with begin(video, pictured_bundle, tmp_path / "t", entries=ENTRIES) as session:
        session.run()
        (pictured_bundle / "exemplar_pictures.zip").unlink()
        assert session.beside(1) is None  # a bundle that goes away takes no dive with it
    with begin(video, tiny_bundle, tmp_path / "s") as session:  # another bundle, with exemplars of the same names
        assert session.strip(1) is not None
        assert session.beside(1) is None


def test_the_strip_is_of_the_scored_frames_and_survives(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", dives=THREE[:1]) as session:
        session.run()
        strip = session.strip(1)
        assert session.strip(2) is None
    assert strip is not None
    assert len(strip) == 8  # the tiny network looks at 8 frames; others fill 12
    with Image.open(io.BytesIO(strip[0])) as picture:
        assert picture.format == "JPEG"
        assert picture.width / picture.height == pytest.approx(source_ratio(video), rel=0.02)
    with begin(video, tiny_bundle, tmp_path / "s", dives=()) as session:
        assert session.strip(1) == strip


def source_ratio(video: Path) -> float:
    with open_source(str(video)) as source:
        frame = source.read()
    assert frame is not None
    height, width, _ = frame.rgb.shape
    return float(width / height)


def test_the_video_of_a_dive_is_kept(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", dives=((2.0, 3.5),), settings=LiveSettings()) as session:
        session.run()
        path = session.clip_path(1)
        record = session.dive(1) or {}
        assert rows(session, "has_clip") == [(True,)]
        assert session.clip_path(2) is None
    assert path == tmp_path / "s" / "clips" / "dive-0001.mp4"
    assert 0 <= record["start_s"] - record["recording_start_s"] <= 0.6
    with open_source(str(path)) as source:
        assert sum(1 for _ in source) / 30 == pytest.approx(4.2, abs=0.6)


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
