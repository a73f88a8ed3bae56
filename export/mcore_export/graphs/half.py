"""The three graphs in half precision, made in PyTorch: half weights, float32 inputs and outputs, float32 islands.

Exported, they are strongly typed: the casts are in the graph, so that every engine rounds at the same places.
``ISLANDS`` names what stays in float32 and why. None of it is a matrix product, which TensorRT-RTX does not have
in float32 on Turing; the GRU may be half because its rounding was measured to move neither logits nor
transitions more than that of the features does (docs/explanation/decisions/export.md).
"""

from __future__ import annotations

import copy

import torch.nn.functional as F
from torch import Tensor, nn

from mcore.config import GraphDecoding
from mcore.network.backbone import SqueezeExcite
from mcore.network.decoding import decode_with
from mcore.network.model import MCoRe, stage_deltas
from mcore.network.regressor import DecoderLayer
from mcore.network.stages import stage_tokens
from mcore_export.graphs.folded import FoldedBackbone, FoldedBlock, folded_backbone

# Shapes: T frames, D features, P = 3K tokens, E exemplars, c pixels.

ISLANDS = {
    "backbone": ("means over space, whose sums of thousands of pixels could overflow",),
    "segmenter": ("logits, where the best frame must win by less than half precision resolves",),
    "regressor": ("layer norms, whose variances are sums of squares", "points, which at tens come in steps of 0.03"),
}
"""Operations that are computed in float32 though the rest is half, by part."""


def half_backbone(model: MCoRe, *, batched: bool = False) -> FoldedBackbone:
    """Rearrange a copy of a network's backbone in half precision, but for its means over space."""
    backbone = folded_backbone(model.backbone, batched=batched).half()
    for block in backbone.blocks:
        assert isinstance(block, FoldedBlock)
        assert isinstance(block.se, SqueezeExcite)
        block.se = _HalfSqueezeExcite(block.se)
    return backbone


class HalfSegmenterGraph(nn.Module):
    """features (B, T, D) -> logits (B, T, 2), transitions (B, 2) int64, tokens (B, P, D); all but frames float32."""

    def __init__(self, model: MCoRe, decoding: GraphDecoding) -> None:
        super().__init__()
        self.decoding: GraphDecoding = decoding
        self.gru = copy.deepcopy(model.segmenter.gru).half()
        self.output = _Float32Linear(model.segmenter.output)
        self.tokens_per_stage = model.config.tokens_per_stage

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Segment, decode, and pool each stage."""
        half = features.half()
        hidden, _ = self.gru(half)  # (B, T, 2D)
        logits = self.output(hidden)
        transitions = decode_with(self.decoding, logits)
        return logits, transitions, stage_tokens(half, transitions, self.tokens_per_stage).float()


class HalfRegressorGraph(nn.Module):
    """query (1, P, D), exemplars (E, P, D) -> delta (E,), stage_deltas (E, 3), points; all float32."""

    def __init__(self, model: MCoRe) -> None:
        super().__init__()
        self.model = model = copy.deepcopy(model)
        model.decoder.half()
        for layer in model.decoder.layers:
            assert isinstance(layer, DecoderLayer)
            for name in ("norm_q", "norm_v", "norm2"):
                layer.register_module(name, _Float32Island(layer.get_submodule(name)))
        last = _Float32Linear(model.regressor.layer3)  # before its weights are rounded
        model.regressor.half().register_module("layer3", last)

    def forward(self, query: Tensor, exemplars: Tensor) -> tuple[Tensor, Tensor]:
        """Compare one dive with every exemplar; delta is score(query) - score(exemplar)."""
        query = query.half().expand(exemplars.shape[0], -1, -1)
        points = self.model.token_deltas(query, exemplars.half())  # (E, P)
        return points.mean(1), stage_deltas(points)


class _HalfSqueezeExcite(nn.Module):
    """``SqueezeExcite`` whose mean over space is a float32 island."""

    def __init__(self, source: SqueezeExcite) -> None:
        super().__init__()
        self.fc1, self.fc2 = source.fc1, source.fc2

    def forward(self, x: Tensor) -> Tensor:
        """Map (T, C, H, W) to the same shape."""
        scale = x.float().mean((2, 3), keepdim=True).half()  # (T, C, 1, 1)
        out: Tensor = x * self.fc2(F.relu(self.fc1(scale))).sigmoid()
        return out


class _Float32Island(nn.Module):
    """A module in float32 between halves."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.source = source.float()

    def forward(self, x: Tensor) -> Tensor:
        """Cast, compute, cast back."""
        out: Tensor = self.source(x.float()).half()
        return out


class _Float32Linear(nn.Module):
    """A small linear layer in float32 as products and sums: half in, float32 out, and no float32 matrix product."""

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        self.source = copy.deepcopy(source).float()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D_out)."""
        out: Tensor = (x.float().unsqueeze(-2) * self.source.weight).sum(-1) + self.source.bias
        return out
