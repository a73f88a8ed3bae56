"""Graphs with a batch axis give each clip of a batch what it gets alone; whatever mixes clips is found."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mcore.common.errors import ExportError
from mcore.config import ModelConfig, ShiftKind
from mcore.network.model import MCoRe
from mcore_export.graphs import folded
from mcore_export.graphs import onnx as onnx_graphs
from mcore_export.graphs.onnx import export_graphs, graph_modules
from mcore_export.parity.batched import require_batched_parity
from mcore_export.parity.golden import load_golden
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import GraphSet, batched_graphs
from tests.reference_network import random_model
from tests.traced_once import write_onnx_anew

FLOAT64 = 1e-12  # of the largest feature: rounding of float64, and nothing else


@pytest.mark.parametrize("shift", ["gated", "tsm", "none"])
@torch.no_grad()
def test_clips_in_turn_are_clips_alone(shift: ShiftKind, tiny_config: ModelConfig) -> None:
    config = dataclasses.replace(tiny_config, backbone=dataclasses.replace(tiny_config.backbone, shift=shift))
    backbone = random_model(MCoRe(config)).double().backbone
    clips = torch.randn(3, 3, 12, 32, 32, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    alone = torch.cat([folded.folded_backbone(backbone)(clip[None]) for clip in clips])
    together = folded.folded_backbone(backbone, batched=True)(clips)
    assert (together - alone).abs().max() < FLOAT64 * alone.abs().max()


def test_a_bundle_carries_them(batched_bundle: Path) -> None:
    bundle = Bundle.open(batched_bundle)
    batched = bundle.batched_graphs()
    assert {batched.records[part].file for part in batched.records} == {
        f"batched/{part}.onnx" for part in ("backbone", "segmenter", "regressor")
    }
    said: list[str] = []
    require_batched_parity(bundle.graphs(), batched, load_golden(bundle), said.append)
    assert len(said) == 3


def one_row(x: Tensor, clips: int = 1) -> Tensor:
    """A shift by one row, whatever the number of clips."""
    return F.pad(x[:-1], (0, 0, 0, 0, 0, 0, 1, 0))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda patch: patch.setattr(folded, "later", one_row), "the backbone with a batch axis does not compute"),
        # An axis that the exporter fixes, as it does where a module branches on its extent.
        (
            lambda patch: patch.setattr(onnx_graphs, "_dynamic_shapes", lambda record: None),
            "does not take such a batch",
        ),
    ],
)
def test_what_mixes_clips_is_found(
    batched_bundle: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any, reason: str
) -> None:
    from mcore.network.checkpoint import load_checkpoint

    monkeypatch.setattr(onnx_graphs, "write_onnx", write_onnx_anew)
    damage(monkeypatch)
    bundle, model = Bundle.open(batched_bundle), load_checkpoint(checkpoint).eval()
    records = batched_graphs(model.config)
    backbone = {"backbone": records["backbone"]}
    for _ in export_graphs(graph_modules(model, "fp32", batched=True), backbone, tmp_path, 18):
        pass
    graphs = GraphSet(tmp_path, records, {}, "fp32")
    with pytest.raises(ExportError, match=reason):
        require_batched_parity(bundle.graphs(), graphs, load_golden(bundle), print)
