"""Lists of dives: what comes back from JSON lines and CSV, and lines that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore.data.manifest import DiveRecord, dive_names, read_manifest, write_manifest


def test_round_trip(tmp_path: Path) -> None:
    records = [
        DiveRecord(tmp_path / "a" / "1.mp4", "407C", 61.2, 3.2, "train", 90, (30, 60), 0.5, 4.0),
        DiveRecord(tmp_path.parent / "elsewhere.mp4", "107B", 0.0, stage_points=(0.0, -7.5, -12.25)),
    ]
    write_manifest(tmp_path / "dives.jsonl", records)
    assert read_manifest(tmp_path / "dives.jsonl") == records
    assert '"path": "a/1.mp4"' in (tmp_path / "dives.jsonl").read_text()


def test_no_two_dives_have_one_name(tmp_path: Path) -> None:
    folders = [DiveRecord(tmp_path / folder / "1.mp4", "107B", 60.0) for folder in "abc"]
    assert dive_names(folders, tmp_path / "dives.jsonl") == ["a/1.mp4", "b/1.mp4", "c/1.mp4"]
    assert dive_names(folders, tmp_path / "lists" / "dives.jsonl") == ["1.mp4", "1.mp4 #2", "1.mp4 #3"]
    parts = [DiveRecord(tmp_path / "meet.mp4", "107B", 60.0, start_s=s, end_s=e) for s, e in ((None, 4.5), (4.5, None))]
    assert dive_names(parts, tmp_path / "dives.jsonl") == ["meet.mp4 0-4.5 s", "meet.mp4 4.5- s"]


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    path = tmp_path / "dives.csv"
    path.write_text(
        "\ufeffpath,dive_number,score,split,flight_frame,entry_frame,note,"
        "Take-off points,Flight points,Entry points\r\n"
        "a.mp4,407C,61.2,test,30,60,,0,-2.5,-10\r\n"
        "b.mp4,107B,50,,,,windy,,,\r\n",
        encoding="utf-8",
    )
    assert read_manifest(path) == [
        DiveRecord(
            tmp_path / "a.mp4", "407C", 61.2,
            split="test", transition_frames=(30, 60), stage_points=(0.0, -2.5, -10.0),
        ),
        DiveRecord(tmp_path / "b.mp4", "107B", 50.0),
    ]  # fmt: skip


def test_a_folder_is_not_a_list_and_the_list_in_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder; give the list of dives in it, such as .*manifest.jsonl"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("columns", "cells", "origin", "event"),
    [
        ("", "", None, None),
        (",origin", ",", None, None),
        (",origin", ",Rendered", "rendered", None),
        (",origin", ",real", "real", None),
        (",event", ",World Cup 2021", "real", "World Cup 2021"),
        (",origin,event", ",REAL,World Cup 2021", "real", "World Cup 2021"),
    ],
)
def test_a_list_states_where_its_dives_are_from(
    tmp_path: Path, columns: str, cells: str, origin: str | None, event: str | None
) -> None:
    path = tmp_path / "dives.csv"
    path.write_text(f"path,dive_number,score{columns}\na.mp4,407C,61.2{cells}\n")
    (read,) = read_manifest(path)
    assert (read.origin, read.event) == (origin, event)
    write_manifest(tmp_path / "dives.jsonl", [read])
    assert read_manifest(tmp_path / "dives.jsonl") == [read]
