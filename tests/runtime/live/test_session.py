"""A whole session: what it shows, whom it tells, what it keeps, and that it goes on where it was."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcore.common.errors import UserError
from mcore_runtime.live.broadcast import DiveNews, SnapshotChanged, SourceNews
from mcore_runtime.live.pipeline import LiveSettings
from mcore_runtime.session import DiveStatus, read_session
from mcore_runtime.sources import open_source
from tests.runtime.conftest import TOKENS
from tests.runtime.live.conftest import ENTRIES, PATIENCE_S, THREE, begin, current, rows


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
        assert (dive := session.dive(1)) is not None
        assert dive.result is not None
        assert len(dive.result.exemplars) == (1 if same else 4)
        assert same or "less certain" in dive.result.notes[0]
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
    dives = [news.dive for news in heard if isinstance(news, DiveNews)]
    assert [(dive.number, dive.status) for dive in dives] == [(number, DiveStatus.SCORED) for number in (1, 2, 3)]
    assert SnapshotChanged() in heard
    assert any(isinstance(news, SourceNews) for news in heard)
    assert deaf.is_over
    assert session.subscribe().is_over


def test_a_result_is_on_the_disk_before_anybody_hears_of_it(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    folder, missing = tmp_path / "s", []
    with begin(video, tiny_bundle, folder) as session:
        news = session.subscribe()

        def listen() -> None:
            while not news.is_over:
                event = news.get(1.0)
                if isinstance(event, DiveNews):
                    kept = {dive.number: dive for dive in read_session(folder).dives}
                    if kept.get(event.dive.number) != event.dive:
                        missing.append(event)

        thread = threading.Thread(target=listen)
        thread.start()
        session.run()
    thread.join(PATIENCE_S)
    assert not missing


def test_a_dive_is_compared_with_its_closest_exemplar(
    video: Path, tiny_bundle: Path, pictured_bundle: Path, tmp_path: Path
) -> None:
    with begin(video, pictured_bundle, tmp_path / "s", entries=ENTRIES) as session:
        session.run()
        record, both = session.dive(1), session.exemplar_comparison(1)
        assert record is not None
        assert both is not None
        assert record.result is not None
        assert both.exemplar_name == record.result.exemplars[0].name
        assert len(both.dive) == len(both.exemplar) == TOKENS
        assert session.exemplar_comparison(2) is None  # there are no pictures of its only exemplar
        assert session.exemplar_comparison(9) is None
    with begin(video, pictured_bundle, tmp_path / "t", entries=ENTRIES) as session:
        session.run()
        (pictured_bundle / "exemplar_pictures.zip").write_bytes(b"")
        assert session.exemplar_comparison(1) is None  # a bundle that is spoiled takes no dive with it
    with begin(video, tiny_bundle, tmp_path / "s") as session:  # another bundle, with exemplars of the same names
        assert session.strip(1) is not None
        assert session.exemplar_comparison(1) is None


def test_the_strip_is_of_the_scored_frames_and_survives(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    recorded = LiveSettings(record=True)
    with begin(video, tiny_bundle, tmp_path / "s", dives=THREE[:1], settings=recorded) as session:
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
    for recording in (tmp_path / "s").rglob("*.mp4"):
        recording.unlink()
    with begin(video, tiny_bundle, tmp_path / "s", dives=()) as session:  # the frames that the network took
        stretched = session.strip(1)
    assert stretched is not None
    assert len(stretched) == len(strip)
    assert sum(map(sharpness, strip)) > 1.2 * sum(map(sharpness, stretched))


def sharpness(jpeg: bytes) -> float:
    return float(np.diff(np.asarray(Image.open(io.BytesIO(jpeg)), np.float64), axis=1).std())


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
        record = session.dive(1)
        assert rows(session, "has_clip") == [(True,)]
        assert session.clip_path(2) is None
    assert path == tmp_path / "s" / "clips" / "dive-0001.mp4"
    assert record is not None
    assert record.recording_start_s is not None
    assert 0 <= record.start_s - record.recording_start_s <= 0.6
    with open_source(str(path)) as source:
        assert sum(1 for _ in source) / 30 == pytest.approx(4.2, abs=0.6)
