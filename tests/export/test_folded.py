"""The backbone rearranged for export computes what the network computes, in fewer nodes."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import onnx
import pytest
import torch

from mcore.config import ModelConfig, ShiftKind
from mcore.network.backbone import RegNetY
from mcore.network.model import MCoRe
from mcore_export.graphs import cpu_layout as tiles
from mcore_export.graphs.cpu_layout import CpuBackbone, describe_cpu_layout, plan_tiles
from mcore_export.graphs.folded import folded_backbone
from mcore_export.graphs.onnx import export_graphs, graph_modules
from mcore_export.graphs.wide_groups import with_wide_groups
from mcore_runtime.bundle.records import PARTS, standard_graphs
from tests.reference_network import random_model

FLOAT64 = 1e-12  # of the largest feature: rounding of float64, and nothing else
FLOAT32 = 1e-4


@pytest.fixture(params=["gated", "tsm", "none"])
def backbone(request: pytest.FixtureRequest, tiny_config: ModelConfig) -> RegNetY:
    """A trained-like backbone in float64: gates open, batch-norms far from the identity."""
    config = dataclasses.replace(tiny_config, backbone=dataclasses.replace(tiny_config.backbone, shift=request.param))
    return random_model(MCoRe(config)).double().backbone


def clip(num_frames: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(1, 3, num_frames, 32, 32, generator=torch.Generator().manual_seed(5)).to(dtype)


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("num_frames", [2, 12, 13])
@torch.no_grad()
def test_folded_backbone_is_the_same_function(backbone: RegNetY, num_frames: int) -> None:
    x = clip(num_frames)
    assert relative(folded_backbone(backbone)(x), backbone(x)) < FLOAT64


@torch.no_grad()
def test_folding_the_default_network_loses_nothing_in_float32() -> None:
    model = random_model(MCoRe())
    x = clip(4, torch.float32)
    exact = copy.deepcopy(model.backbone).double()(x.double())
    folded = relative(folded_backbone(model.backbone)(x).double(), exact)
    assert folded < FLOAT32
    assert relative(folded_backbone(copy.deepcopy(model.backbone).double())(x.double()), exact) < FLOAT64


@torch.no_grad()
def test_the_users_model_is_left_alone(backbone: RegNetY) -> None:
    before = copy.deepcopy(backbone.state_dict())
    x = clip(6)
    expected = backbone(x)
    folded = folded_backbone(backbone)
    for parameter in folded.parameters():
        parameter.mul_(0.5)
    for buffer in folded.buffers():
        buffer.mul_(2)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert torch.equal(backbone(x), expected)


@torch.no_grad()
def test_a_wrong_fold_would_be_seen(backbone: RegNetY) -> None:
    """Every batch-norm and gate of the test's network matters to its output."""
    x = clip(12)
    expected = backbone(x)
    for name, value in backbone.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        kept = value.clone()
        value.mul_(1.01)
        assert relative(folded_backbone(backbone)(x), expected) > 1e3 * FLOAT64, name
        value.copy_(kept)


