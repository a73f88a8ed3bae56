"""Lists of a training: labels are compared with the clips before the first step, and a list may be mended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcore.data.manifest import read_manifest, select_split
from mcore.data.trained_dives import recorded_dives
from mcore.data.trained_on import TrainedOn
from mcore.evaluate import main as evaluate
from mcore.network.checkpoint import load_checkpoint, read_checkpoint
from mcore.train import main
from tests.fake_dives import MODEL_FLAGS, write_fake_dives

RECIPE = ["--batch-size", "3", "--batch-norm", "trained", "--device", "cpu", *MODEL_FLAGS]
Rows = list[dict[str, Any]]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_fake_dives(tmp_path / "dives")


def mend(manifest: Path, change: Callable[[Rows], object]) -> None:
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    change(rows)
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))


def first(rows: Rows, split: str) -> dict[str, Any]:
    return next(row for row in rows if row["split"] == split)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("cache", [[], ["--no-cache"]], ids=["cached", "not cached"])
def test_labels_that_do_not_fit_are_found_before_the_first_step(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str, cache: list[str]
) -> None:
    mend(manifest, lambda rows: first(rows, split).update(transition_frames=[4, 400]))
    mend(manifest, lambda rows: rows[-5].update(transition_frames=[4, 4]))  # a training dive of the other number
    run = tmp_path / "run"
    assert main(["--data", str(manifest), "--out", str(run), *RECIPE, *cache]) == 2
    errors = capsys.readouterr().err
    line = 1 if split == "train" else 5
    for words in ("2 labels do not fit", f"{manifest}, line {line}: ", f"{manifest}, line 12: ", "a stage empty"):
        assert words in errors
    assert "Traceback" not in errors
    assert not run.exists()


def drop_the_last_test_dive(rows: Rows) -> None:
    assert rows.pop()["split"] == "test"


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a list and of a run of its first epoch."""
    folder = tmp_path_factory.mktemp("begun")
    manifest = write_fake_dives(folder / "dives")
    mend(manifest, lambda rows: first(rows, "train").update(transition_frames=[3, 8]))
    assert main(["--data", str(manifest), "--out", str(folder / "run"), *RECIPE, "--epochs", "1"]) == 0
    return folder


def go_on(begun: Path, folder: Path, *changes: Callable[[Rows], object]) -> tuple[int, int]:
    """Mend a copy of the list and go on with a copy of the run; returns the exit code and the last epoch."""
    shutil.copytree(begun, folder, dirs_exist_ok=True)
    for change in changes:
        mend(folder / "dives" / "manifest.jsonl", change)
    given = ["--data", str(folder / "dives" / "manifest.jsonl"), "--out", str(folder / "run"), *RECIPE]
    code = main([*given, "--epochs", "2", "--resume"])
    return code, read_checkpoint(folder / "run" / "last.pt").extra["epoch"]


def test_a_run_goes_on_with_a_list_that_was_mended_elsewhere(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes: list[Callable[[Rows], object]] = [
        lambda rows: first(rows, "test").update(score=1.0),
        lambda rows: first(rows, "val").update(transition_frames=[2, 9]),
        drop_the_last_test_dive,
        lambda rows: first(rows, "train").update(num_frames=1),  # of no use to training
        lambda rows: first(rows, "train").update(stage_points=[-1, -2, -3]),  # their loss weighs nothing
        lambda rows: first(rows, "train").update(dive_number="101a "),  # another spelling
    ]
    assert go_on(begun, tmp_path, *changes) == (0, 2)
    assert "its training dives are the same, so the run goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: first(rows, "train").update(score=1.0),
        lambda rows: first(rows, "train").update(transition_frames=[4, 8]),
        lambda rows: first(rows, "train").update(split="test"),
        lambda rows: rows.reverse(),
        lambda rows: first(rows, "train").update(start_s=0.1),
    ],
)
def test_other_training_dives_are_another_run(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Rows], object]
) -> None:
    assert go_on(begun, tmp_path, change) == (2, 1)
    assert "not the list of dives this run began with" in capsys.readouterr().err


