"""Operations: fvcore's total is the one that a person counts from the description of the network."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from mcore.config import BACKBONES, ClipConfig, ModelConfig
from mcore.network.model import MCoRe

pytest.importorskip("fvcore", reason="needs fvcore: pip install '.[bench]'")

from mcore_bench.cost import GIGA, DiveCost, PartCost, cost_table, count, count_model, variant_configs
from mcore_bench.i3d import I3D
from mcore_bench.result import read_result

EXEMPLARS = 10
COMMITTED = Path(__file__).resolve().parents[2] / "benchmarks/results/variants.json"


def backbone_macs(frames: int, pixels: int, *, shift: bool = True) -> int:
    """RegNetY-200MF, counted by hand: multiplications of every layer at its size, for one frame, times frames."""

    def after(size: int) -> int:
        return (size - 1) // 2 + 1  # 3x3, stride 2, padding 1

    size = after(pixels)
    total, width = size**2 * 32 * 3 * 9, 32
    for channels, depth in ((24, 1), (56, 1), (152, 4), (368, 7)):
        for block in range(depth):
            small = after(size) if block == 0 else size
            if shift:
                shifted = 4 * math.ceil((width // 4) / 4)
                # A 3x3x3 convolution to 2 gates in 2 groups: each gate sees half of the channels.
                total += size**2 * 2 * (shifted // 2) * 27
            total += size**2 * width * channels
            total += small**2 * channels * 8 * 9
            total += 2 * channels * round(width / 4)
            total += small**2 * channels * channels
            if block == 0:
                total += small**2 * width * channels
            width, size = channels, small
    return frames * total


def segmenter_macs(frames: int) -> int:
    """Two directions, three gates, each from input and state; then two logits."""
    return frames * (2 * 3 * 368 * (368 + 368) + 736 * 2)


def comparison_macs() -> int:
    """15 tokens: three layers of q, k, v, projection, scores and mixture of 5 tokens, MLP of 4 times the width."""
    layer = 15 * (4 * 368 * 368 + 2 * 5 * 368 + 2 * 368 * 4 * 368)
    return 3 * layer + 15 * (368 * 256 + 256 * 64 + 64)


def test_the_total_is_the_hand_count() -> None:
    cost = count_model(MCoRe().eval(), EXEMPLARS)
    assert read_result(COMMITTED).tables[0].rows[0][-2:] == (cost.backbone.macs / GIGA, cost.deployed_macs / GIGA)
    assert cost.backbone.macs == backbone_macs(96, 112)
    assert cost.segmenter.macs == segmenter_macs(96)
    assert cost.comparison.macs == comparison_macs()
    one_pass = backbone_macs(96, 112) + segmenter_macs(96)
    assert cost.deployed_macs == one_pass + EXEMPLARS * comparison_macs()
    assert cost.published_macs == 20 * (one_pass + comparison_macs())
    assert cost.published_macs > 17 * cost.deployed_macs
    assert cost.uncounted == ()
    assert cost.parameters == sum(p.numel() for p in MCoRe().parameters())


def test_the_committed_counts_are_those_of_today() -> None:
    (table,) = read_result(COMMITTED).tables
    configs = list(variant_configs())
    assert [(row[0], row[1]) for row in table.rows[:-1]] == [(name, config.backbone.shift) for name, config in configs]
    for number in (-1, -2, -3):  # of the tiny preset
        cost = count_model(MCoRe(configs[number][1]).eval())
        assert table.rows[number - 1][-2:] == (cost.backbone.macs / GIGA, cost.deployed_macs / GIGA)
    c = ClipConfig()
    assert table.rows[-1][5] == count(I3D(), torch.zeros(1, 3, c.num_frames, c.crop_size, c.crop_size)).macs / GIGA


@pytest.mark.parametrize(
    ("frames", "pixels", "shift"), [(12, 112, "gated"), (8, 168, "gated"), (8, 112, "tsm"), (8, 112, "none")]
)
def test_other_configurations_too(frames: int, pixels: int, shift: str) -> None:
    backbone = dataclasses.replace(BACKBONES["regnety_002"].config, shift=shift)  # type: ignore[arg-type]
    config = ModelConfig(clip=ClipConfig(frames, 300, 300, pixels), backbone=backbone)
    assert count_model(MCoRe(config).eval()).backbone.macs == backbone_macs(frames, pixels, shift=shift == "gated")


class Fused(nn.Module):
    """Attention in one operator, and a product by einsum."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = nn.functional.scaled_dot_product_attention(x, x, x)
        return torch.einsum("bhld,bhsd->bhls", mixed, x)


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.GRU(6, 5, batch_first=True), (2, 7, 6), 2 * 7 * 3 * 5 * (6 + 5)),
        (nn.GRU(6, 5, batch_first=True, bidirectional=True), (2, 7, 6), 2 * 2 * 7 * 3 * 5 * (6 + 5)),
        (nn.GRU(6, 5, num_layers=2, batch_first=True), (2, 7, 6), 2 * 7 * 3 * 5 * (6 + 5 + 5 + 5)),
        (Fused(), (1, 2, 5, 4), 3 * 2 * 5 * 5 * 4),
        (nn.BatchNorm2d(3), (1, 3, 4, 4), 0),
    ],
)
def test_what_fvcore_would_count_wrongly(module: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    cost = count(module, torch.zeros(shape))
    assert (cost.macs, cost.uncounted) == (macs, ())


def test_i3d_is_as_large_as_its_paper_says() -> None:
    """Figures quoted with its code; padding differs by a frame, and here are no 400 classes."""
    cost = count(I3D(), torch.zeros(1, 3, 64, 224, 224))
    assert cost.macs / 1e9 == pytest.approx(108, rel=0.04)
    assert cost.parameters / 1e6 == pytest.approx(12.7 - 1025 * 400 / 1e6, rel=0.01)
    assert cost.uncounted == ()


def test_the_table_has_a_dive_as_deployed_and_as_published() -> None:
    part = PartCost(int(1e9), int(1e6), ())
    table = cost_table(DiveCost(10, part, part, part))
    assert [row[1] for row in table.rows] == [1.0, 1.0, 1.0, 12.0, 60.0]
    assert "Deployed is 1/5.0 of published" in table.note
