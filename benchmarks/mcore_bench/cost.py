"""Operations and parameters of the network, counted by fvcore: part by part, and for a dive.

A **MAC** is one multiplication with its addition. fvcore calls MACs "flops" and counts a GRU and fused attention as
nothing: both have handles here. What has no product of two tensors in it (normalisation, ReLU, pooling, shifts) counts
as nothing, as in the papers' figures.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from mcore.common.optional import require
from mcore.config import BACKBONES, ClipConfig, ModelConfig, ShiftKind
from mcore.network.model import MCoRe
from mcore.training.config import PRESETS
from mcore_bench.candidates import PUBLISHED_EXEMPLARS
from mcore_bench.i3d import I3D
from mcore_bench.report import finish_result
from mcore_bench.result import JsonFile, Row, Table, begin_result, make_table

GIGA = 1e9
_WITHOUT_PRODUCT = ("batch_norm", "layer_norm", "adaptive_avg_pool2d")
"""Operators that fvcore counts by their elements."""
_EXPECTED = {"add", "sub", "mul", "div", "relu", "sigmoid", "tanh", "gelu", "softmax", "mean", "sum", "pow",
             "max_pool3d", "expand", "unflatten", "zeros_like", "clone"}  # fmt: skip
"""Operators without a product of two tensors, or that multiply elements: nothing, as in the papers' figures."""


@dataclass(frozen=True)
class PartCost:
    """One part for one clip, or for one pair of dives."""

    macs: int
    parameters: int
    uncounted: tuple[str, ...]
    """Operators that were met and count as nothing, the elementwise ones left out."""


@dataclass(frozen=True)
class DiveCost:
    """Operations of scoring a dive."""

    exemplars: int
    backbone: PartCost
    """Cost of the backbone for one clip."""
    segmenter: PartCost
    """Cost of the segmenter for one clip."""
    comparison: PartCost
    """Decoder and regressor, of one query with one exemplar in one direction."""

    @property
    def deployed_macs(self) -> int:
        """As deployed: one pass over the query, stored tokens of the exemplars, one direction."""
        return self.backbone.macs + self.segmenter.macs + self.exemplars * self.comparison.macs

    @property
    def published_macs(self) -> int:
        """As published: for each exemplar both videos pass the encoder, and both directions are decoded."""
        return 2 * self.exemplars * (self.backbone.macs + self.segmenter.macs + self.comparison.macs)

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return self.backbone.parameters + self.segmenter.parameters + self.comparison.parameters

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Operators of all parts that count as nothing and should not."""
        return tuple(sorted({*self.backbone.uncounted, *self.segmenter.uncounted, *self.comparison.uncounted}))


class _Comparison(nn.Module):
    """Decoder and regressor on pairs of stage tokens."""

    def __init__(self, model: MCoRe) -> None:
        super().__init__()
        self.decoder, self.regressor = model.decoder, model.regressor
        self.tokens_per_stage = model.config.tokens_per_stage

    def forward(self, query: Tensor, exemplar: Tensor) -> Tensor:
        """Map two times (1, 3K, D) to points of tokens."""
        stages = (-1, self.tokens_per_stage, query.shape[2])
        points: Tensor = self.regressor(self.decoder(query.reshape(stages), exemplar.reshape(stages)))
        return points


def count_model(model: MCoRe, exemplars: int = PUBLISHED_EXEMPLARS) -> DiveCost:
    """Count the operations of a network in evaluation mode on the CPU; its weights do not matter."""
    c, dim = model.config.clip, model.config.backbone.feature_dim
    tokens = torch.zeros(1, model.config.num_tokens, dim)
    return DiveCost(
        exemplars,
        backbone=count(model.backbone, torch.zeros(1, 3, c.num_frames, c.crop_size, c.crop_size)),
        segmenter=count(model.segmenter, torch.zeros(1, c.num_frames, dim)),
        comparison=count(_Comparison(model), tokens, tokens),
    )


def count(module: nn.Module, *inputs: Tensor) -> PartCost:
    """Count one module's operations on given inputs."""
    fvcore = require("fvcore.nn", "bench", "Counting operations")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    # A handle that counts nothing: with None, which is to remove it, fvcore 0.1.5 keeps its own.
    handles: dict[str, Any] = {f"aten::{name}": lambda inputs, outputs: 0.0 for name in _WITHOUT_PRODUCT}
    handles |= {"aten::gru": _gru, "aten::scaled_dot_product_attention": _attention}
    with torch.no_grad():
        analysis = fvcore.FlopCountAnalysis(module.eval(), inputs).set_op_handle(**handles)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        macs = int(analysis.total())
        unsupported = {name.removeprefix("aten::").rstrip("_") for name in analysis.unsupported_ops()}
    return PartCost(macs, sum(p.numel() for p in module.parameters()), tuple(sorted(unsupported - _EXPECTED)))


