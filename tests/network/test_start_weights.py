"""Trainings that begin with another checkpoint's weights: what is taken, what is new, what is refused."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mcore.common.errors import CheckpointError
from mcore.config import BACKBONES, BackboneConfig, ModelConfig
from mcore.network.checkpoint import read_checkpoint, save_checkpoint
from mcore.network.model import MCoRe
from mcore.network.start_weights import load_start_weights
from mcore.train import main
from mcore.training.run import command_to_resume
from tests.fake_dives import MODEL, MODEL_FLAGS
from tests.reference_network import random_model
from tests.training.command_line import prepared

RECIPE = ["--epochs", "1", "--batch-size", "3", "--batch-norm", "trained", "--device", "cpu"]
SCALE = 10.0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose every tensor differs from a fresh network's."""
    path = tmp_path_factory.mktemp("small") / "best.pt"
    save_checkpoint(path, random_model(MCoRe(MODEL)))
    return path


def arguments(manifest: Path, out: Path, *more: str) -> list[str]:
    return ["--data", str(manifest), "--out", str(out), *RECIPE, *MODEL_FLAGS, *more]


def test_every_weight_is_taken_and_the_last_layer_not_scaled_again(
    manifest: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = ("--model.clip.num-frames", "12", "--model.clip.resize-height", "30", "--model.clip.resize-width", "24")
    flags = (*larger, "--model.clip.crop-size", "24", "--score-scale-points", str(SCALE))
    trainer = prepared(arguments(manifest, tmp_path / "run", "--start-from", str(trained), *flags))
    expected = read_checkpoint(trained).state_dict
    state = trainer.model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)
    assert trainer.model.config.clip.num_frames == 12
    counted = [name for name in state if not name.endswith("num_batches_tracked")]
    assert f"weights of {trained} (all {len(counted)} tensors)" in capsys.readouterr().err
    origin = {"checkpoint": str(trained), "sha256": hashlib.sha256(trained.read_bytes()).hexdigest()}
    assert json.loads((tmp_path / "run" / "config.json").read_text())["start_from"] == origin


