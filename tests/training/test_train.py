"""Training from the command line: files, determinism, interruption and resumption to identical numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mcore import metrics
from mcore.config import BACKBONES, ModelConfig, from_dict
from mcore.data.manifest import read_manifest, select_split
from mcore.evaluation.scoring import Predictions, plan_scoring, predict
from mcore.network.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from mcore.train import main
from mcore.training import run
from mcore.training.config import PRESETS, ComputeConfig, TrainingConfig, compute_from_dict, training_from_dict
from mcore.training.log import columns
from mcore.training.losses import default_weights
from mcore.training.trainer import Stopped, validation_figures
from tests.fake_dives import MODEL_FLAGS, write_fake_dives
from tests.training.command_line import parse, wait_for_an_epoch

RECIPE = ["--epochs", "3", "--batch-size", "3", "--batch-norm", "trained", "--device", "cpu"]


def arguments(manifest: Path, out: Path, *more: str) -> list[str]:
    return ["--data", str(manifest), "--out", str(out), *RECIPE, *MODEL_FLAGS, *more]


@pytest.fixture(scope="module")
def finished(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs of three steps, never interrupted."""
    out = tmp_path_factory.mktemp("run") / "whole"
    assert main(arguments(manifest, out)) == 0
    return out


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path).state_dict


