"""A new loss and a new backbone, each registered in one place."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from torch import Tensor

from mcore.config import BACKBONES, BackboneConfig, NamedBackbone
from mcore.evaluation.plots import loss_curves
from mcore.network.checkpoint import read_checkpoint
from mcore.network.model import PairOutput
from mcore.train import main
from mcore.training.losses import LOSSES, Loss, PairTargets

CLIP_FLAGS = [
    *("--model.clip.num-frames", "8", "--model.clip.resize-height", "20"),
    *("--model.clip.resize-width", "16", "--model.clip.crop-size", "16"),
    *("--model.decoder-layers", "1", "--model.decoder-heads", "2"),
]


def token_size(output: PairOutput, targets: PairTargets) -> Tensor:
    return output.query_tokens.square().mean()


def test_a_registered_loss_and_backbone_train_log_and_plot(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mcore.training.run.loss_curves", loss_curves)
    monkeypatch.setitem(LOSSES, "token_size", Loss(token_size, weight=0.5))
    small = NamedBackbone(BackboneConfig(stem_width=8, widths=(8, 16), depths=(1, 1)))
    monkeypatch.setitem(BACKBONES, "small", small)
    out = tmp_path / "run"
    argv = ["--data", str(manifest), "--out", str(out), "--epochs", "1", "--backbone", "small", *CLIP_FLAGS]
    assert main([*argv, "--device", "cpu", "--token-size-weight", "0.25"]) == 0
    assert "token_size" in capsys.readouterr().err
    with (out / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    weighted = [1.0, 1.0, 10.0, 0.25]
    parts = [float(row[f"loss_{name}"]) for name in ("regression", "transition", "contrastive", "token_size")]
    total = sum(weight * part for weight, part in zip(weighted, parts, strict=True))
    assert float(row["loss_total"]) == pytest.approx(total, rel=1e-4)
    assert (out / "losses.png").stat().st_size > 0
    assert b"loss/token_size" in next((out / "tensorboard").iterdir()).read_bytes()
    saved = read_checkpoint(out / "best.pt")
    assert saved.config.backbone == small.config
    assert saved.extra["training"]["loss_weights"]["token_size"] == 0.25
