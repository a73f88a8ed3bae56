"""Operations and parameters of the network, counted by fvcore: part by part, layer by layer, and for a dive.

A **MAC** is one multiplication with its addition; **FLOPs** are twice as many. fvcore calls MACs "flops" and counts a
GRU and fused attention as nothing: both have handles here. What has no product of two tensors in it (normalisation,
ReLU, pooling, shifts) counts as nothing, as in the papers' figures.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn

from mcore.common.optional import require
from mcore.config import BACKBONES, NETWORKS, ClipConfig, ModelConfig, PresetName, ShiftKind
from mcore.network.model import MCoRe
from mcore_bench.account import Account, Layer, NetworkCost, PartCost, VariantCost
from mcore_bench.contenders import PUBLISHED_EXEMPLARS

_WITHOUT_PRODUCT = ("batch_norm", "layer_norm", "adaptive_avg_pool2d")
"""Operators that fvcore counts by their elements."""
_EXPECTED = {"add", "sub", "mul", "div", "relu", "sigmoid", "tanh", "gelu", "softmax", "mean", "sum", "pow", "silu",
             "hardtanh", "max_pool3d", "expand", "unflatten", "zeros_like", "clone"}  # fmt: skip
"""Operators without a product of two tensors, or that multiply elements: nothing, as in the papers' figures."""


TINY: PresetName = "tiny"
"""Name of the small preset among the variants."""


def _changes(backbone: str) -> Iterator[tuple[str, ShiftKind, int, int]]:
    shifts: tuple[ShiftKind, ...] = get_args(ShiftKind)
    yield from ((backbone, shift, 96, 112) for shift in shifts)
    yield from ((backbone, "gated", frames, pixels) for frames, pixels in ((64, 112), (48, 112), (96, 168), (96, 224)))


VARIANTS: tuple[tuple[str, ShiftKind, int, int], ...] = (
    *(variant for backbone in BACKBONES for variant in _changes(backbone)),
    *((TINY, shift, 32, 64) for shift in get_args(ShiftKind)),
)
"""Backbone, shift, frames and pixels of each variant."""


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


def count_model(model: MCoRe, exemplars: int = PUBLISHED_EXEMPLARS) -> Account:
    """Count a network's operations.

    Args:
        model: in evaluation mode, on the CPU; its weights do not matter.
        exemplars: that a dive is compared with.

    Raises:
        MissingDependencyError: fvcore is not installed.
    """
    c, dim = model.config.clip, model.config.backbone.feature_dim
    tokens = torch.zeros(1, model.config.num_tokens, dim)
    parts: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "backbone": (model.backbone, (torch.zeros(1, 3, c.num_frames, c.crop_size, c.crop_size),)),
        "segmenter": (model.segmenter, (torch.zeros(1, c.num_frames, dim),)),
        "comparison": (_Comparison(model).eval(), (tokens, tokens)),
    }
    counted = {part: count(part, module, inputs) for part, (module, inputs) in parts.items()}
    uncounted = sorted({name for _, names in counted.values() for name in names})
    backbone, segmenter, comparison = (cost for cost, _ in counted.values())
    return Account(exemplars, backbone, segmenter, comparison, tuple(uncounted))


def count(part: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[PartCost, tuple[str, ...]]:
    """Count one module's operations on given inputs.

    Returns:
        The cost, and the operators that count as nothing though they are no elementwise ones.
    """
    fvcore = require("fvcore.nn", "bench", "Counting operations")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    # A handle that says nothing: with None, which is to remove it, fvcore 0.1.5 keeps its own.
    handles: dict[str, Any] = {f"aten::{name}": _nothing for name in _WITHOUT_PRODUCT}
    handles |= {"aten::gru": _gru, "aten::scaled_dot_product_attention": _attention}
    with torch.no_grad():
        analysis = fvcore.FlopCountAnalysis(module.eval(), inputs).set_op_handle(**handles)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        by_module: Mapping[str, float] = analysis.by_module()
        unsupported = {name.removeprefix("aten::").rstrip("_") for name in analysis.unsupported_ops()}
    parameters = sum(p.numel() for p in module.parameters())
    cost = PartCost(part, int(by_module[""]), parameters, tuple(_layers(module, by_module)))
    return cost, tuple(sorted(unsupported - _EXPECTED))


def _layers(module: nn.Module, by_module: Mapping[str, float]) -> Iterator[Layer]:
    """Every module with operations of its own, those of modules inside it left out; they sum to the whole."""
    for name, child in module.named_modules():
        prefix = f"{name}." if name else ""
        inside = sum(by_module[prefix + inner] for inner, _ in child.named_children())
        if own := int(by_module[name] - inside):
            # A convolution that its module calls as a function counts with its weights.
            weights = child.parameters(recurse=not inside)
            yield Layer(name or "itself", own, sum(p.numel() for p in weights))


def variants() -> tuple[VariantCost, ...]:
    """Count both backbones, changing one thing at a time: shift, frames, pixels; and the small preset's shifts."""
    return tuple(count_variant(*variant) for variant in VARIANTS)


def count_variant(backbone: str, shift: ShiftKind, frames: int, pixels: int) -> VariantCost:
    """Count one configuration.

    Args:
        backbone: of ``mcore.config.BACKBONES``, or ``tiny``: the preset.
        shift: of its blocks.
        frames: of a clip.
        pixels: side of a clip.
    """
    known: dict[str, ModelConfig] = {name: ModelConfig(backbone=each.config) for name, each in BACKBONES.items()}
    known[TINY] = NETWORKS[TINY]
    config = known[backbone]
    clip = ClipConfig(frames, max(200, pixels), max(112, pixels), pixels)
    network = dataclasses.replace(config.backbone, shift=shift)
    account = count_model(MCoRe(dataclasses.replace(config, clip=clip, backbone=network)).eval())
    return VariantCost(
        backbone, shift, frames, pixels, account.parameters, account.backbone.macs, account.deployed_macs
    )


def count_networks() -> tuple[NetworkCost, ...]:
    """Count the video backbones of the peers, each on one clip of the default's size."""
    from mcore_bench.peers import other_networks

    model = MCoRe().eval()
    c = model.config.clip
    clip = torch.zeros(1, 3, c.num_frames, c.crop_size, c.crop_size)
    found = {name: count(name, network, (clip,))[0] for name, network in other_networks(model).items()}
    return tuple(NetworkCost(name, cost.macs, cost.parameters) for name, cost in found.items())


def _shape(value: Any) -> list[int]:
    return [int(extent) for extent in value.type().sizes()]


def _nothing(inputs: list[Any], outputs: list[Any]) -> float:
    return 0.0


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