def same_weights(one: Path, two: Path) -> bool:
    a, b = weights(one), weights(two)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class StopAfter:
    """Says stop at the n-th question and ever after."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def train_until(argv: list[str], questions: int) -> bool:
    """Train, stopping at a question; says whether it was stopped."""
    try:
        options, checkpoint = parse(argv)
        run.run(run.prepare(options, checkpoint), options, StopAfter(questions))
    except Stopped:
        return True
    return False


def test_a_run_leaves_checkpoints_csv_and_tensorboard(finished: Path, manifest: Path) -> None:
    lines = (finished / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + 3
    assert lines[0].startswith("epoch,learning_rate,loss_total")
    assert list((finished / "tensorboard").iterdir())
    with Image.open(finished / "losses.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20
    config = json.loads((finished / "config.json").read_text())
    last = read_checkpoint(finished / "last.pt")
    assert from_dict(TrainingConfig, config["training"]) == from_dict(TrainingConfig, last.extra["training"])
    assert from_dict(ModelConfig, config["model"]) == last.config
    assert config["data"] == last.extra["data"]
    best = read_checkpoint(finished / "best.pt")
    history = last.extra["state"]["progress"]["history"]
    assert best.extra["epoch"] == max(history, key=lambda row: row["val_srcc"] or -2)["epoch"]
    assert best.extra["data"]["manifest"] == str(manifest.resolve())
    assert (finished / best.extra["data"]["manifest_relative"]).resolve() == manifest.resolve()
    assert best.extra["metrics"]["val_mae_points"] > 0
    assert "state" not in best.extra
    assert load_checkpoint(finished / "best.pt").config.clip.num_frames == 8


def test_the_seed_alone_decides_the_numbers(finished: Path, manifest: Path, tmp_path: Path) -> None:
    assert main(arguments(manifest, tmp_path / "again", "--workers", "2")) == 0
    assert same_weights(finished / "last.pt", tmp_path / "again" / "last.pt")
    assert (finished / "metrics.csv").read_bytes() == (tmp_path / "again" / "metrics.csv").read_bytes()
    assert main(arguments(manifest, tmp_path / "other", "--seed", "1")) == 0
    assert not same_weights(finished / "last.pt", tmp_path / "other" / "last.pt")


# A run asks three times in an epoch's steps, then after each batch of its validation, then at its end.
@pytest.mark.parametrize("questions", [2, 4, 6], ids=["in an epoch", "in its validation", "at its end"])
def test_interrupted_and_resumed_equals_uninterrupted(
    finished: Path, manifest: Path, tmp_path: Path, questions: int
) -> None:
    argv = arguments(manifest, tmp_path / "run")
    assert train_until(argv, questions)
    interrupted = read_checkpoint(tmp_path / "run" / "last.pt").extra["state"]["progress"]
    assert interrupted["epoch"] < 3
    assert main([*argv, "--resume"]) == 0
    assert same_weights(finished / "last.pt", tmp_path / "run" / "last.pt")
    assert same_weights(finished / "best.pt", tmp_path / "run" / "best.pt")
    assert (finished / "metrics.csv").read_bytes() == (tmp_path / "run" / "metrics.csv").read_bytes()


def test_interrupted_again_and_again(finished: Path, manifest: Path, tmp_path: Path) -> None:
    argv = arguments(manifest, tmp_path / "run")
    stops = 0
    # At least three questions: a validation is never taken up in its middle, and asks twice.
    while train_until([*argv, "--resume"] if stops else argv, 3 + stops % 2):
        stops += 1
        assert stops < 20
    assert stops > 3
    assert same_weights(finished / "last.pt", tmp_path / "run" / "last.pt")
    assert (finished / "metrics.csv").read_bytes() == (tmp_path / "run" / "metrics.csv").read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_signals_leave_a_run_to_resume(manifest: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    argv = arguments(manifest, tmp_path / "run", "--epochs", "1000", "--save-every-steps", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "mcore.train", *argv, "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for_an_epoch(process, tmp_path / "run")
        os.killpg(process.pid, number)  # as a terminal does: to the workers, too
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in errors
    if number == signal.SIGINT:
        assert errors.rstrip().endswith("--resume")
    state: dict[str, Any] = read_checkpoint(tmp_path / "run" / "last.pt").extra["state"]["progress"]
    assert state["epoch"] >= 1
    epochs = str(state["epoch"] + 1)
    assert main([*argv, "--resume", "--epochs", epochs]) == 0
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 1 + int(epochs)


def test_errors_exit_with_2_and_say_what_to_do(
    finished: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_fake_dives(tmp_path / "other", seed=1)
    bare = tmp_path / "bare.jsonl"
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    for row in rows:
        row["path"] = str(manifest.parent / row["path"])
        del row["transition_frames"]
    bare.write_text("\n".join(map(json.dumps, rows)))
    cases = [
        (arguments(manifest, finished), "--resume"),
        (arguments(manifest, tmp_path / "empty", "--resume"), "nothing to resume"),
        (arguments(manifest, finished, "--resume", "--batch-size", "2"), "batch_size"),
        (arguments(manifest, finished, "--resume", "--model.decoder-layers", "2"), "decoder_layers"),
        (arguments(other, finished, "--resume"), "not the list"),
        (arguments(tmp_path / "none.jsonl", tmp_path / "new"), "none.jsonl"),
        (arguments(bare, tmp_path / "new"), "8 of 8 dives have no transition_frames"),
        (arguments(manifest, tmp_path / "new", "--device", "quantum"), "quantum"),
        (arguments(manifest, tmp_path / "new", "--epochs", "0"), "epochs is 0"),
        (arguments(manifest, tmp_path / "new", "--precision", "fp16"), "fp16 needs CUDA"),
        (arguments(manifest, tmp_path / "new", "--activation-checkpointing"), "--batch-norm trained"),
        (arguments(manifest, manifest / "run"), "is a file"),
        (arguments(manifest, tmp_path / "new", "--cache", str(manifest)), "--no-cache"),
        (arguments(manifest, tmp_path / "new", "--pretrained", "auto"), "no ImageNet weights"),
    ]
    for argv, words in cases:
        assert main(argv) == 2, argv
        errors = capsys.readouterr().err
        assert words in errors
        assert "Traceback" not in errors
    assert (finished / "last.pt").exists()
    assert not (tmp_path / "new").exists()


def test_a_run_may_become_longer_or_be_overwritten(finished: Path, manifest: Path, tmp_path: Path) -> None:
    """Three epochs at once, and one then two more, are the same where the rate does not depend on the end."""
    argv = arguments(manifest, tmp_path / "run")
    assert main([*argv, "--epochs", "1", "--seed", "5"]) == 0
    assert main([*argv, "--epochs", "1", "--overwrite"]) == 0
    assert main([*argv, "--resume"]) == 0
    assert same_weights(finished / "last.pt", tmp_path / "run" / "last.pt")


def test_how_it_is_computed_is_recorded_resumed_and_may_change(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    flags = ["--batch-norm", "estimated", "--gradient-accumulation", "2", "--precision", "bf16"]
    flags += ["--activation-checkpointing"]
    argv = [*arguments(manifest, out, *flags)]
    assert main(arguments(manifest, tmp_path / "whole", *flags)) == 0
    assert train_until(argv, 5)
    assert read_checkpoint(out / "last.pt").extra["compute"] == {
        "gradient_accumulation": 2, "precision": "bf16", "channels_last": True, "compile": False,
        "activation_checkpointing": True, "world_size": 1, "device": "cpu",
    }  # fmt: skip
    bare = ["--data", str(manifest), "--out", str(out), "--device", "cpu", "--resume"]
    options, _ = parse([*bare, "--gradient-accumulation", "1"])
    assert (options.compute.gradient_accumulation, options.compute.precision) == (1, "bf16")
    assert main(bare) == 0
    assert same_weights(tmp_path / "whole" / "last.pt", out / "last.pt")


def test_a_constant_network_keeps_its_relative_l2(manifest: Path) -> None:
    records = select_split(read_manifest(manifest), "val")
    plan = plan_scoring(records, records, num_exemplars=1, seed=0)
    transitions = np.tile([2, 5], (4, 1))
    row = validation_figures(Predictions(np.full(4, 50.0), np.zeros(4), transitions, transitions), plan)
    assert row["val_srcc"] is None
    assert row["val_relative_l2"] == metrics.relative_l2([50.0] * 4, [record.score for record in records])
    assert row["val_boundary_error_frames"] == 0
    assert set(validation_figures(None, plan).values()) == {None}
    assert row.keys() < set(columns())


def test_scores_that_are_no_numbers_are_never_the_best(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs = iter((True, False, True))

    def sometimes_none(*arguments: Any, **options: Any) -> Predictions:
        found = predict(*arguments, **options)
        return replace(found, scores=found.scores * np.nan) if next(epochs) else found

    monkeypatch.setattr("mcore.training.trainer.predict", sometimes_none)
    assert main(arguments(manifest, tmp_path / "run")) == 0
    printed = capsys.readouterr()
    assert "best.pt: epoch 2," in printed.out
    assert "not all scores of the validation dives are finite numbers" in printed.out + printed.err
    epochs = iter((True, True, True))
    assert main(arguments(manifest, tmp_path / "none")) == 2
    assert "so there is no best.pt; train" in capsys.readouterr().err
    assert not (tmp_path / "none" / "best.pt").exists()


@pytest.mark.parametrize(("mode", "is_warned"), [("frozen", True), ("estimated", False)])
def test_random_weights_with_frozen_batch_norm_are_warned_of(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str, is_warned: bool
) -> None:
    train_until([*arguments(manifest, tmp_path / "run"), "--batch-norm", mode], 1)
    warning = "warning: random weights, and batch-norm frozen at mean 0 and variance 1"
    assert (warning in capsys.readouterr().err) is is_warned


def test_runs_of_earlier_versions_resume(finished: Path, manifest: Path, tmp_path: Path) -> None:
    argv = arguments(manifest, tmp_path / "run")
    assert train_until(argv, 2)
    path = tmp_path / "run" / "last.pt"
    extra = read_checkpoint(path).extra
    state = extra["state"]
    state["torch_rng"], state["cuda_rng"] = state.pop("random")[0][0], []
    del state["scaler"], extra["compute"], extra["training"]["stages"]
    weights = extra["training"].pop("loss_weights")
    extra["training"] |= {f"{name}_weight": weight for name, weight in weights.items()}
    save_checkpoint(path, load_checkpoint(path), extra=extra)
    assert main([*argv, "--resume"]) == 0
    assert same_weights(finished / "last.pt", path)


def test_words_of_earlier_versions_are_read() -> None:
    recipe = training_from_dict({"batch_norm": "calibrated", "contrastive_weight": 0.1, "regression_weight": 1.0})
    assert recipe.batch_norm == "estimated"
    assert recipe.loss_weights == {"regression": 1.0, "contrastive": 0.1}
    compute = compute_from_dict({"micro_batches": 2, "recompute": True, "num_processes": 1, "device": "cpu"})
    assert compute == ComputeConfig(gradient_accumulation=2, activation_checkpointing=True)


def test_named_backbones_keep_the_presets_shift_and_can_be_changed_further(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["--data", str(tmp_path / "dives.jsonl"), "--out", str(tmp_path / "run")]
    flags = ["--backbone", "regnety_008", "--model.backbone.shift", "tsm", "--contrastive-weight", "0"]
    options, _ = parse([*base, *flags])
    assert options.training.loss_weights == default_weights(contrastive=0)
    assert options.model.backbone == replace(BACKBONES["regnety_008"].config, shift="tsm")
    assert options.model.clip == PRESETS["paper"].model.clip
    assert main([*base, "--backbone", "resnet50"]) == 2
    assert "allowed: regnety_002, regnety_008" in capsys.readouterr().err