def _shape(value: Any) -> list[int]:
    return [int(extent) for extent in value.type().sizes()]


def _gru(inputs: list[Any], outputs: list[Any]) -> float:
    """MACs of aten::gru with batch first: every step multiplies input and state with three gates' weights.

    Inputs are x (B, T, D), the state (layers * directions, B, H) and the weights one after the other, which the tracer
    hands over as a list; the state's first axis says how many times the pair of weights is used.
    """
    batch, steps, features = _shape(inputs[0])
    passes, _, hidden = _shape(inputs[1])
    directions = _shape(outputs[0])[2] // hidden
    first, later = directions, passes - directions
    per_step = 3 * hidden * (first * (features + hidden) + later * (directions * hidden + hidden))
    return float(batch * steps * per_step)


def _attention(inputs: list[Any], outputs: list[Any]) -> float:
    """MACs of fused attention on q (..., L, D), k (..., S, D), v (..., S, E): the scores and their mixture."""
    query, key, value = (_shape(each) for each in inputs[:3])
    return float(math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def cost_table(cost: DiveCost) -> Table:
    """Operations and parameters of a dive, part by part, as deployed and as published."""
    e = cost.exemplars
    parts = (("backbone", cost.backbone, 1), ("segmenter", cost.segmenter, 1), ("comparison", cost.comparison, e))
    rows: list[Row] = [(name, part.macs / GIGA, part.parameters / 1e6, times, 2 * e) for name, part, times in parts]
    rows.append(("dive, deployed", cost.deployed_macs / GIGA, cost.parameters / 1e6, None, None))
    rows.append(("dive, published", cost.published_macs / GIGA, cost.parameters / 1e6, None, None))
    ratio = cost.published_macs / cost.deployed_macs
    uncounted = ", ".join(cost.uncounted) or "elementwise operators only"
    return make_table(
        f"operations of a dive with {e} exemplars",
        {"part": "", "GMAC": ".3f", "M parameters": ".2f", "times deployed": "d", "times published": "d"},
        rows,
        f"Deployed is 1/{ratio:.1f} of published. A MAC is two FLOPs. Counted as nothing: {uncounted}.",
    )


_NOTE = (
    "I3D is the backbone of USDL, CoRe and TSA, on our input. They feed it overlapping snippets of 16 frames of "
    "224 x 224 pixels, so this is not the cost of those methods."
)


def variant_configs() -> Iterator[tuple[str, ModelConfig]]:
    """Yield configurations that differ in one thing: shift, frames or pixels; of the tiny preset in the shift only."""
    shifts: tuple[ShiftKind, ...] = get_args(ShiftKind)
    clips = ((96, 112), (64, 112), (48, 112), (96, 168), (96, 224))
    for name, backbone in BACKBONES.items():
        changes = [(shift, 96, 112) for shift in shifts] + [(shifts[0], *clip) for clip in clips[1:]]
        for shift, frames, pixels in changes:
            clip = ClipConfig(frames, max(200, pixels), max(112, pixels), pixels)
            yield name, ModelConfig(clip=clip, backbone=dataclasses.replace(backbone.config, shift=shift))
    tiny = PRESETS["tiny"].model
    for shift in shifts:
        yield "tiny", dataclasses.replace(tiny, backbone=dataclasses.replace(tiny.backbone, shift=shift))


def variants_table() -> Table:
    """Count other configurations, and I3D on the default's clip; takes half a minute."""
    rows: list[Row] = []
    for name, config in variant_configs():
        cost, clip = count_model(MCoRe(config).eval()), config.clip
        rows.append((name, config.backbone.shift, clip.num_frames, clip.crop_size, cost.parameters / 1e6,
                     cost.backbone.macs / GIGA, cost.deployed_macs / GIGA))  # fmt: skip
    clip = ClipConfig()
    i3d = count(I3D(), torch.zeros(1, 3, clip.num_frames, clip.crop_size, clip.crop_size))
    rows.append(("I3D", None, clip.num_frames, clip.crop_size, i3d.parameters / 1e6, i3d.macs / GIGA, None))
    columns = {"backbone": "", "shift": "", "frames": "d", "pixels": "d", "M parameters": ".2f", "GMAC a pass": ".3f",
               "GMAC a dive": ".3f"}  # fmt: skip
    return make_table("operations of other configurations, one thing changed at a time", columns, rows, _NOTE)


@dataclass(frozen=True)
class VariantsArguments(JsonFile):
    """Count operations and parameters of other configurations.

        mcore-bench variants --json benchmarks/results/variants.json

    It takes half a minute, and the counts change with the networks only.
    """


def count_variants(arguments: VariantsArguments) -> int:
    """Run ``mcore-bench variants``."""
    result = begin_result("Operations of other configurations")
    finish_result(dataclasses.replace(result, tables=(variants_table(),)), arguments.json)
    return 0
