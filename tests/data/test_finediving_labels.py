"""FineDiving's labels as JSON lines: read, written, and made from E2E-Spot's files and from FineDiving's pickles."""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mcore.data.commands.main import main
from mcore.data.finediving import read_finediving
from mcore.data.finediving_labels import read_finediving_labels, write_finediving_labels
from mcore.data.sources import read_source, usable_records
from mcore.video.sampling import sample_indices, sampled_transitions
from tests.mini_finediving import EVENT, dives, record_of, step_table, write_finediving

LINE: dict[str, Any] = {
    "clip": "01/1",
    "split": "train",
    "dive_number": "407C",
    "difficulty": 3.2,
    "score": 88.0,
    "frames": 85,
    "events": [[2, "Inward -> 3.5 Soms.Tuck"], [34, "3.5 Soms.Tuck -> Entry"]],
}


def entry(video: str, **changes: Any) -> dict[str, Any]:
    """A dive as E2E-Spot has it: LINE's, but for its name."""
    events = [{"comment": change, "frame": frame, "label": "any"} for frame, change in LINE["events"]]
    source = {"action_type": "407c", "difficulty": 3.2, "dive_score": 88.0}
    values = {"_source_info": source, "events": events, "fps": -1, "height": 256, "num_events": 2, "num_frames": 85}
    return values | {"video": video, "width": 455} | changes


