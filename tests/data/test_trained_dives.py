"""Lists that are read through a network: dives that it was trained on never measure it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore.common.errors import UserError
from mcore.common.typed_json import decode, encode
from mcore.data.leaks import do_overlap
from mcore.data.manifest import DiveRecord, Origin, read_manifest
from mcore.data.trained_dives import NOT_RECORDED, TrainedDives, check_new, in_checkpoint, recorded_dives
from mcore.data.trained_on import TrainedOn
from tests.mini_finediving import write_images

NETWORK = Path("best.pt")
Rows = list[dict[str, Any]]


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    """Videos, a folder of images, and two dives of one video."""
    rows: Rows = []
    for index in range(6):
        (tmp_path / f"{index}.mp4").write_bytes(f"dive {index}".encode() * 40_000)
        rows.append({"path": f"{index}.mp4", "split": "train" if index < 4 else "val"})
    write_images(tmp_path / "frames", 5)
    rows.append({"path": "frames", "split": "train"})
    (tmp_path / "meet.mp4").write_bytes(b"meet" * 1000)
    rows += [
        {"path": "meet.mp4", "split": split, "start_s": start_s, "end_s": start_s + 3.0}
        for split, start_s in (("train", 1.0), ("test", 4.0))
    ]
    path = tmp_path / "dives.jsonl"
    write(path, [{"dive_number": "407C", "score": 60.0, **row} for row in rows])
    return path


def write(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def check(trained: TrainedDives, listing: Path) -> str | None:
    records = [record for record in read_manifest(listing) if record.split != "train"]
    return check_new(trained, records, listing, NETWORK)


def trained_on(listing: Path) -> TrainedDives:
    training = [record for record in read_manifest(listing) if record.split == "train"]
    return TrainedDives.of(training, listing, None)


def copied(row: dict[str, Any], folder: Path) -> None:
    """The dive under another name, in another folder."""
    source, target = folder / row["path"], folder / "elsewhere" / f"copy of {row['path']}"
    target.parent.mkdir(exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    row["path"] = str(target)


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("position", [0, 3, 6, 7])
@pytest.mark.parametrize("move", [False, True], ids=["in its place", "copied"])
def test_a_training_dive_that_became_another_is_found(listing: Path, split: str, position: int, move: bool) -> None:
    trained = trained_on(listing)
    rows = [json.loads(line) for line in listing.read_text().splitlines()]
    rows[position]["split"] = split
    rows[position]["score"] = 61.5  # corrected meanwhile
    rows.insert(0, rows.pop(4))
    if move:
        copied(next(row for row in rows if row["score"] == 61.5), listing.parent)
    write(listing, rows)
    with pytest.raises(UserError, match=r"best\.pt was trained on 1 of the \d dives of .*split train again") as caught:
        check(trained, listing)
    assert f"the first: {listing}, line " in str(caught.value)
    assert f"split {split};" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.append({**rows[5], "path": "new.mp4"}),
        lambda rows: rows.pop(5),
        lambda rows: rows.pop(0),
        lambda rows: rows[0].update(score=3.0),
        lambda rows: rows[4].update(split="train"),
        lambda rows: rows[8].update(start_s=3.98),  # by a frame: neighbours, not repeats
    ],
)
def test_other_changes_are_a_word(listing: Path, change: Callable[[Rows], object]) -> None:
    trained = trained_on(listing)
    assert check(trained, listing) is None
    (listing.parent / "new.mp4").write_bytes(b"new" * 5000)
    rows = [json.loads(line) for line in listing.read_text().splitlines()]
    change(rows)
    write(listing, rows)
    said = check(trained, listing)
    assert said is not None
    assert f"{listing} is not as dives.jsonl was when best.pt was trained; none of its" in said


def test_what_a_training_started_from_counts_too(listing: Path) -> None:
    before = trained_on(listing)
    own = listing.parent / "own.jsonl"
    (listing.parent / "own.mp4").write_bytes(b"own" * 5000)
    row = {"dive_number": "407C", "score": 60.0}
    write(own, [{**row, "path": "own.mp4", "split": "train"}, {**row, "path": "0.mp4", "split": "test"}])
    training = [record for record in read_manifest(own) if record.split == "train"]
    with pytest.raises(UserError, match="was trained on 1 of the 1 dives"):
        check(TrainedDives.of(training, own, before), own)
    assert check(TrainedDives.of(training, own, None), own) is None
    said = check(TrainedDives.of(training, own, NOT_RECORDED), own)
    assert said is not None
    assert "does not record every dive" in said


def test_checkpoints_of_before_and_of_others(listing: Path) -> None:
    known = trained_on(listing)
    data = {"manifest": "/old/dives.jsonl", "sha256": known.list_sha256}
    assert check(recorded_dives({"data": data}, NETWORK), listing) is None
    for extra in ({}, {"data": data, "start_from": {}}, {"data": {**data, "sha256": "other"}}, {"data": "?"}):
        assert "does not record every dive" in (check(recorded_dives(extra, NETWORK), listing) or "")
    with pytest.raises(UserError, match=r"best\.pt, its training dives: "):
        recorded_dives({"trained_dives": {"groups": 3}}, NETWORK)


def test_the_record_is_read_as_it_was_written(listing: Path) -> None:
    trained = trained_on(listing)
    assert decode(TrainedDives, encode(trained), "it") == trained
    assert len(trained.dives) == 6
    assert "407C" not in encode(trained)
    assert "mp4" not in encode(trained)


def test_videos_that_cannot_be_read_are_nobodys(tmp_path: Path, listing: Path) -> None:
    gone = [DiveRecord(tmp_path / "gone.mp4", "407C", 60.0, split="val")]
    assert trained_on(listing).overlapping(gone) == []
    assert TrainedDives.of(gone, listing, None).dives == ()


@given(start=st.floats(0, 100), length=st.floats(0.2, 30), moved=st.floats(-40, 40))
def test_windows_overlap_whichever_is_asked_first(start: float, length: float, moved: float) -> None:
    one, two = (start, start + length), (start + moved, start + moved + length)
    assert do_overlap(one, two) == do_overlap(two, one)
    assert do_overlap(one, two) or abs(moved) > length - 0.06
    assert not do_overlap(one, two) or abs(moved) < length


def test_one_video_may_hold_dives_of_both(listing: Path) -> None:
    records = read_manifest(listing)
    trained = trained_on(listing)
    inside = replace(records[8], start_s=3.0, end_s=5.0)
    assert trained.overlapping([records[8], inside]) == [inside]


def dive_of(folder: Path, name: str, origin: Origin | None = None, event: str | None = None) -> DiveRecord:
    (folder / name).write_bytes(name.encode() * 9)
    return DiveRecord(folder / name, "407C", 60.0, split="train", origin=origin, event=event)


def test_dives_are_counted_by_their_stated_origin(tmp_path: Path, listing: Path) -> None:
    assert trained_on(listing).summary() == TrainedOn(not_stated=6)
    assert NOT_RECORDED.summary() is None
    drawn = [dive_of(tmp_path, f"drawn {i}", "rendered") for i in range(3)]
    real = [
        dive_of(tmp_path, f"real {i}", "real", event) for i, event in enumerate(["World Cup", "Games", "Games", None])
    ]
    first = TrainedDives.of(drawn, listing, None)
    assert first.summary() == TrainedOn(rendered=3)
    # What a training starts from, or goes on with, counts once.
    both = TrainedDives.of([*real, drawn[0]], listing, first)
    assert both.summary() == TrainedOn(real=4, rendered=3, events=("Games", "World Cup"))
    assert TrainedDives.of(real, listing, both).summary() == both.summary()
    assert TrainedDives.of(drawn, listing, NOT_RECORDED).summary() == TrainedOn(rendered=3, is_whole=False)
    assert recorded_dives(in_checkpoint(both), NETWORK) == both
    # A list that says more than before is believed, one that says less changes nothing.
    unstated = [replace(record, origin=None, event=None) for record in real]
    before = TrainedDives.of(unstated, listing, None)
    assert before.summary() == TrainedOn(not_stated=4)
    assert TrainedDives.of(real, listing, before).summary() == TrainedDives.of(real, listing, None).summary()
    assert TrainedDives.of(unstated, listing, both).summary() == both.summary()
