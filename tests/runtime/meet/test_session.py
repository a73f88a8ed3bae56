"""A live session that hears a meet: from the message to the disk, the receivers, the report and the next run."""

from __future__ import annotations

import csv
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from mcore_runtime.integrations.webhooks.outbox import Outbox
from mcore_runtime.integrations.webhooks.target import parse_target
from mcore_runtime.live.terminal import dive_line
from mcore_runtime.meet.address import MeetAddress
from mcore_runtime.meet.feed import MeetFeed
from mcore_runtime.session import SessionStore, read_session
from mcore_runtime.session.export import write_csv
from mcore_runtime.session.overview import overview
from mcore_runtime.session.report import render_session
from tests.numbered_video import write_numbered
from tests.runtime.live.conftest import SETTINGS, begin, dive_of
from tests.runtime.meet.made import announced, judged
from tests.runtime.session.made import FACTS, record

ADA, BO = announced("Ada <b>Example</b>"), announced("Bo Sample", dive_number="107B")
HELD = replace(SETTINGS, hold_back=True)
SENDER, NOW, LATER = "192.168.1.5", "2026-12-01T10:00:00.000+00:00", "2026-12-01T10:01:00.000+00:00"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("video") / "v.mp4", 120)


def test_a_meet_is_followed_kept_and_reported(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    target = parse_target("http://127.0.0.1:1/dives")
    feed = MeetFeed(MeetAddress("127.0.0.1", 0), None)
    with begin(video, tiny_bundle, folder, dives=((1.3, 2.0),), settings=HELD, meet=feed) as session:
        session.hear(ADA, SENDER, NOW)
        session.run()
        dive = dive_of(session, 1)
        assert (dive.athlete, dive.dive_number, dive.held) == ("Ada <b>Example</b>", "407C", True)
        assert session.exemplar_comparison(1) is None
        assert "held back" in dive_line(dive)
        shown = session.snapshot()
        assert shown["dives"][0]["status"] == "held"
        assert shown["meet_feed"]["event"] == "A"
        assert not Outbox(session._store, target).pending()  # type: ignore[arg-type]
        assert json.loads(json.dumps(session.snapshot()["meet"]))["announced"]["athlete"] == ADA.athlete
        session.hear(judged(ADA), SENDER, LATER)
        session.drain()
        assert session.snapshot()["dives"][0]["judges"]["points"] == 71.4
        assert "judges 71.40" in dive_line(dive_of(session, 1))
        outbox = Outbox(session._store, target)  # type: ignore[arg-type]
        assert outbox.pending() == [1]
        assert json.loads(outbox.message(1).body)["data"]["dive"]["judges"]["points"] == 71.4

    seen = overview(read_session(folder))
    assert seen.agreements["Men 3 m"].dives == 1
    page = render_session(seen)
    assert "Network and judges" in page
    assert "awards (7) (7.5) 7 7 (6.5) 7 (8)" in page
    assert "<b>Example" not in page
    write_csv(tmp_path / "s.csv", seen)
    (row,) = csv.DictReader((tmp_path / "s.csv").read_text(encoding="utf-8-sig").splitlines())
    assert (row["judges_points"], row["judges_rank"], row["penalty"]) == ("71.4", "", "")
    assert float(row["network_less_judges"]) == pytest.approx(float(row["score"]) - 71.4)
    with sqlite3.connect(folder / "session.sqlite") as connection:
        assert connection.execute("SELECT judges_points FROM scores").fetchall() == [(71.4,)]
    connection.close()

    feed = MeetFeed(MeetAddress("127.0.0.1", 0), None)
    with begin(video, tiny_bundle, folder, dives=((1.3, 2.0),), settings=HELD, meet=feed) as session:
        session.hear(BO, SENDER, LATER)
        session.drain()
        assert session.snapshot()["meet"]["agreement"]["dives"] == 1
        assert session.snapshot()["current"]["athlete"] == "Bo Sample"
    with begin(video, tiny_bundle, folder, dives=((1.3, 2.0),)) as session:  # without the meet the list leads again
        session.run()
        assert not session.snapshot()["meet"]["leads"]
        assert dive_of(session, 2).athlete == "Bo Sample"
        assert not dive_of(session, 2).held


def test_a_dive_that_gets_its_result_from_the_operator_is_not_held_back(
    video: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    feed, long_ago = MeetFeed(MeetAddress("127.0.0.1", 0), None), "2020-01-01T10:00:00.000+00:00"
    with begin(video, tiny_bundle, tmp_path / "s", dives=((1.3, 2.0),), settings=HELD, meet=feed) as session:
        session.hear(ADA, SENDER, long_ago)
        session.hear(judged(ADA), SENDER, long_ago)
        session.run()
        assert (dive_of(session, 1).order, dive_of(session, 1).held) == (None, True)  # too late to be certainly hers
        session.command("assign", number=1, order=1)
        session.drain()
        dive = dive_of(session, 1)
        assert dive.judges is not None
        assert (dive.judges.points, dive.held) == (71.4, False)


def test_a_session_of_the_former_schema_gets_the_judges_in_its_view(tmp_path: Path) -> None:
    with SessionStore.create(tmp_path, FACTS) as store:
        store.save_dive(record(1))
    with sqlite3.connect(tmp_path / "session.sqlite") as connection:
        connection.execute("DROP VIEW scores")
        connection.execute("CREATE VIEW scores AS SELECT number FROM results")
        removed = "json_remove(record, '$.judges', '$.held')"
        connection.execute(f"UPDATE results SET record = {removed}")
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    assert read_session(tmp_path).dives == [record(1)]
    with SessionStore.open(tmp_path) as store:
        assert store.dives() == [record(1)]
        assert store._connection.execute("SELECT number, judges_points FROM scores").fetchall() == [(1, None)]
