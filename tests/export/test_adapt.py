"""``mcore-adapt``: what it refuses and says, its recipe, which network it keeps, and one run from list to bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mcore.data.manifest import DiveRecord, read_manifest, write_manifest
from mcore.data.trained_dives import recorded_dives
from mcore.network.checkpoint import read_checkpoint
from mcore.train import main as train
from mcore.training.config import PRESETS, TrainingConfig
from mcore_export.adapt import adapt as adaptation
from mcore_export.adapt.command import main
from mcore_export.adapt.comparison import ScoredDive, compare
from mcore_export.adapt.recipe import LEAST_TRAIN, OwnDives, read_own_dives, recipe
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import hash_file
from tests.fake_dives import MODEL_FLAGS, write_fake_dives

NUMBERS = ("101A", "205B", "107B", "407C", "307C", "5253B")
"""Four training dives of each: enough for an adaptation."""


@pytest.fixture(scope="module")
def old_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_dives(tmp_path_factory.mktemp("old"), NUMBERS)


@pytest.fixture(scope="module")
def own_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    listing = write_fake_dives(tmp_path_factory.mktemp("own"), NUMBERS, seed=1)
    for index, record in enumerate(read_manifest(listing)):  # dives of few colours can be the same: no two of these are
        picture = min(record.path.iterdir())
        picture.write_bytes(picture.read_bytes() + bytes([index]))
    return listing


@pytest.fixture(scope="module")
def network(old_list: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "old"
    recipe = ["--epochs", "2", "--batch-norm", "estimated", "--device", "cpu", *MODEL_FLAGS]
    assert train(["--data", str(old_list), "--out", str(out), *recipe]) == 0
    return out / "best.pt"


def dives(count: int, split: Any = "test") -> list[DiveRecord]:
    return [DiveRecord(Path(f"{split}{i}.mp4"), "107B", 40.0 + i % 7, split=split) for i in range(count)]


def scored(records: Sequence[DiveRecord], error: float) -> dict[DiveRecord, ScoredDive]:
    """Scores that are wrong by an error, up and down in turns."""
    frames = np.array([1, 2])
    return {r: ScoredDive(r.score + error * (-1) ** i, frames, frames) for i, r in enumerate(records)}


def test_from_a_list_to_a_bundle(
    network: Path, own_list: Path, old_list: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    argv = [str(network), "--data", str(own_list), "--out", str(out), "--mix", str(old_list), "--epochs", "2"]
    assert main([*argv, "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "train  24 dives of 6 numbers" in said
    assert "12 validation dives are too few" in said
    assert "12 test dives are too few" in said
    assert "as delivered with exemplars of manifest.jsonl" in said
    found = json.loads((tmp_path / "bundle-comparison.json").read_text())
    assert found["dives"] == {"train": 24, "val": 12, "test": 12}
    assert list(found["test"]) == [adaptation.DELIVERED, adaptation.GIVEN, adaptation.ADAPTED]
    assert found["test"][adaptation.ADAPTED]["less_other"]["mae_points"]["value"] == 0
    bundle, best = Bundle.open(out), tmp_path / "bundle-training" / "last.pt"
    kept = best if found["adapted_is_kept"] else network
    assert bundle.manifest.checkpoint.sha256 == hash_file(kept).sha256
    exemplars = bundle.load_exemplars("fp32")
    own = {(r.dive_number, r.score) for r in read_manifest(own_list) if r.split == "train"}
    assert set(zip(exemplars.dive_numbers.tolist(), exemplars.scores.tolist(), strict=True)) == own
    extra, before = read_checkpoint(best).extra, recorded_dives(read_checkpoint(network).extra, network)
    assert extra["start_from"] == {"checkpoint": str(network), "sha256": hash_file(network).sha256}
    assert isinstance(extra["data"], dict)
    assert extra["data"]["mix"] == str(old_list.resolve())
    assert len(recorded_dives(extra, best).dives) == len(before.dives) + 24  # those that were mixed in are known

    assert main(argv) == 2  # nothing is replaced by accident
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize("adapted_error", [1.0, 5.0])
def test_the_network_that_is_better_on_validation_dives_is_kept(
    network: Path, own_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], adapted_error: float,
) -> None:  # fmt: skip
    exported: list[Path] = []

    def score(path: Path, queries: Sequence[DiveRecord], *_: Any, **__: Any) -> dict[DiveRecord, ScoredDive]:
        return scored(queries, 3.0 if path == network else adapted_error)

    def export(path: Path, out: Path, *_: Any, **__: Any) -> Any:
        exported.append(path)
        return SimpleNamespace(path=out)

    monkeypatch.setattr(adaptation, "score_dives", score)
    monkeypatch.setattr(adaptation, "export_checkpoint", export)
    out = tmp_path / "bundle"
    assert main([str(network), "--data", str(own_list), "--out", str(out), "--epochs", "1", "--device", "cpu"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    if adapted_error < 3:
        assert exported == [tmp_path / "bundle-training" / "last.pt"]
        assert "so it is better" in said
    else:
        assert exported == [network]
        assert "is not better, so the given one is kept" in said
    assert json.loads((tmp_path / "bundle-comparison.json").read_text())["adapted_is_kept"] == (adapted_error < 3)


def test_what_is_refused(network: Path, own_list: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = read_manifest(own_list)
    few = own_list.parent / "few.jsonl"
    write_manifest(few, [r for r in records if r.split != "train" or r.dive_number in NUMBERS[:4]])
    assert main([str(network), "--data", str(few), "--out", str(tmp_path / "out")]) == 2
    assert "16 training dives, 16 of which have another of their number to be compared with; a network is " in (
        said := " ".join(capsys.readouterr().err.split())
    )
    assert f"at least {LEAST_TRAIN}" in said
    write_manifest(few, [r for r in records if r.split != "val"])
    assert main([str(network), "--data", str(few), "--out", str(tmp_path / "out")]) == 2
    assert "fewer than two validation dives" in capsys.readouterr().err
    assert not (tmp_path / "out-training").exists()


def test_a_bundle_is_no_checkpoint(bundle: Path, own_list: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(bundle), "--data", str(own_list), "--out", "out"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "is a bundle: it holds graphs, and no weights" in said
    assert f"best.pt, sha256 {Bundle.open(bundle).manifest.checkpoint.sha256[:12]}" in said


def test_dives_that_were_mixed_in_measure_nothing(own_list: Path, tmp_path: Path) -> None:
    records = read_manifest(own_list)
    shown = next(r for r in records if r.split == "test")
    copy = tmp_path / "copy"
    shutil.copytree(shown.path, copy)
    assert shown in read_own_dives(own_list, []).test
    assert shown not in read_own_dives(own_list, [replace(shown, path=copy, split="train")]).test


def test_the_recipe_follows_the_number_of_dives() -> None:
    tiny = PRESETS["tiny"].training
    chosen = [recipe(tiny, dives(count, "train"), []) for count in (20, 30, 100, 300, 1000, 10_000)]
    assert [each.epochs for each in chosen] == [48, 44, 24, 14, 8, 8]
    for each in chosen:
        assert each.learning_rate < tiny.learning_rate
        assert each.backbone_learning_rate < tiny.backbone_learning_rate
        assert each.batch_norm == "estimated"
        assert each.epochs / each.validate_every <= 16
    assert chosen[0].loss_weights["stage_targets"] == 0  # real lists know no stage's points
    drawn = [replace(dives(1)[0], stage_points=(0.0, -1.0, 0.0), faults={"knees": 0.5})]
    assert recipe(tiny, dives(30), drawn).loss_weights == tiny.loss_weights
    assert recipe(TrainingConfig(), dives(30), []).batch_norm == "frozen"


def test_few_validation_dives_choose_no_epoch(tmp_path: Path) -> None:
    assert adaptation.adapted_checkpoint(tmp_path, 49).name == "last.pt"
    assert adaptation.adapted_checkpoint(tmp_path, 50).name == "best.pt"


def test_few_dives_are_said_to_tell_little() -> None:
    said = OwnDives(dives(100, "train"), dives(19, "val"), dives(49)).describe()
    assert [line for line in said if line.startswith("note")]
    assert "19 validation" in said[3]
    assert "49 test" in said[4]
    assert len(OwnDives(dives(100, "train"), dives(50, "val"), dives(50)).describe()) == 3


def test_a_comparison_says_what_its_dives_can_tell() -> None:
    records = dives(40)
    clear = compare(records, scored(records, 1.0), scored(records, 3.0))
    assert clear is not None
    assert clear.is_better
    assert clear.can_tell
    assert clear.less_other["mae_points"].value == pytest.approx(-2.0)
    same = compare(records, scored(records, 3.0), scored(records, 3.0))
    assert same is not None
    assert not same.is_better
    assert not same.can_tell
    partly = compare(records, scored(records[:30], 1.0), scored(records[10:], 3.0))
    assert partly is not None
    assert partly.dives == 20
    assert compare(records, scored(records[:1], 1.0), scored(records, 3.0)) is None
