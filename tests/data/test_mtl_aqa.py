"""MTL-AQA's pickles, plain and with CoRe's dive numbers, and the frames of a whole video."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.data.cache import load_clip
from mcore.data.commands.main import main
from mcore.data.manifest import read_manifest
from mcore.data.mtl_aqa import compose_dive_number, read_mtl_aqa
from mcore.data.sources import read_source
from tests.mini_finediving import mtl_fields, write_images, write_mtl_aqa

CONFIG = ClipConfig(num_frames=12, resize_height=40, resize_width=32, crop_size=32)


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({}, "407C"),
        ({"rotation_type": 1, "position": 1}, "107B"),
        ({"rotation_type": 3, "ss_no": 5, "position": 1}, "305B"),
        ({"rotation_type": 0, "ss_no": 5, "tw_no": 3, "position": 1}, "5253B"),
        ({"rotation_type": 0, "ss_no": 4, "tw_no": 3, "position": 0, "armstand": 1}, "6243D"),
        ({"rotation_type": 0, "ss_no": 6, "armstand": 1}, "626C"),
        ({"rotation_type": 3, "ss_no": 0, "position": 0}, "300D"),  # published so, and no dive number
    ],
)
def test_dive_numbers_are_composed_as_published(changes: dict[str, Any], number: str) -> None:
    assert compose_dive_number(mtl_fields(0, 9, **changes)) == number


@pytest.mark.parametrize("folder", [".", "info", "Ready_2_Use/MTL-AQA_split_0_data"])
def test_both_annotation_files(tmp_path: Path, folder: str) -> None:
    plain = {(1, 1): mtl_fields(3, 23), (10, 2): mtl_fields(40, 70, final_score=70.4)}
    write_mtl_aqa(tmp_path / folder, plain, [(10, 2)], name="final_annotations_dict")
    source = read_source(tmp_path)
    assert source.kind == "mtl-aqa"
    assert [dive.name for dive in source.dives] == ["01/1", "10/2"]
    record = source.dives[1].record
    assert record is not None
    assert (record.dive_number, record.score, record.difficulty, record.split) == ("407C", 70.4, 3.2, "test")
    assert (record.num_frames, record.transition_frames) == (30, None)
    # CoRe's file, which has judges' awards as arrays, is preferred
    awards = np.array([9.5, 9.0])
    numbered = {key: value | {"dive_number": "626C", "judge_scores": awards} for key, value in plain.items()}
    write_mtl_aqa(tmp_path / folder, numbered, [(10, 2)], name="final_annotations_dict_with_dive_number")
    assert {dive.record.dive_number for dive in read_mtl_aqa(tmp_path) if dive.record is not None} == {"626C"}


def test_a_dive_is_its_frames_of_the_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = {(1, 1): mtl_fields(3, 23), (1, 2): mtl_fields(30, 55)}
    write_mtl_aqa(tmp_path / "info", annotations, [(1, 2)], name="final_annotations_dict")
    write_images(tmp_path / "new" / "new_total_frames_256s" / "01", 60, first=1)
    out = tmp_path / "mtl.jsonl"
    assert main(["convert", str(tmp_path), "--out", str(out)]) == 0
    assert "training does not" in capsys.readouterr().err  # MTL-AQA has no transitions
    records = read_manifest(out)
    assert [record.split for record in records] == ["train", "test"]
    assert {(record.origin, record.event) for record in records} == {("real", "01")}
    for record, (start, end) in zip(records, ((3, 23), (30, 55)), strict=True):
        assert record.num_frames == end - start
        clip = load_clip(record, CONFIG)
        assert (clip.indices[0], clip.indices[-1]) == (0, end - start - 1)
        # images are numbered from 1, and their red is their number: the first frame is number start + 1
        assert abs(int(clip.frames[0, 0, 0, 0]) - (start + 1)) <= 2
        assert abs(int(clip.frames[-1, 0, 0, 0]) - end) <= 2
    assert main(["check", str(tmp_path), "--decode"]) == 0


def test_bad_dives_and_unknown_shapes(tmp_path: Path) -> None:
    annotations: dict[Any, Any] = {
        (1, 1): mtl_fields(3, 23),
        (1, 2): mtl_fields(30, 20),
        (1, 3): mtl_fields(3, 9, position=7),
        (1, 4): {"final_score": 3.0},
        (1, 5): mtl_fields(3, 9, final_score="x"),
        "key": mtl_fields(3, 9),
    }
    folder = write_mtl_aqa(tmp_path, annotations, [(9, 9)], name="final_annotations_dict")
    (folder / "train_split_0.pkl").write_bytes(pickle.dumps([(1, sample) for sample in range(1, 6)], 2))
    read = read_mtl_aqa(folder)
    assert [dive.record is None for dive in read] == [False, True, True, True, True, True, True]
    path = folder / "final_annotations_dict.pkl"
    path.write_bytes(pickle.dumps({(1, 1): "407C"}))
    with pytest.raises(UserError, match="could not be confirmed"):
        read_mtl_aqa(folder)
    path.write_bytes(pickle.dumps({(1, 1): mtl_fields(3, 9)}))
    (folder / "test_split_0.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UserError, match=r"test_split_0\.pkl is not a list"):
        read_mtl_aqa(folder)
