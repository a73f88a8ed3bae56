"""The baseline computes what the network computes: it is slower, not another network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import torch

from mcore.config import ModelConfig
from mcore.network.model import MCoRe
from mcore_bench.cases.peers import plain_export
from mcore_bench.published import PublishedProcedure
from mcore_runtime.backends.ort import OrtSessions
from tests.reference_network import random_model

FLOAT64 = 1e-12


def clips(config: ModelConfig, count: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    c = config.clip
    shape = (count, 3, c.num_frames, c.crop_size, c.crop_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3)).to(dtype)


@torch.no_grad()
def test_the_published_procedure_gives_the_score_of_one_pass(tiny_config: ModelConfig) -> None:
    model, x = random_model(MCoRe(tiny_config)), clips(tiny_config, 4, torch.float32)
    scores = [40.0, 55.5, 71.0]
    got = PublishedProcedure(model).score(x[0], list(x[1:]), scores)
    tokens = model.encode(x, "published").tokens
    expected = (model.compare(tokens[:1], tokens[1:]).numpy() + np.array(scores)).mean()
    assert abs(got - expected) < 1e-3


@torch.no_grad()
def test_the_plain_export_is_plain_and_right(tiny_config: ModelConfig, tmp_path: Path) -> None:
    small = dataclasses.replace(tiny_config.backbone, depths=(1, 1))
    tiny_config = dataclasses.replace(tiny_config, backbone=small)
    model, x = random_model(MCoRe(tiny_config)), clips(tiny_config, 1, torch.float32)
    record = plain_export(model, tmp_path / "plain.onnx")
    operators = [node.op_type for node in onnx.load(tmp_path / "plain.onnx").graph.node]
    assert operators.count("ScatterND") >= sum(tiny_config.backbone.depths)
    (got,) = OrtSessions(tmp_path, {"backbone": record}, "onnxruntime", 1).run(
        "backbone", {"clip": x.numpy()}, ["features"]
    )
    expected = model.features(x)
    assert np.abs(got - expected.numpy()).max() < 1e-4 * float(expected.abs().max())
