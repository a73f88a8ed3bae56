"""Tables and documents of a session: every dive, every figure, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest

from mcore_runtime.competition import Competition, Entry
from mcore_runtime.session import SessionStore, read_session
from mcore_runtime.session.export import COLUMNS
from mcore_runtime.session.overview import overview
from mcore_runtime.session.report_command import main
from tests.runtime.session.made import FACTS, make_session


@pytest.fixture
def session(tmp_path: Path, tiny_bundle: Path) -> Path:
    folder = make_session(tmp_path / "session", tiny_bundle)
    names = ("Ann", "Bea", "Cid", "Ann", "=1+1")
    competition = Competition.begin(Entry(i, name, "Club", "407C", 2.8, 1) for i, name in enumerate(names, start=1))
    for number in range(1, 6):
        competition = competition.add_dive(number)
    with SessionStore.open(folder) as store:
        store.save_state("competition", competition.to_json())
    return folder


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def test_the_table_has_a_line_for_every_dive(session: Path, tmp_path: Path) -> None:
    assert main([str(session), "--csv", str(tmp_path / "t.csv")]) == 0
    rows = table(tmp_path / "t.csv")
    assert tuple(rows[0]) == COLUMNS
    assert [row["status"] for row in rows] == ["scored", "failed", "invalid", "void", "scoring"]
    first = read_session(session).dives[0].result
    assert first is not None
    assert float(rows[0]["score"]) == first.score  # every digit
    shares = [rows[0][name] for name in ("takeoff_share", "flight_share", "entry_share")]
    assert shares == [repr(first.stage_deltas[0]), "", repr(first.stage_deltas[2])]  # the flight's is not trusted
    assert (rows[0]["athlete"], rows[0]["difficulty"], rows[0]["round"]) == ("Ann", "2.8", "1")
    assert float(rows[0]["time_to_score_ms"]) == 101.0
    assert rows[1]["score"] == rows[1]["bundle_sha256"] == ""
    assert rows[1]["reasons"] == "RuntimeError: the device is gone"
    assert rows[3]["results"] == "2"


def test_no_text_becomes_a_formula(session: Path, tmp_path: Path) -> None:
    main([str(session), "--csv", str(tmp_path / "t.csv")])
    rows = table(tmp_path / "t.csv")
    assert rows[4]["athlete"] == "'=1+1"
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "@", "+"))]


def test_the_document_holds_everything(session: Path, tmp_path: Path) -> None:
    main([str(session), "--json", str(tmp_path / "d.json")])
    document = json.loads((tmp_path / "d.json").read_text())
    data = read_session(session)
    assert (document["format"], document["format_version"]) == ("mcore-session", 1)
    assert [{k: v for k, v in dive.items() if k != "history"} for dive in document["dives"]] == [
        dive.to_json() for dive in data.dives
    ]
    assert [step["status"] for step in document["dives"][3]["history"]] == ["scored", "void"]
    assert document["facts"] == dict(data.facts)
    assert document["events"] == [{"time": data.events[0].time, "kind": "source", "text": "lost"}]
    assert document["time_to_score_ms"]["max"] == 104.0  # of the dive that became void later, too
    assert document["state"]["competition"]["entries"][0]["athlete"] == "Ann"


def test_only_scores_that_count_are_ranked(session: Path) -> None:
    view = overview(read_session(session))
    assert [(row.rank, row.athlete, row.dives) for row in view.ranking] == [(1, "Ann", 1)]
    assert view.ranking[0].total == pytest.approx(view.dives[0].dive.score, abs=0.005)


def test_what_cannot_be_read_is_said_and_the_rest_is_there(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SessionStore.open(session) as store:
        store.save_state("competition", {"entries": 5})
    with sqlite3.connect(session / "session.sqlite") as connection:
        connection.execute("UPDATE results SET record = '{}' WHERE number = 1")
    connection.close()
    assert main([str(session), "--csv", str(tmp_path / "t.csv"), "--html", str(tmp_path / "r.html")]) == 0
    said, page = capsys.readouterr().err, (tmp_path / "r.html").read_text()
    for expected in ("start list cannot be read", "dive 1: "):
        assert expected in said
        assert expected in page
    assert len(table(tmp_path / "t.csv")) == 4


def test_a_session_without_dives_is_exported(tmp_path: Path) -> None:
    SessionStore.create(tmp_path, FACTS).close()
    files = {flag: tmp_path / f"x.{flag}" for flag in ("csv", "json", "html")}
    assert main([str(tmp_path), *(word for flag, path in files.items() for word in (f"--{flag}", str(path)))]) == 0
    assert table(files["csv"]) == []
    assert json.loads(files["json"].read_text())["dives"] == []
    assert "0 dives, 0 scored" in files["html"].read_text()


@pytest.mark.parametrize("arguments", [["--csv", "a.txt"], ["--json", "a.csv"], ["--html", "a"]])
def test_files_of_another_ending_are_refused(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), *arguments]) == 2
    assert "ends in" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_said(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (session / "file").touch()
    assert main([str(session), "--csv", str(session / "file" / "t.csv")]) == 2
    assert "cannot write" in capsys.readouterr().err
