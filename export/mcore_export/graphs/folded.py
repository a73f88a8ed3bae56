"""The backbone rearranged for export: the same function in fewer nodes, as a copy.

* Batch-norms become part of the convolution before them. The gate's own stands before a ReLU with nothing to
  be folded into, and stays.
* The order of channels that a gated shift leaves is a constant of the next convolution's weight.
* The batch is one clip, so that frames are axis 0 throughout: no reshape to (B, T, ...) and back. The gate's maps
  come out by frame (previous, this, next), so that one split separates them, and its bias is its convolution's.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcore.network.backbone import Block, ConvNorm, RegNetY
from mcore.network.gated_shift import GatedShift, TemporalShift

# Shapes: T frames of one clip, C channels, S shifted channels.


def lean_backbone(backbone: RegNetY) -> LeanBackbone:
    """Rearrange a copy of a backbone; the original is not touched.

    Args:
        backbone: any dtype; its batch-norms' running statistics are what is folded, as in evaluation mode.

    Returns:
        The same function on one clip, on the same device and in the same dtype.
    """
    with torch.no_grad():
        return LeanBackbone(copy.deepcopy(backbone)).eval()


class LeanBackbone(nn.Module):
    """Extract features of one clip: (1, 3, T, H, W) -> (1, T, D)."""

    def __init__(self, source: RegNetY) -> None:
        super().__init__()
        self.stem = FoldedConv(source.stem)
        blocks = [block for name in source.stage_names for block in source.get_submodule(name).children()]
        self.blocks = nn.Sequential(*(LeanBlock(block) for block in blocks if isinstance(block, Block)))

    def forward(self, clip: Tensor) -> Tensor:
        """Map one clip (1, 3, T, H, W), normalised RGB, to features (1, T, D)."""
        frames = clip.squeeze(0).transpose(0, 1)  # (T, 3, H, W)
        features: Tensor = self.blocks(self.stem(frames)).mean((2, 3))  # (T, D)
        return features[None]


class LeanBlock(nn.Module):
    """``mcore.network.backbone.Block`` with folded convolutions."""

    def __init__(self, source: Block) -> None:
        super().__init__()
        weight = source.conv1.conv.weight
        self.shift = _lean_shift(source.shift)
        self.conv1 = FoldedConv(source.conv1, None if source.shift is None else source.shift.fold_channel_order(weight))
        self.conv2 = FoldedConv(source.conv2)
        self.se: nn.Module = source.se
        self.conv3 = FoldedConv(source.conv3)
        self.downsample = nn.Identity() if source.downsample is None else FoldedConv(source.downsample)

    def forward(self, x: Tensor) -> Tensor:
        """Map (T, C_in, H, W) to (T, C, H/stride, W/stride)."""
        return self.after_shift(self.shift(x), x)

    def after_shift(self, shifted: Tensor, x: Tensor) -> Tensor:
        """What follows the shift, in which frames are on their own: shifted and x (T, C_in, H, W), as in forward."""
        return self.after_conv1(self.conv1(shifted), x)

    def after_conv1(self, inner: Tensor, x: Tensor) -> Tensor:
        """What follows the first convolution: inner (T, C, H, W) of it, and x as in forward."""
        moved = self.conv3(self.se(self.conv2(inner)))
        return F.relu(moved + self.downsample(x))


class FoldedConv(nn.Module):
    """A convolution with its batch-norm inside: BN(Wx) = (sW)x + (beta - s mean), s = gamma / sqrt(var + eps)."""

    def __init__(self, source: ConvNorm, weight: Tensor | None = None) -> None:
        super().__init__()
        conv, bn = source.conv, source.bn
        weight = conv.weight if weight is None else weight
        assert bn.running_mean is not None
        assert bn.running_var is not None
        # In float64, so that folding itself rounds each weight only once.
        scale = bn.weight.double() / (bn.running_var.double() + bn.eps).sqrt()  # (C,)
        bias = bn.bias.double() - bn.running_mean.double() * scale
        self.weight = nn.Parameter((weight.double() * scale[:, None, None, None]).to(weight.dtype))
        self.bias = nn.Parameter(bias.to(weight.dtype))
        self.stride, self.groups, self.padding = conv.stride, conv.groups, conv.kernel_size[0] // 2
        self.relu = source.relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (T, C_in, H, W) to (T, C, H/stride, W/stride)."""
        x = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        return F.relu(x) if self.relu else x