def test_layers_that_the_checkpoint_lacks_start_as_usual(
    manifest: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second decoder layer, and a last layer of another width, which is scaled as an untrained one."""
    flags = ("--model.decoder-layers", "2", "--model.regressor-hidden", "16", "4", "--score-scale-points", str(SCALE))
    fresh = prepared(arguments(manifest, tmp_path / "fresh", *flags)).model.state_dict()
    capsys.readouterr()
    started = prepared(arguments(manifest, tmp_path / "run", "--start-from", str(trained), *flags)).model.state_dict()
    assert "; new: decoder.layers.1, regressor.layer2, regressor.layer3)" in capsys.readouterr().err
    expected, new = read_checkpoint(trained).state_dict, ("decoder.layers.1.", "regressor.layer2.", "regressor.layer3.")
    for name, value in started.items():
        assert torch.equal(value, (fresh if name.startswith(new) else expected)[name]), name


def test_new_decoder_layers_begin_as_their_shortcut(trained: Path) -> None:
    """So that a deeper network computes at first what the trained one does."""
    small = random_model(MCoRe(MODEL)).eval()
    small.load_state_dict(read_checkpoint(trained).state_dict)
    deeper = MCoRe(replace(MODEL, decoder_layers=MODEL.decoder_layers + 2)).eval()
    load_start_weights(deeper, trained)
    tokens = torch.randn(2, 3, MODEL.num_tokens, MODEL.backbone.feature_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = small.token_deltas(*tokens)
        assert difference.std() > 0
        torch.testing.assert_close(deeper.token_deltas(*tokens), difference)


def test_a_regression_that_has_collapsed_is_said(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its ReLUs are off, so that only the last bias still learns."""
    model = random_model(MCoRe(MODEL))
    with torch.no_grad():
        model.regressor.layer2.weight.zero_()
        model.regressor.layer2.bias.fill_(-1)
    save_checkpoint(tmp_path / "collapsed.pt", model)
    assert main(arguments(manifest, tmp_path / "run", "--start-from", str(tmp_path / "collapsed.pt"))) == 0
    assert (
        "points for every validation dive, whatever it sees: its regression has collapsed to a constant"
        in capsys.readouterr().err
    )


def test_estimated_statistics_are_those_of_the_new_clips(manifest: Path, trained: Path, tmp_path: Path) -> None:
    argv = arguments(manifest, tmp_path / "run", "--start-from", str(trained), "--batch-norm", "estimated")
    started, expected = prepared(argv).model.state_dict(), read_checkpoint(trained).state_dict
    changed = {name for name, value in started.items() if not torch.equal(value, expected[name])}
    assert changed == {name for name in started if name.endswith(("running_mean", "running_var", "_tracked"))}


def test_a_resumed_run_keeps_its_origin(manifest: Path, trained: Path, tmp_path: Path) -> None:
    argv = arguments(manifest, tmp_path / "run", "--start-from", str(trained))
    assert main(argv) == 0
    origin = read_checkpoint(tmp_path / "run" / "best.pt").extra["start_from"]
    again = shlex.split(command_to_resume(argv, 1))[3:]
    assert again == [*(each for each in argv if each not in ("--start-from", str(trained))), "--resume"]
    assert main([*again, "--epochs", "2"]) == 0
    assert read_checkpoint(tmp_path / "run" / "last.pt").extra["start_from"] == origin
    assert json.loads((tmp_path / "run" / "config.json").read_text())["start_from"] == origin


@pytest.mark.parametrize(
    ("checkpoint", "flags"),
    [
        (BACKBONES["regnety_008"].config, "--backbone regnety_008"),
        (
            replace(MODEL.backbone, widths=(24, 48)),
            "--model.backbone.stem-width 8 --model.backbone.widths 24 48 --model.backbone.depths 1 1",
        ),
    ],
    ids=["named", "by widths"],
)
def test_another_backbone_is_refused(checkpoint: BackboneConfig, flags: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "other.pt", MCoRe(ModelConfig(backbone=checkpoint)))
    with pytest.raises(CheckpointError) as refused:
        load_start_weights(MCoRe(MODEL), tmp_path / "other.pt")
    assert f"has another backbone, and nothing of its blocks fits this network. Take the checkpoint's ({flags})" in str(
        refused.value
    )


def test_another_shift_is_new_alone(trained: Path) -> None:
    """A checkpoint with plain shifts starts a network with gated ones; its gates are new."""
    backbone = replace(MODEL.backbone, shift="tsm")
    save_checkpoint(trained.parent / "tsm.pt", random_model(MCoRe(replace(MODEL, backbone=backbone))))
    loaded = load_start_weights(MCoRe(MODEL), trained.parent / "tsm.pt")
    assert loaded.new == ("backbone.s1.b1.shift", "backbone.s2.b1.shift")
    assert loaded.has_last_layer


def test_errors_exit_with_2_and_say_what_to_do(
    manifest: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("best.pt", "last.pt"):
        save_checkpoint(run / name, MCoRe(MODEL))
    start, own = ("--start-from", str(trained)), ("--start-from", str(run / "best.pt"))
    other = ("--model.backbone.widths", "24", "48")
    assert main(arguments(manifest, tmp_path / "resumed", "--start-from", str(trained))) == 0
    capsys.readouterr()
    cases = [
        (arguments(manifest, tmp_path / "resumed", *start, "--resume"), "drop --start-from"),
        (arguments(manifest, tmp_path / "new", *start, "--pretrained", "auto"), "drop --pretrained"),
        (arguments(manifest, tmp_path / "new", *start, *other), "another backbone"),
        (arguments(manifest, tmp_path / "new", "--start-from", str(tmp_path / "none.pt")), "no checkpoint at"),
        (arguments(manifest, tmp_path / "new", "--start-from", str(manifest)), "cannot be loaded as a checkpoint"),
        (arguments(manifest, run, *own, "--overwrite"), "choose another --out"),
    ]
    for argv, words in cases:
        assert main(argv) == 2, argv
        errors = capsys.readouterr().err
        assert words in errors
        assert "Traceback" not in errors
    assert not (tmp_path / "new").exists()
    assert (run / "best.pt").exists()