def test_exported_backbone_has_no_norms_but_the_gates_and_reorders_no_weight(
    bundle: Path, tiny_config: ModelConfig
) -> None:
    graph = onnx.load(bundle / "backbone.onnx").graph
    operators = [node.op_type for node in graph.node]
    num_blocks = sum(tiny_config.backbone.depths)
    assert operators.count("BatchNormalization") == operators.count("Tanh") == num_blocks
    assert not {"Gather", "GatherND", "Reshape", "Shape"} & set(operators)
    weights = {tensor.name for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert all(set(node.input[1:]) <= weights and len(node.input) == 3 for node in convolutions)


def test_no_constant_is_left_to_be_computed(bundle: Path) -> None:
    """The GRU's weights, in ONNX's order of gates, are constants and not slices of PyTorch's."""
    for part in PARTS:
        graph = onnx.load(bundle / f"{part}.onnx").graph
        constants = {tensor.name for tensor in graph.initializer}
        assert [node.op_type for node in graph.node if node.input and set(node.input) <= constants | {""}] == []
        assert "Constant" not in {node.op_type for node in graph.node}


@pytest.mark.parametrize("lanes", [16, 32])
@torch.no_grad()
def test_wide_groups_compute_the_same(tiny_config: ModelConfig, lanes: int) -> None:
    config = dataclasses.replace(tiny_config.backbone, widths=(24, 40))  # 3 and 5 groups of 8: both get new channels
    model = random_model(MCoRe(dataclasses.replace(tiny_config, backbone=config))).double()
    wide, x = with_wide_groups(model, lanes), clip(6)
    convolutions = [module for module in wide.backbone.modules() if isinstance(module, torch.nn.Conv2d)]
    assert {c.weight.shape[1] for c in convolutions if c.groups > 2 or c.weight.shape[2:] == (3, 3)} >= {lanes}
    assert relative(wide.features(x), model.features(x)) < FLOAT64
    assert relative(folded_backbone(wide.backbone)(x), model.features(x)) < FLOAT64


@torch.no_grad()
def test_groups_that_do_not_fit_stay(tiny_config: ModelConfig) -> None:
    model = random_model(MCoRe(tiny_config))
    same = with_wide_groups(model, 12)
    assert [p.shape for p in same.parameters()] == [p.shape for p in model.parameters()]


@pytest.mark.parametrize("shift", ["gated", "tsm", "none"])
@pytest.mark.parametrize("frames", [1, 2, 5, 12])
@torch.no_grad()
def test_tiles_compute_the_same(
    tiny_config: ModelConfig, monkeypatch: pytest.MonkeyPatch, shift: ShiftKind, frames: int
) -> None:
    """Tiles of one frame, of several, and of the whole clip; through every block."""
    backbone = dataclasses.replace(tiny_config.backbone, shift=shift)
    model = random_model(MCoRe(dataclasses.replace(tiny_config, backbone=backbone))).double()
    side, channels = tiny_config.clip.crop_size // 2, tiny_config.backbone.widths[0]
    monkeypatch.setattr(tiles, "LARGE_BYTES", 0)
    monkeypatch.setattr(tiles, "TILE_BYTES", frames * 4 * channels * side**2)
    graph, x = CpuBackbone(model), clip(tiny_config.clip.num_frames)
    assert graph.num_tiled == sum(tiny_config.backbone.depths)
    assert len(graph.sizes) == -(-tiny_config.clip.num_frames // frames)
    assert relative(graph(x), model.features(x)) < FLOAT64


def test_tiles_share_their_weights_and_no_bias(
    tiny_config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO runs a bias that two convolutions read as a node of its own, with the ReLU behind it."""
    monkeypatch.setattr(tiles, "LARGE_BYTES", 0)
    monkeypatch.setattr(tiles, "TILE_BYTES", 100_000)  # two tiles: each is traced
    config = dataclasses.replace(tiny_config, backbone=dataclasses.replace(tiny_config.backbone, depths=(1, 1)))
    records = {"backbone": standard_graphs(config)["backbone"]}
    modules = graph_modules(random_model(MCoRe(config)), "fp32", for_cpu=True)
    ((_, path),) = export_graphs(modules, records, tmp_path, 17)
    proto = onnx.load(path)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 17)]
    convolutions = [node for node in proto.graph.node if node.op_type == "Conv"]
    weights = [node.input[1] for node in convolutions]
    biases = [node.input[2] for node in convolutions if len(node.input) > 2]
    assert len(set(weights)) < len(weights)
    assert len(set(biases)) == len(biases)
    added = {node.input[1] for node in convolutions if len(node.input) == 2}
    assert {name.removesuffix(".weight").rsplit(".", 1)[-1] for name in added} == {"per_channel", "change"}


def test_what_fits_into_a_cache_is_not_tiled(tiny_config: ModelConfig) -> None:
    tiny = folded_backbone(MCoRe(tiny_config).backbone)
    assert plan_tiles(tiny, tiny_config.clip) == (0, [tiny_config.clip.num_frames])
    assert describe_cpu_layout(MCoRe(tiny_config)).startswith("for CPUs: no tiles")
    full = MCoRe()
    assert plan_tiles(folded_backbone(with_wide_groups(full).backbone), full.config.clip) == (2, [6] * 16)
    assert describe_cpu_layout(with_wide_groups(full)) == "for CPUs: stem and 2 blocks in 16 tiles of at most 6 frames"
    larger = dataclasses.replace(full.config.clip, resize_height=400, resize_width=224, crop_size=224)
    assert plan_tiles(folded_backbone(with_wide_groups(full).backbone), larger) == (3, [1] * 96)