def write_e2e_spot(folder: Path, **entries: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        (folder / f"{split}.json").write_text(json.dumps(entries.get(split, []), indent=2))
    return folder


def test_labels_as_json_lines(tmp_path: Path) -> None:
    good = LINE
    lines = [
        json.dumps(good),
        "",
        "{",
        "[]",
        json.dumps(good | {"split": "dev"}),
        json.dumps(good | {"events": 3}),
        json.dumps({key: value for key, value in good.items() if key != "frames"}),
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(lines))
    read = read_finediving_labels(path, tmp_path / "not there")
    assert record_of(read[0]).path == tmp_path / "not there" / "01" / "1"
    assert (record_of(read[0]).origin, record_of(read[0]).event) == ("real", "01")
    assert record_of(read[0]).transition_frames == (3, 35)  # an event is the last frame of the step that ends
    assert [dive.record is None for dive in read] == [False, True, True, True, True, True]
    assert "line 7: Object missing required field `frames`" in str(read[-1].problem)
    assert read_source(path).kind == "finediving-labels"


def test_labels_from_e2e_spot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_e2e_spot(
        tmp_path / "spot", train=[entry("01__10"), entry("01__2")], val=[entry("01__1")], test=[entry("Men10m__r__0")]
    )
    out = tmp_path / "labels.jsonl"
    assert main(["labels", str(folder), "--out", str(out)]) == 0
    assert "4 dives (3 train, 0 val, 1 test) from e2e-spot, 0 left out" in capsys.readouterr().out
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[0] == LINE  # its validation dives are training dives of the official split
    assert [line["clip"] for line in lines] == ["01/1", "01/2", "01/10", "Men10m/r__0"]
    assert lines[3]["split"] == "test"
    # and whatever takes labels takes the folder as it is
    assert [d.record for d in read_source(folder, tmp_path).dives] == [d.record for d in read_source(out).dives]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"video": "01__2", "events": []}, "KeyError: '_source_info'"),
        (entry("01__2", _source_info=None), "TypeError"),
        (entry("01__2", num_frames="85"), "Expected `int`, got `str`"),
        (entry("01__2") | {"video": 7}, "AttributeError"),
        (entry("01__2", events=[{"frame": True, "comment": "x"}]), "Expected `int`, got `bool`"),
        (
            entry("01__2", _source_info={"action_type": "407c", "difficulty": 3.2, "dive_score": None}),
            "Expected `float`",
        ),
    ],
)
def test_a_bad_entry_is_named_and_does_not_hide_good_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: dict[str, Any], said: str
) -> None:
    folder = write_e2e_spot(tmp_path / "spot", train=[entry("01__1"), bad])
    out = tmp_path / "labels.jsonl"
    assert main(["labels", str(folder), "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert said in printed.err
    assert "train.json, entry 2" in printed.err
    assert [json.loads(line) for line in out.read_text().splitlines()] == [LINE]


def test_labels_from_the_pickles(tmp_path: Path) -> None:
    annotations = dives()
    annotations[EVENT, 1][1] = float("nan")
    root = write_finediving(tmp_path / "set", annotations, frames=None)
    out = tmp_path / "labels.jsonl"
    (root / "Annotations" / "Sub_action_Types_Table.pkl").write_bytes(pickle.dumps(step_table(), 2))
    assert main(["labels", str(root), "--out", str(out)]) == 1  # one score is no number
    read = {dive.name: dive for dive in read_finediving_labels(out)}
    assert len(read) == 11
    for dive in read_finediving(root):
        if dive.name != f"{EVENT}/1":
            again = read[dive.name]
            assert (again.step_frames, again.step_changes) == (dive.step_frames, dive.step_changes)
            for name in ("dive_number", "score", "difficulty", "split", "num_frames", "transition_frames"):
                assert getattr(record_of(again), name) == getattr(record_of(dive), name)
    assert read["01/1"].step_changes == ("Back -> 1.5 Twists", "1.5 Twists -> 2.5 Soms.Pike", "2.5 Soms.Pike -> Entry")


@pytest.mark.parametrize("table", [None, {1: "Forward"}])
def test_steps_without_names(tmp_path: Path, table: object) -> None:
    root = write_finediving(tmp_path / "set", dives(), frames=None)
    if table is not None:
        (root / "Annotations" / "Sub_action_Types_Table.pkl").write_bytes(pickle.dumps(table))
    out = tmp_path / "labels.jsonl"
    assert main(["labels", str(root), "--out", str(out)]) == 0
    read = read_finediving_labels(out)
    assert {dive.step_changes for dive in read} == {None}
    assert read[0].step_frames == (6, 13, 22)


def test_the_table_of_names_is_read_safely(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_finediving(tmp_path / "set", dives(), frames=None)
    for content, said in ((os.system, "system, which is not data"), (["Forward"], "expected {step: name}")):
        (root / "Annotations" / "Sub_action_Types_Table.pkl").write_bytes(pickle.dumps(content))
        assert main(["labels", str(root), "--out", str(tmp_path / "labels.jsonl")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "labels.jsonl").exists()


def test_labels_refuses_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_e2e_spot(tmp_path / "spot", train=[entry("01__1")])
    (tmp_path / "dives.csv").write_text("path,dive_number,score\na.mp4,407C,80\n")
    write_e2e_spot(tmp_path / "odd", train=[entry("01__1")])
    (tmp_path / "odd" / "val.json").write_text('{"not": "a list"}')
    for arguments, said in (
        ([str(folder), "--out", "labels.csv"], "labels end in .jsonl"),
        ([str(tmp_path / "dives.csv"), "--out", "labels.jsonl"], "allowed: E2E-Spot's or FineDiving's"),
        ([str(tmp_path / "odd"), "--out", "labels.jsonl"], "val.json: Expected `array`"),
        ([str(tmp_path), "--out", "labels.jsonl"], "no labels of FineDiving from E2E-Spot"),
    ):
        assert main(["labels", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_the_real_labels_are_written_as_they_are(labels_file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    assert write_finediving_labels(again, read_finediving_labels(labels_file)) == []
    assert again.read_bytes() == labels_file.read_bytes()


def test_the_real_labels_can_be_trained_on(labels_file: Path) -> None:
    dives_read = read_source(labels_file, "nowhere").dives
    records, left_out = usable_records(dives_read)
    assert [dive.name for dive in left_out] == ["03/24", "03/67"]
    assert Counter(record.split for record in records) == {"train": 2022, "val": 227, "test": 749}
    for record in records:
        if record.transition_frames is not None and record.num_frames is not None:
            first, second = sampled_transitions(record.transition_frames, sample_indices(record.num_frames, 96))
            assert 0 < first < second < 96
    training = Counter(record.dive_number for record in records if record.split == "train")
    assert {record.dive_number for record in records} == set(training)  # every dive has exemplars