def test_stage_points_of_a_list_are_learnt_from(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--data", str(manifest), "--out", str(tmp_path / "run"), *RECIPE, "--epochs", "1"]
    asked = [*argv, "--stage-targets-weight", "0.5"]
    assert main([*argv, "--preset", "tiny"]) == 0
    assert "note: no training dive of" in capsys.readouterr().err
    assert main([*asked, "--overwrite"]) == 2
    assert "has stage_points, which the loss stage_targets" in capsys.readouterr().err
    mend(manifest, lambda rows: [row.update(stage_points=[0, row["score"] - 100, -2]) for row in rows])
    assert main([*asked, "--overwrite"]) == 0
    last = read_checkpoint(tmp_path / "run" / "last.pt")
    assert last.extra["metrics"]["loss_stage_targets"] > 0
    mend(manifest, lambda rows: first(rows, "train").update(stage_points=[0, 0, 0]))
    assert main([*asked, "--resume"]) == 2
    assert "not the list of dives this run began with" in capsys.readouterr().err


def test_faults_of_a_list_are_learnt_from(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--data", str(manifest), "--out", str(tmp_path / "run"), *RECIPE, "--epochs", "1"]
    asked += ["--fault-targets-weight", "2"]
    assert main(asked) == 2
    assert "has faults, which the loss fault_targets" in capsys.readouterr().err

    def judge(rows: Rows) -> None:
        for index, row in enumerate(rows[1:]):  # one dive was not looked at, and not every fault of the others
            row["faults"] = {"knees": index % 3 / 2} | ({"splash": 1} if index % 2 else {})

    mend(manifest, judge)
    assert main(asked) == 0
    last = read_checkpoint(tmp_path / "run" / "last.pt")
    assert last.config.faults == ("knees", "splash")
    assert last.extra["metrics"]["loss_fault_targets"] > 0
    assert load_checkpoint(tmp_path / "run" / "best.pt").fault_reader is not None
    assert main([*asked, "--overwrite", "--model.faults", "splash"]) == 0
    assert read_checkpoint(tmp_path / "run" / "last.pt").config.faults == ("splash",)
    assert main([*asked, "--overwrite", "--model.faults", "splsh"]) == 2
    assert "--model.faults names splsh; the training dives have: knees, splash" in capsys.readouterr().err
    mend(manifest, lambda rows: first(rows, "train").update(faults={"knees": 1}))
    assert main([*asked, "--resume"]) == 2
    assert "not the list of dives this run began with" in capsys.readouterr().err


def test_a_mixed_list_teaches_nothing_that_measures(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def swap(rows: Rows) -> None:
        for row in rows:
            row["split"] = {"train": "val", "val": "train"}.get(row["split"], row["split"])

    mixed = manifest.with_name("mixed.jsonl")
    shutil.copy(manifest, mixed)
    mend(mixed, swap)
    argv = ["--data", str(manifest), "--out", str(tmp_path / "run"), *RECIPE, "--epochs", "1", "--mix", str(mixed)]
    assert main(argv) == 2
    assert "would no longer measure anything" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint, and its list."""
    folder = tmp_path_factory.mktemp("trained")
    manifest = write_fake_dives(folder / "dives")
    assert main(["--data", str(manifest), "--out", str(folder / "run"), "--epochs", "1", *RECIPE]) == 0
    return folder / "run" / "best.pt", manifest


def swap(rows: Rows, *splits: str) -> None:
    """The first dives of two splits change places."""
    one, two = (first(rows, split) for split in splits)
    one["split"], two["split"] = two["split"], one["split"]


EVALUATION = ["--device", "cpu", "--num-resamples", "5"]
START = ["--epochs", "1", *RECIPE]


@pytest.mark.parametrize(
    ("use", "change", "code", "words"),
    [
        ("evaluate", lambda rows: None, 0, ""),
        ("evaluate", lambda rows: swap(rows, "train", "test"), 2, "split test; the first: "),
        ("evaluate", lambda rows: swap(rows, "val", "test"), 0, "none of its 8 dives that measure it was trained on"),
        ("train", lambda rows: swap(rows, "train", "val"), 2, "was trained on 1 of the 8 dives of"),
        ("train", drop_the_last_test_dive, 0, "none of its 7 dives that measure it was trained on"),
    ],
)  # fmt: skip
def test_a_list_that_was_split_anew_measures_nothing(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    use: str, change: Callable[[Rows], object], code: int, words: str,
) -> None:  # fmt: skip
    checkpoint, manifest = trained
    other = manifest.with_name("other.jsonl")
    other.write_text(manifest.read_text())
    mend(other, change)
    data = ["--data", str(other), "--out", str(tmp_path / "out")]
    capsys.readouterr()
    if use == "evaluate":
        assert evaluate([str(checkpoint), *data, *EVALUATION]) == code
    else:
        assert main([*data, "--start-from", str(checkpoint), *START]) == code
    said = capsys.readouterr().err
    assert words in said
    assert ("note: " in said) == (code == 0 and words != "")
    assert "Traceback" not in said
    assert (tmp_path / "out").exists() == (code == 0)


def test_a_chain_of_trainings_remembers_all_of_its_dives(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, manifest = trained
    own = write_fake_dives(tmp_path / "own", seed=2)
    mend(own, lambda rows: [row.update(origin="real", event="Heat") for row in rows])
    mend(own, lambda rows: [first(rows, "train").pop(name) for name in ("origin", "event")])
    run = tmp_path / "run"
    assert main(["--data", str(own), "--out", str(run), "--start-from", str(checkpoint), *START]) == 0
    assert main(["--data", str(own), "--out", str(run), "--resume", *START[2:], "--epochs", "2"]) == 0
    summaries = [recorded_dives(read_checkpoint(path).extra, path).summary() for path in (checkpoint, run / "last.pt")]
    drawn = len(select_split(read_manifest(manifest), "train"))
    assert summaries == [TrainedOn(rendered=drawn), TrainedOn(drawn - 1, drawn, 1, events=("Heat",))]
    note = (
        "note: trained on 7 real dives of 1 event and 8 rendered dives and 1 dive of an origin that is not stated. The"
    )
    assert note in capsys.readouterr().err
    other = manifest.with_name("chain.jsonl")
    other.write_text(manifest.read_text())
    mend(other, lambda rows: swap(rows, "train", "test"))
    capsys.readouterr()
    assert evaluate([str(run / "last.pt"), "--data", str(other), "--out", str(tmp_path / "out"), *EVALUATION]) == 2
    assert "of the 8 dives of" in capsys.readouterr().err
