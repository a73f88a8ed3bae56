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

pytest.importorskip("fvcore", reason="needs fvcore: pip install 'mcore-edge[bench]'")

from mcore_bench.account import read_variants
from mcore_bench.flops import VARIANTS, count, count_model, count_networks, count_variant
from mcore_bench.video_networks import I3D, X3D, MobileNetV2TSM

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
    account = count_model(MCoRe().eval(), EXEMPLARS)
    committed = read_variants(COMMITTED).variants[0]
    assert (committed.backbone, committed.shift, committed.frames, committed.pixels) == VARIANTS[0]
    assert (committed.pass_macs, committed.dive_macs) == (account.backbone.macs, account.deployed_macs)
    assert account.backbone.macs == backbone_macs(96, 112)
    assert account.segmenter.macs == segmenter_macs(96)
    assert account.comparison.macs == comparison_macs()
    one_pass = backbone_macs(96, 112) + segmenter_macs(96)
    assert account.deployed_macs == one_pass + EXEMPLARS * comparison_macs()
    assert account.published_macs == 20 * (one_pass + comparison_macs())
    assert account.ratio > 17
    assert account.uncounted == ()
    assert account.parameters == sum(p.numel() for p in MCoRe().parameters())


def test_the_committed_counts_are_those_of_today() -> None:
    counted = read_variants(COMMITTED)
    assert tuple((v.backbone, v.shift, v.frames, v.pixels) for v in counted.variants) == VARIANTS
    for number in (-1, -2, -3):  # of the small preset
        assert count_variant(*VARIANTS[number]) == counted.variants[number]
    assert count_networks() == counted.networks


@pytest.mark.parametrize(
    ("frames", "pixels", "shift"), [(48, 112, "gated"), (8, 168, "gated"), (8, 224, "gated"), (8, 112, "tsm"),
                                    (8, 112, "none")]
)  # fmt: skip
def test_other_configurations_too(frames: int, pixels: int, shift: str) -> None:
    backbone = dataclasses.replace(BACKBONES["regnety_002"].config, shift=shift)  # type: ignore[arg-type]
    config = ModelConfig(clip=ClipConfig(frames, 300, 300, pixels), backbone=backbone)
    assert count_model(MCoRe(config).eval()).backbone.macs == backbone_macs(frames, pixels, shift=shift == "gated")


def test_layers_sum_to_their_part(tiny_config: ModelConfig) -> None:
    account = count_model(MCoRe(tiny_config).eval())
    for part in (account.backbone, account.segmenter, account.comparison):
        assert sum(layer.macs for layer in part.layers) == part.macs > 0
        assert sum(layer.parameters for layer in part.layers) <= part.parameters


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
    cost, uncounted = count("module", module, (torch.zeros(shape),))
    assert (cost.macs, uncounted) == (macs, ())


@pytest.mark.parametrize(
    ("network", "shape", "gmac", "millions", "tolerance"),
    [
        (I3D(400), (1, 3, 64, 224, 224), 108, 12.7, 0.04),  # figures quoted with the code; padding differs by a frame
        (X3D(400), (1, 3, 16, 224, 224), 4.73, 3.8, 0.01),
        (MobileNetV2TSM(1000), (1, 3, 1, 224, 224), 0.300, 3.4, 0.04),  # the paper rounds 3.5 M down
    ],
)
def test_video_networks_are_as_large_as_their_papers_say(
    network: nn.Module, shape: tuple[int, ...], gmac: float, millions: float, tolerance: float
) -> None:
    cost, uncounted = count("network", network.eval(), (torch.zeros(shape),))
    assert cost.macs / 1e9 == pytest.approx(gmac, rel=tolerance)
    assert cost.parameters / 1e6 == pytest.approx(millions, rel=tolerance)
    assert uncounted == ()
