"""FineDiving in its official layout: order of fields, splits, transitions, convert."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.data.cache import load_clip
from mcore.data.commands.main import main
from mcore.data.finediving import find_frames, first_frames, read_finediving
from mcore.data.labels import transitions_of_steps, with_validation
from mcore.data.manifest import DiveRecord, read_manifest
from mcore.video.sampling import sample_indices, sampled_transitions
from tests.mini_finediving import EVENT, dives, record_of, write_finediving

CONFIG = ClipConfig(num_frames=12, resize_height=40, resize_width=32, crop_size=32)


def test_the_official_layout(tmp_path: Path) -> None:
    read = read_finediving(write_finediving(tmp_path, dives()))
    assert [dive.name for dive in read][:2] == [f"{EVENT}/0", "01/1"]
    assert all(dive.problem is None for dive in read)
    first, second = record_of(read[0]), record_of(read[1])
    assert first == DiveRecord(
        path=tmp_path / "FINADiving_MTL_256s" / EVENT / "0",
        dive_number="407C",
        score=51.0,
        difficulty=3.4,
        split="train",
        num_frames=30,
        transition_frames=(10, 22),
        origin="real",
        event=EVENT,
    )
    assert (second.dive_number, second.score, second.difficulty) == ("5253B", 64.0, 3.2)
    assert read[1].step_frames == (6, 13, 22)
    assert second.transition_frames == (6, 22)  # everything between take-off and entry is flight
    assert Counter(record_of(dive).split for dive in read) == {"train": 10, "test": 2}


@pytest.mark.parametrize("frames", ["FINADiving_MTL_256s", "Dataset/FineDiving", ".", "Annotations/frames"])
def test_the_frames_are_found(tmp_path: Path, frames: str) -> None:
    root = write_finediving(tmp_path, dives(), frames=frames)
    assert all(record_of(dive).path.is_dir() for dive in read_finediving(root))
    # and from the folder of the pickles, told where the frames are
    told = read_finediving(root / "Annotations", root / frames)
    assert all(record_of(dive).path.is_dir() for dive in told)


def test_splits_may_lie_in_their_own_folder(tmp_path: Path) -> None:
    root = write_finediving(tmp_path, dives(), frames=None)
    (root / "train_test_split").mkdir()
    for name in ("train_split.pkl", "test_split.pkl"):
        (root / "Annotations" / name).rename(root / "train_test_split" / name)
    assert Counter(record_of(dive).split for dive in read_finediving(root)) == {"train": 10, "test": 2}


def test_frames_that_are_not_there(tmp_path: Path) -> None:
    root = write_finediving(tmp_path, dives(), frames=None)
    assert find_frames(root, dives()) == root
    assert record_of(read_finediving(root)[0]).path == root / EVENT / "0"


def test_bad_dives_do_not_hide_good_ones(tmp_path: Path) -> None:
    annotations = dives()
    annotations[EVENT, 0] = ["407C", 51.0, 3.4]
    annotations[EVENT, 1] = [*annotations[EVENT, 1][:4], np.array([])]
    annotations[EVENT, 2] = ["407C", "many", 3.4, [], np.zeros(9)]
    annotations[EVENT, 3][4] = np.array([1, 1, 2, 2, 1, 3])
    annotations[EVENT, 4] = []
    root = write_finediving(tmp_path, annotations, test=[(EVENT, 5), ("01", 99)], frames=None)
    read = {dive.name: dive for dive in read_finediving(root)}
    for index in (0, 1, 2, 4):
        assert read[f"{EVENT}/{index}"].record is None
        assert "labels are not [dive number" in str(read[f"{EVENT}/{index}"].problem)
    assert "comes back" in str(read[f"{EVENT}/3"].problem)
    assert "without annotations" in str(read["01/99"].problem)
    assert sum(dive.record is not None and dive.problem is None for dive in read.values()) == 7


@pytest.mark.parametrize("name", ["fine-grained_annotation_aqa.pkl", "train_split.pkl", "test_split.pkl"])
def test_malicious_and_foreign_pickles_are_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_finediving(tmp_path / "set", dives(), frames=None)
    path = root / "Annotations" / name
    path.write_bytes(pickle.dumps([os.system]))
    assert main(["check", str(root)]) == 2
    assert "system, which is not data" in capsys.readouterr().err
    path.write_bytes(pickle.dumps("text"))
    with pytest.raises(UserError, match=name):
        read_finediving(root)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([5, 5, 7, 7, 7, 2], (2, 5)),
        (["Inward", "3.5 Soms.Tuck", "Entry"], (1, 2)),
        ([1, 1], ()),
        (np.array([3.0, 3.0, 1.0]), (2,)),
    ],
)
def test_first_frames_of_steps(labels: list[object], expected: tuple[int, ...]) -> None:
    assert first_frames(labels) == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((10, 22), (10, 22)),
        ((6, 13, 22), (6, 22)),
        ((6,), None),
        ((), None),
        ((0, 5), None),
        ((5, 5), None),
        ((52, 36), None),
        ((3, 9, 7), None),
    ],
)
def test_transitions(steps: tuple[int, ...], expected: tuple[int, int] | None) -> None:
    assert transitions_of_steps(steps) == expected


def test_validation_is_carved_out_of_training_only(tmp_path: Path) -> None:
    read = read_finediving(write_finediving(tmp_path, dives(), frames=None))
    split = with_validation(read, share=0.4, seed=3)
    assert [d.name for d in split] == [d.name for d in read]
    before = {dive.name: record_of(dive).split for dive in read}
    after = {dive.name: record_of(dive).split for dive in split}
    assert {name for name, value in after.items() if value == "test"} == {n for n, v in before.items() if v == "test"}
    counts = Counter((record_of(dive).dive_number, record_of(dive).split) for dive in split)
    assert counts == {(n, s): c for n in ("407C", "5253B") for s, c in (("train", 3), ("val", 2), ("test", 1))}
    # the same dives whatever the order, others with another seed, none with a share of 0
    again = {dive.name: record_of(dive).split for dive in with_validation(read[::-1], share=0.4, seed=3)}
    assert again == after
    others = [{d.name: record_of(d).split for d in with_validation(read, share=0.4, seed=seed)} for seed in range(5)]
    assert any(other != after for other in others)
    assert with_validation(read, share=0.0) == read
    assert with_validation(split, share=0.4, seed=9) == split  # a validation split that is there stays
    kept = Counter(record_of(dive).split for dive in with_validation(read, share=0.99))
    assert kept["train"] == 4  # two of each number: a pair needs two


def test_convert_gives_what_training_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = dives()
    annotations[EVENT, 1][4] = np.zeros(30)  # one step only: cannot be trained on
    annotations[EVENT, 5][4] = np.zeros(30)  # a test dive still has its score
    root = write_finediving(tmp_path / "set", annotations)
    out = tmp_path / "lists" / "finediving.jsonl"
    assert main(["convert", str(root), "--out", str(out), "--validation-share", "0.2"]) == 0
    printed = capsys.readouterr()
    assert "11 dives (7 train, 2 val, 2 test) from finediving, 1 left out" in printed.out
    assert f"left out {EVENT}/1" in printed.err
    records = read_manifest(out)
    for record in records:
        clip = load_clip(record, CONFIG)
        assert clip.indices.tolist() == sample_indices(30, 12).tolist()
        if record.transition_frames is not None:
            first, second = sampled_transitions(record.transition_frames, clip.indices)
            assert 0 < first < second < 12
    assert sum(record.transition_frames is None for record in records) == 1


def test_convert_refuses_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_finediving(tmp_path / "set", dives(), frames=None)
    for arguments, message in (
        ([str(root), "--out", "a.csv"], "ends in .jsonl"),
        ([str(root), "--out", "a.jsonl", "--validation-share", "1"], "--validation-share"),
        ([str(tmp_path / "no"), "--out", "a.jsonl"], "no such file"),
        ([str(tmp_path), "--out", "a.jsonl"], "is not a data set of dives"),
    ):
        assert main(["convert", *arguments]) == 2
        assert message in capsys.readouterr().err