class LeanGatedShift(nn.Module):
    """``mcore.network.gated_shift.GatedShift`` on one clip; channels leave in its order, not in the published one."""

    def __init__(self, source: GatedShift) -> None:
        super().__init__()
        self.shifted = source.shifted
        self.bn = source.bn
        # From gate-major (gate, frame) to frame-major (frame, gate): maps of both gates lie together.
        order = torch.arange(6).reshape(2, 3).T.flatten()
        per_gate = source.gate.weight[order]  # (6, S/2, 3, 3)
        # Interleaved like that, the gates' inputs are no longer groups of a convolution: the other half's weights
        # are zeros. Six maps are computed from twice the inputs, which costs less than putting them in order.
        weight = per_gate.new_zeros(6, self.shifted, 3, 3)
        half = self.shifted // 2
        weight[0::2, :half], weight[1::2, half:] = per_gate[0::2], per_gate[1::2]
        self.weight = nn.Parameter(weight)
        no_bias = torch.zeros_like(source.gate_bias)
        self.bias = nn.Parameter(torch.cat([no_bias, source.gate_bias, no_bias]))  # this frame's maps only

    def forward(self, x: Tensor) -> Tensor:
        """Shift what the gates let through: (T, C, H, W) to the same shape."""
        shifted, rest = x.split([self.shifted, x.shape[1] - self.shifted], dim=1)
        gate_first, gate_second = self.gates([shifted])[0].split(1, dim=1)  # (T, 1, H, W)
        first, second = shifted.split(self.shifted // 2, dim=1)
        moved_first, moved_second = gate_first * first, gate_second * second
        new_first = first - moved_first + earlier(moved_first)
        new_second = second - moved_second + later(moved_second)
        return torch.cat([new_first, new_second, rest], dim=1)

    def gates(self, shifted: Sequence[Tensor]) -> list[Tensor]:
        """How much moves: (t, 2, H, W) for each tile (t, S, H, W) of consecutive frames, which make up the clip."""
        previous, current, following = zip(*(self.maps(x) for x in shifted), strict=True)
        arriving = zip(current, later_tiles(previous), earlier_tiles(following), strict=True)
        return [torch.tanh(now + before + after) for now, before, after in arriving]

    def maps(self, shifted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What shifted (T, S, H, W) adds to the gates of the next, this and the previous frame: (T, 2, H, W) each."""
        maps = F.conv2d(F.relu(self.bn(shifted)), self.weight, self.bias, padding=1)  # (T, 6, H, W)
        previous, current, following = maps.split(2, dim=1)
        return previous, current, following


class LeanTemporalShift(nn.Module):
    """``mcore.network.gated_shift.TemporalShift`` on one clip."""

    def __init__(self, source: TemporalShift) -> None:
        super().__init__()
        self.shifted = source.shifted

    def forward(self, x: Tensor) -> Tensor:
        """Shift half of the shifted channels each way: (T, C, H, W) to the same shape."""
        return self.shift_tiles([x])[0]

    def shift_tiles(self, tiles: Sequence[Tensor]) -> list[Tensor]:
        """Shift a clip that lies in tiles of consecutive frames (t, C, H, W): to the same shapes."""
        sizes = [self.shifted // 2, self.shifted // 2, tiles[0].shape[1] - self.shifted]
        first, second, rest = zip(*(x.split(sizes, dim=1) for x in tiles), strict=True)
        shifted = zip(earlier_tiles(first), later_tiles(second), rest, strict=True)
        return [torch.cat(parts, dim=1) for parts in shifted]


def _lean_shift(shift: GatedShift | TemporalShift | None) -> nn.Module:
    if shift is None:
        return nn.Identity()
    return LeanGatedShift(shift) if isinstance(shift, GatedShift) else LeanTemporalShift(shift)


def earlier(x: Tensor) -> Tensor:
    """Move frames (T, C, H, W) one earlier: out[t] = x[t+1], zero at the end."""
    return F.pad(x[1:], (0, 0, 0, 0, 0, 0, 0, 1))


def later(x: Tensor) -> Tensor:
    """Move frames (T, C, H, W) one later: out[t] = x[t-1], zero at the start."""
    return F.pad(x[:-1], (0, 0, 0, 0, 0, 0, 1, 0))


def earlier_tiles(tiles: Sequence[Tensor]) -> list[Tensor]:
    """``earlier`` of a clip that lies in tiles (t, C, H, W): each but the last ends with the next one's first frame."""
    ahead = [torch.cat([x[1:], after[:1]]) for x, after in itertools.pairwise(tiles)]
    return [*ahead, earlier(tiles[-1])]


def later_tiles(tiles: Sequence[Tensor]) -> list[Tensor]:
    """``later`` of a clip that lies in tiles (t, C, H, W): each but the first begins with the last frame before it."""
    behind = [torch.cat([before[-1:], x[:-1]]) for before, x in itertools.pairwise(tiles)]
    return [later(tiles[0]), *behind]
