"""The backbone with wider groups, for backends that compute so many channels at once: the same numbers, more zeros.

ONNX Runtime lays channels out in blocks of 16 on processors with AVX-512. Groups of 8, and widths that are no multiple
of 16, leave that layout: a slow convolution, with changes of layout around it. Widened, neighbouring groups become
one, whose weights are zero across the old border, and a block's inner width ends in channels that are always zero.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mcore.network.backbone import Block
from mcore.network.model import MCoRe

LANES = 16
"""Channels that AVX-512 holds, float32."""


def with_wide_groups(model: MCoRe, lanes: int = LANES) -> MCoRe:
    """Widen a copy of a network; the original is not touched.

    Args:
        model: in evaluation mode.
        lanes: channels of a group, and what inner widths become a multiple of; groups that do not fit in stay.

    Returns:
        The same function; its configuration still names the old group width.
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        for block in model.backbone.modules():
            if isinstance(block, Block) and lanes % block.conv2.conv.weight.shape[1] == 0:
                _widen(block, lanes)
    return model


def _widen(block: Block, lanes: int) -> None:
    grouped, group = block.conv2.conv, block.conv2.conv.weight.shape[1]
    channels = -(-grouped.out_channels // lanes) * lanes
    weight = grouped.weight.new_zeros(channels, lanes, 3, 3)
    for channel, own in enumerate(grouped.weight):
        first = channel // group * group % lanes
        weight[channel, first : first + group] = own
    grouped.weight, grouped.groups = nn.Parameter(weight), channels // lanes
    grouped.in_channels = grouped.out_channels = channels
    # Only biases could make the new channels anything but zero, and SqueezeExcite multiplies them.
    for norm in (block.conv1.bn, block.conv2.bn):
        for name in ("weight", "bias", "running_mean"):
            _pad(norm, name, channels, 0)
        _pad(norm, "running_var", channels, 0, filler=1.0)
    _pad(block.conv1.conv, "weight", channels, 0)
    _pad(block.se.fc1, "weight", channels, 1)
    _pad(block.se.fc2, "weight", channels, 0)
    _pad(block.se.fc2, "bias", channels, 0)
    _pad(block.conv3.conv, "weight", channels, 1)


def _pad(module: nn.Module, name: str, extent: int, axis: int, *, filler: float = 0.0) -> None:
    """Make an axis of a module's parameter or buffer longer."""
    old: Tensor = getattr(module, name)
    shape = list(old.shape)
    shape[axis] = extent - shape[axis]
    new = torch.cat([old, old.new_full(shape, filler)], dim=axis)
    setattr(module, name, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)
