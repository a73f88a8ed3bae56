"""``mcore-data check``: every defect is found, one bad clip never ends it, and the exit code says what was found."""

from __future__ import annotations

import json
import pickle
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from mcore.data.check import check_source
from mcore.data.commands.main import main
from mcore.data.findings import WORDS, Report
from mcore.data.finediving_labels import EVENT_OFFSET
from mcore.data.label_checks import DifficultyClass, check_labels, classify_difficulty
from mcore.data.labels import LabelledDive
from mcore.data.manifest import DiveRecord, write_manifest
from mcore.data.sources import read_source
from mcore.diving import EditionYear, edition_of
from mcore.synthetic import write_video
from tests.mini_finediving import EVENT, dives, write_finediving, write_images
from tests.numbered_video import numbered_frame


def found(report: Report, severity: str | None = None) -> set[tuple[str, str]]:
    return {(f.check, f.where) for f in report.findings if severity in (None, f.severity)}


def run(tmp_path: Path, dataset: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON report of the command."""
    path = tmp_path / "reports" / "report.json"
    code = main(["check", str(dataset), "--json", str(path), *arguments])
    return code, json.loads(path.read_text())


def test_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_finediving(tmp_path / "set", dives())
    code, report = run(tmp_path, root, "--decode")
    assert code == 0
    assert report["findings"] == []
    assert (report["errors"], report["warnings"], report["kind"]) == (0, 0, "finediving")
    assert report["splits"] == {"train": 10, "test": 2}
    assert report["dive_numbers"] == {"407C": {"train": 5, "test": 1}, "5253B": {"train": 5, "test": 1}}
    assert report["difficulty"] == {"rule_book": 12}
    assert report["rules"] == "World Aquatics, 25 June 2025"
    assert report["images"] == {"clips": 12, "present": 12, "absent": 0, "decoded": 12}
    assert report["transitions"]["labelled"] == report["transitions"]["usable"] == 12
    printed = capsys.readouterr().out
    assert "0 errors, 0 warnings" in printed
    assert "difficulty as in the rules of World Aquatics, 25 June" in " ".join(printed.split())
    assert "inward 3 1/2 somersaults tuck" in printed


def test_every_figure_has_words(tmp_path: Path) -> None:
    report = check_source(read_source(write_finediving(tmp_path / "set", dives(), frames=None)))
    figures = {*get_args(DifficultyClass), *report.transitions, *report.images}
    assert figures == set(WORDS)


def test_images_against_labels(tmp_path: Path) -> None:
    root = write_finediving(tmp_path / "set", dives())
    frames = root / "FINADiving_MTL_256s"
    write_images(frames / EVENT / "0", 34)  # the known case: more images than labels
    (frames / EVENT / "1" / "00495.jpg").unlink()
    shutil.rmtree(frames / EVENT / "2")
    shutil.rmtree(frames / EVENT / "3")
    (frames / EVENT / "3").mkdir()
    (frames / "01" / "1" / "00490.jpg").write_bytes(b"\xff\xd8\xff no picture")
    Image.new("RGB", (20, 12)).save(frames / "01" / "2" / "00491.jpg")
    (frames / "01" / "3" / "notes.txt").write_text("ignored")
    report = check_source(read_source(root), decode=True, workers=2)
    assert found(report, "error") == {
        ("images", f"{EVENT}/2"),
        ("images", f"{EVENT}/3"),
        ("unreadable", "01/1"),
        ("unreadable", "01/2"),
    }
    assert found(report, "warning") == {
        ("frame-count", f"{EVENT}/0"),
        ("frame-count", f"{EVENT}/1"),
        ("frame-gap", f"{EVENT}/1"),
    }
    assert report.images == {"clips": 12, "present": 11, "absent": 1, "decoded": 8}
    messages = {finding.where: finding.message for finding in report.findings}
    assert "34 images and 30 labels (extra images)" in messages[f"{EVENT}/0"]
    assert "00490.jpg" in messages["01/1"]
    assert "16 x 12, 20 x 12" in messages["01/2"]
    # without --decode the damaged image is not opened, the folders are still counted
    assert found(report) - found(check_source(read_source(root))) == {("unreadable", "01/1"), ("unreadable", "01/2")}
    assert run(tmp_path, root)[0] == 1


def test_labels_of_the_official_layout(tmp_path: Path) -> None:
    annotations = dives()
    annotations[EVENT, 0][1] = 30 * 3.4 + 0.02
    annotations[EVENT, 1][0] = "700X"
    annotations[EVENT, 2][4] = np.array([1, 1, 2, 2, 1, 3])
    annotations[EVENT, 3] = ["407C"]
    annotations["01", 1][2] = 3.7
    annotations["01", 2][1:3] = 59.0, 2.0
    annotations["01", 3][4] = np.repeat([1, 2, 3], [20, 5, 5])
    annotations["01", 4][4] = np.repeat([1, 2, 3], [5, 5, 20])
    test = [(EVENT, 5), ("01", 6), ("99", 1)]
    root = write_finediving(tmp_path / "set", annotations, test, frames=None)
    train = [key for key in annotations if key not in test]
    (root / "Annotations" / "train_split.pkl").write_bytes(pickle.dumps([*train, ("01", 6)]))
    report = check_source(read_source(root))
    assert found(report, "error") == {
        ("score-range", f"{EVENT}/0"),
        ("dive-number", f"{EVENT}/1"),
        ("labels", f"{EVENT}/2"),
        ("labels", f"{EVENT}/3"),
        ("labels", "01/6"),
        ("labels", "99/1"),
    }
    assert found(report, "warning") >= {("difficulty", "01/1"), ("decoding", "01/3"), ("decoding", "01/4")}
    assert report.difficulty == {"rule_book": 8, "no_dive_number": 1, "unexplained": 1, "synchro_2_0": 1}
    assert report.transitions["published_first_past_middle"] == 1
    assert report.transitions["published_last_before_middle"] == 1


RECORD = DiveRecord(Path("a"), "407C", 80.0, 3.2, "train", 96, (30, 60))


@pytest.mark.parametrize(
    ("changes", "steps", "checks"),
    [
        ({}, (30, 60), set()),
        ({}, None, set()),
        ({"score": 96.0}, None, set()),
        ({"score": 96.01}, None, {"score-range"}),
        ({"score": 1.0, "difficulty": 3.0}, None, {"difficulty", "score-range"}),  # 3,1 read as two cells
        ({"score": -1.0}, None, {"score-range"}),
        ({"score": float("nan")}, None, {"score-range"}),
        ({"difficulty": None, "score": 500.0}, None, set()),
        ({"difficulty": 0.0}, None, {"difficulty", "score-range"}),
        ({"difficulty": float("nan")}, None, {"difficulty"}),
        ({"difficulty": 3.3}, None, {"difficulty", "score-awards"}),
        ({"difficulty": 3.4}, None, {"score-awards"}),  # 3 m
        ({"difficulty": 3.4, "score": 85.0}, None, set()),
        ({"difficulty": 3.4, "score": 85.68}, None, set()),  # a synchronised panel's
        ({"difficulty": 3.8, "score": 76.0}, None, set()),  # 1 m
        ({"dive_number": "307C", "difficulty": 3.4, "score": 74.25}, None, {"older-difficulty"}),
        ({"dive_number": "305B", "difficulty": 3.0, "score": 63.8}, None, {"older-difficulty"}),
        ({"dive_number": "405B", "difficulty": 2.8, "score": 51.6}, None, {"score-awards"}),
        ({"dive_number": "407X"}, None, {"dive-number"}),
        ({"dive_number": ""}, None, {"dive-number"}),
        ({"split": None}, None, {"split"}),
        ({}, (), {"label-order"}),
        ({}, (30,), {"label-order", "decoding"}),
        ({}, (30, 30), {"label-order", "decoding"}),
        ({}, (60, 30), {"label-order", "decoding"}),
        ({}, (0, 60), {"label-range"}),
        ({}, (30, 96), {"label-range"}),
        ({}, (30, 95), set()),
        ({}, (47, 48), set()),
        ({}, (48, 60), {"decoding"}),
        ({}, (30, 47), {"decoding"}),
        ({}, (10, 20, 30, 40, 60), {"label-order"}),
        ({"num_frames": None}, (200, 300), set()),
        ({"num_frames": 0}, (30, 60), {"label-range"}),
    ],
)
def test_checks_of_one_dive(changes: dict[str, Any], steps: tuple[int, ...] | None, checks: set[str]) -> None:
    dive = LabelledDive("a", DiveRecord(**vars(RECORD) | changes), steps)
    assert {finding.check for finding in check_labels(dive)} == checks


@pytest.mark.parametrize(
    ("number", "difficulty", "expected"),
    [
        ("407C", 3.2, "rule_book"),
        ("407C", 2.0, "synchro_2_0"),
        ("403B", 2.0, "rule_book"),
        ("305C", 2.7, "unexplained"),
        ("626C", None, "not_given"),
        ("999", 2.0, "no_dive_number"),
    ],
)
def test_classes_of_difficulty(number: str, difficulty: float | None, expected: str) -> None:
    assert classify_difficulty(DiveRecord(Path("a"), number, 50.0, difficulty)) == expected


def test_a_list_of_dives(tmp_path: Path) -> None:
    write_video(tmp_path / "good.mp4", [numbered_frame(n) for n in range(30)], 25)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    records = [
        DiveRecord(tmp_path / name, number, 60.0, 3.2, split, transition_frames=(5, 12))  # type: ignore[arg-type]
        for name, number, split in (
            ("good.mp4", "407C", "train"),
            ("good.mp4", "407C", "test"),
            ("bad.mp4", "407C", "train"),
            ("gone.mp4", "5253B", "val"),
            ("bad.mp4", "407C", "train"),
        )
    ]
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, records)
    path.write_text(path.read_text() + '{"path": "x"}\nnot json\n')
    for dataset in (path, tmp_path):
        report = check_source(read_source(dataset), decode=True)
        assert found(report, "error") == {
            ("across-splits", "good.mp4"),
            ("duplicate", "bad.mp4"),
            ("unreadable", "bad.mp4"),
            ("images", "gone.mp4"),
            ("labels", "manifest.jsonl, line 6"),
            ("labels", "manifest.jsonl, line 7"),
        }
        assert ("no-exemplar", "5253B") in found(report, "warning")
    assert ("unreadable", "bad.mp4") not in found(check_source(read_source(path)))
    assert run(tmp_path, path)[0] == 1


def test_an_unexpected_failure_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("decoder bug")

    monkeypatch.setattr("mcore.data.check.sample_clip", explode)
    (tmp_path / "a.mp4").write_bytes(b"x")
    write_manifest(tmp_path / "m.jsonl", [DiveRecord(tmp_path / "a.mp4", "407C", 60.0, 3.2, "train")] * 2)
    report = check_source(read_source(tmp_path / "m.jsonl"), decode=True)
    assert "ZeroDivisionError: decoder bug" in next(f for f in report.findings if f.check == "unreadable").message


@pytest.mark.parametrize("name", ["nothing.jsonl", "dives.txt", "folder"])
def test_errors_of_use_exit_with_2(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "dives.txt").write_text("x")
    assert main(["check", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_an_unwritable_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_finediving(tmp_path / "set", dives(), frames=None)
    (tmp_path / "file").write_text("x")
    assert main(["check", str(root), "--json", str(tmp_path / "file" / "report.json")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_the_real_labels(labels_file: Path, tmp_path: Path) -> None:
    code, report = run(tmp_path, labels_file)
    assert code == 1
    assert report["splits"] == {"test": 749, "train": 2251}
    assert len(report["dive_numbers"]) == 52
    assert report["difficulty"] == {"rule_book": 2783, "synchro_2_0": 208, "unexplained": 9}
    checks = Counter(finding["check"] for finding in report["findings"])
    assert (checks["older-difficulty"], checks["score-awards"]) == (72, 13)
    transitions = report["transitions"]
    assert (transitions["published_first_past_middle"], transitions["published_last_before_middle"]) == (72, 161)
    assert (transitions["sampled_first_past_middle"], transitions["sampled_last_before_middle"]) == (112, 100)
    assert transitions["labelled"] - transitions["usable"] == 4
    errors = {(finding["check"], finding["where"]) for finding in report["findings"] if finding["severity"] == "error"}
    assert errors == {("label-order", clip) for clip in ("03/24", "03/67", "03/71", "14/3")}
    assert report["images"]["present"] == 0


def test_events_are_the_last_frames_of_steps(labels_file: Path) -> None:
    """What ``EVENT_OFFSET`` was concluded from."""
    rows = [json.loads(line) for line in labels_file.read_text().splitlines()]
    first = [row["events"][0][0] for row in rows]
    assert min(first) == 0  # counted from 0; and a step that is named has a frame
    shared_with_mtl_aqa = Counter(
        (row["events"][0][0] + EVENT_OFFSET) % 4 for row in rows if row["clip"].split("/")[0].isdecimal()
    )
    assert sum(shared_with_mtl_aqa.values()) == 1369
    assert shared_with_mtl_aqa[0] / 1369 > 0.55  # the annotators' grid; chance is a quarter


@pytest.mark.parametrize(("year", "count"), [("2017", 1), ("2025", 0)])
def test_the_edition_can_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], year: EditionYear, count: int
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    path = tmp_path / "dives.csv"
    path.write_text("path,dive_number,score,difficulty,split\na.mp4,640A,40.8,1.7,test\n")
    assert main(["check", str(path), "--edition", year, "--json", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["rules"] == str(edition_of(year))
    assert sum(each["check"] == "difficulty" for each in report["findings"]) == count
    assert str(edition_of(year)).partition(",")[0] in capsys.readouterr().out
