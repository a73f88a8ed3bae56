"""Repeats of dives: found whatever the path and the window look like, and never where dives only follow each other."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore.data.check import check_source
from mcore.data.leaks import distinct, repeats, unseen
from mcore.data.manifest import DiveRecord, Split, read_manifest
from mcore.data.sources import read_source
from tests.mini_finediving import write_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video, and everything that is it under another name."""
    (tmp_path / "x").mkdir()
    (tmp_path / "meet.mp4").write_bytes(b"meet" * 1000)
    (tmp_path / "other.mp4").write_bytes(b"dive" * 1000)  # as large
    shutil.copy(tmp_path / "meet.mp4", tmp_path / "x" / "copy.mp4")
    (tmp_path / "link.mp4").symlink_to("meet.mp4")
    (tmp_path / "linked").symlink_to(tmp_path)
    write_images(tmp_path / "frames", 5)
    shutil.copytree(tmp_path / "frames", tmp_path / "x" / "frames")
    return tmp_path


NAMES = ["meet.mp4", "x/../meet.mp4", "./meet.mp4", "link.mp4", "x/copy.mp4", "linked/meet.mp4"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("split", "check"), [("test", "across-splits"), ("train", "duplicate")])
def test_a_video_under_another_name(folder: Path, name: str, split: str, check: str) -> None:
    path = folder / "dives.csv"
    path.write_text(
        f"path,dive_number,score,split\nmeet.mp4,407C,60,train\nother.mp4,407C,60,train\n{name},407C,61,{split}\n"
    )
    errors = [finding for finding in check_source(read_source(path)).findings if finding.severity == "error"]
    assert [finding.check for finding in errors] == [check]
    assert f"{path}, line 4" in errors[0].message


def test_a_copied_folder_of_images(folder: Path) -> None:
    records = [DiveRecord(folder / name, "407C", 60.0) for name in ("frames", "x/frames")]
    assert list(repeats(records)) == [(0, 1)]
    (folder / "x" / "frames" / "00489.jpg").write_bytes(b"other")
    assert list(repeats(records)) == []


@pytest.mark.parametrize(
    ("one", "two", "across", "within"),
    [
        ((1.0, 3.0), (1.04, 3.04), True, True),  # moved by one frame
        ((1.0, 3.0), (1.0, 3.0), True, True),
        ((None, None), (1.0, 3.0), True, True),
        ((1.0, None), (None, 3.0), True, True),
        ((1.0, 3.0), (1.5, 2.0), True, True),
        ((1.0, 3.0), (2.5, 5.0), True, False),  # a quarter: two dives of one split may come so close
        ((1.0, 3.0), (3.0, 5.0), False, False),
        ((1.0, 3.0), (2.96, 5.0), False, False),  # one frame
        ((1.0, 3.0), (4.0, None), False, False),
    ],
)
def test_windows(
    folder: Path, one: tuple[float | None, ...], two: tuple[float | None, ...], across: bool, within: bool
) -> None:
    for splits, expected in ((("train", "test"), across), (("train", "train"), within)):
        dives = [
            DiveRecord(folder / name, "407C", 60.0, split=split, start_s=start, end_s=end)  # type: ignore[arg-type]
            for name, split, (start, end) in zip(("meet.mp4", "link.mp4"), splits, (one, two), strict=True)
        ]
        assert bool(list(repeats(dives))) == bool(list(repeats(dives[::-1]))) == expected


def test_distinct_keeps_the_first_of_each(folder: Path) -> None:
    records = [DiveRecord(folder / name, "407C", 60.0 + i) for i, name in enumerate([*NAMES, "other.mp4"])]
    kept, again = distinct(records)
    assert [record.path.name for record in kept] == ["meet.mp4", "other.mp4"]
    assert again == records[1:6]
    test = [replace(record, split="test") for record in records]
    assert unseen(test, [replace(records[4], split="train")]) == [test[-1]]


def test_what_is_not_there_is_known_by_its_path(tmp_path: Path) -> None:
    assert list(repeats([DiveRecord(tmp_path / name, "407C", 60.0) for name in ("a.mp4", "b.mp4", "x/../a.mp4")])) == [
        (0, 2)
    ]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6), st.sampled_from(["train", "test"])), max_size=12))
def test_every_dive_that_leaks_into_another_split_is_found(windows: list[tuple[int, int, Split]]) -> None:
    dives = [
        DiveRecord(Path("/none/meet.mp4"), "407C", 60.0, split=split, start_s=start, end_s=start + length)
        for start, length, split in windows
    ]
    known = [dive for dive in dives if dive.split == "train"]
    scored = [dive for dive in dives if dive.split == "test"]
    taken = {(second, dive.split) for dive in known for second in range(int(dive.start_s or 0), int(dive.end_s or 0))}
    fresh = [
        dive
        for dive in scored
        if not any((second, "train") in taken for second in range(int(dive.start_s or 0), int(dive.end_s or 0)))
    ]
    assert unseen(scored, known) == fresh


def test_a_list_without_repeats_has_none(folder: Path) -> None:
    path = folder / "dives.csv"
    path.write_text("path,dive_number,score,split,start_s,end_s\n" + "".join(
        f"meet.mp4,407C,60,{('train', 'test')[i % 2]},{2 * i},{2 * i + 2}\n" for i in range(20)))  # fmt: skip
    assert list(repeats(read_manifest(path))) == []
