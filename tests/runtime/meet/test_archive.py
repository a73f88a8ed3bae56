"""DiveRecorder's archive as start lists: tables without column names, in the encoding of its computers."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcore_runtime.competition.start_list import parse_start_list
from mcore_runtime.meet.command import main

TABLES = {
    "MeetsTable": '"3","2026-11-01","2026-11-02","Autumn Cup","Pool","Town","",""\n',
    "EventsTable": '"3","12","2026-11-01","Men 3 m","M","3"\n"3","13","2026-11-02","Mixed Synchro","X","3"\n',
    "DiversTable": (
        '"7","Príklad","Zoë","Stade","F","2008","","STA","","",""\n"8","Sample","Bo","","M","2007","","SDC","","",""\n'
    ),
    "DiveSheetTable": (
        "3,12,8,0,1,1,2,107,B,3.0,3.1,7,7,7.5,7,6.5,,,,,,,21,65.10,65.10,,,\n"
        "3,12,7,0,1,1,1,5253,B,3,3.2,,,,,,,,,,,,,,,,,\n"
        "3,12,7,0,2,1,1,0,,0,0,,,,,,,,,,,,,,,,,\n"
        "3,13,7,8,1,1,1,101,B,3.00,1.5,,,,,,,,,,,,,,,,,\n"
    ),
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for name, text in TABLES.items():
        (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode("cp1252"))
    return tmp_path


def test_an_event_becomes_a_start_list(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start-list", str(archive), "--event", "3/12", "--results"]) == 0
    printed = capsys.readouterr()
    assert "2,1,Bo Sample,SDC,107B,3,3.1,65.10,7 7 7.5 7 6.5" in printed.out.splitlines()
    assert "Windows-1252" in printed.err
    entries = parse_start_list(printed.out).entries
    assert [(e.athlete, e.club, e.dive_number, e.height_m, e.difficulty, e.round) for e in entries] == [
        ("Zoë Príklad", "Stade", "5253B", 3.0, 3.2, 1),
        ("Bo Sample", "SDC", "107B", 3.0, 3.1, 1),
        ("Zoë Príklad", "Stade", None, None, None, 2),
    ]
    assert main(["start-list", str(archive), "--event", "3/13"]) == 0
    assert "Zoë Príklad / Bo Sample,Stade / SDC,101B" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "arguments", "words"),
    [
        ("MeetsTable", None, [], "has no MeetsTable"),
        ("MeetsTable", TABLES["MeetsTable"], [], "3/13  2026-11-02 Autumn Cup, Mixed Synchro"),
        ("MeetsTable", "", ["--event", "9/9"], "no event '9/9'"),
        ("EventsTable", "", [], "holds no event"),
        ("DiveSheetTable", "", ["--event", "3/12"], "no dive of event 3/12"),
        ("DiveSheetTable", "3,12\n", [], "line 1 has 2 cells"),
        (
            "DiveSheetTable",
            TABLES["DiveSheetTable"].replace(",107,", ",999,"),
            ["--event", "3/12"],
            "not a dive number",
        ),
        ("DiversTable", '"7","open', [], "DiversTable"),
    ],
)
def test_what_cannot_be_read_is_named(
    archive: Path, name: str, text: str | None, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive / name).unlink()
    if text is not None:
        (archive / name).write_text(text, encoding="utf-8")
    assert main(["start-list", str(archive), *arguments]) == 2
    assert words in capsys.readouterr().err
