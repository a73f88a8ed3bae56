"""The backbone rearranged for export: the same function in fewer nodes, as a copy.

* Batch-norms become part of the convolution before them. The gate's own stands before a ReLU with nothing to
  be folded into, and stays.
* The order of channels that a gated shift leaves is a constant of the next convolution's weight.
* Frames are axis 0 throughout: no reshape to (B, T, ...) and back. The gate's maps come out by frame (previous, this,
  next), so that one split separates them, and its bias is its convolution's.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcore.network.backbone import Block, ConvNorm, RegNetY
from mcore.network.gated_shift import GatedShift, TemporalShift

# Shapes: B clips, T frames of each, C channels, S shifted channels. Frames of several clips lie in turn, row
# t * B + b: so one frame later is B rows later, for every clip, and no map gets a fifth axis.


def folded_backbone(backbone: RegNetY, *, batched: bool = False) -> FoldedBackbone:
    """Rearrange a copy of a backbone; the original is not touched.

    Args:
        backbone: any dtype; its batch-norms' running statistics are what is folded, as in evaluation mode.
        batched: for any number of clips, else one.

    Returns:
        The same function, on the same device and in the same dtype.
    """
    with torch.no_grad():
        return FoldedBackbone(copy.deepcopy(backbone), batched=batched).eval()


class FoldedBackbone(nn.Module):
    """Extract features of clips: (B, 3, T, H, W) -> (B, T, D), where B is 1 unless it is batched."""

    def __init__(self, source: RegNetY, *, batched: bool = False) -> None:
        super().__init__()
        self.batched = batched
        self.stem = FoldedConv(source.stem)
        blocks = [block for name in source.stage_names for block in source.get_submodule(name).children()]
        self.blocks = nn.Sequential(*(FoldedBlock(block) for block in blocks if isinstance(block, Block)))

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (B, 3, T, H, W), normalised RGB, to features (B, T, D); both float32, whatever is inside."""
        count = clips.shape[0] if self.batched else 1
        x = self.stem(self.frames(clips))  # (T*B, C, h, w)
        for block in self.blocks:
            x = block(x, count)
        rows = pool(x)  # (T*B, D)
        if not self.batched:
            return rows[None]
        features: Tensor = rows.unflatten(0, (-1, count)).transpose(0, 1)  # (B, T, D)
        return features

    def frames(self, clips: Tensor) -> Tensor:
        """Put the frames of clips (B, 3, T, H, W) in turn, in the backbone's dtype: (T*B, 3, H, W)."""
        clips = clips.to(self.stem.weight.dtype)
        if not self.batched:
            return clips.squeeze(0).transpose(0, 1)
        return clips.permute(2, 0, 1, 3, 4).flatten(0, 1)


class FoldedBlock(nn.Module):
    """``mcore.network.backbone.Block`` with folded convolutions."""

    def __init__(self, source: Block) -> None:
        super().__init__()
        weight = source.conv1.conv.weight
        self.shift = _folded_shift(source.shift)
        self.conv1 = FoldedConv(source.conv1, None if source.shift is None else source.shift.fold_channel_order(weight))
        self.conv2 = FoldedConv(source.conv2)
        self.se: nn.Module = source.se
        self.conv3 = FoldedConv(source.conv3)
        self.downsample = nn.Identity() if source.downsample is None else FoldedConv(source.downsample)

    def forward(self, x: Tensor, clips: int = 1) -> Tensor:
        """Map frames of so many clips in turn, (T*B, C_in, H, W), to (T*B, C, H/stride, W/stride)."""
        return self.after_shift(x if self.shift is None else self.shift(x, clips), x)

    def after_shift(self, shifted: Tensor, x: Tensor) -> Tensor:
        """Compute what follows the shift, frame by frame: shifted and x (T, C_in, H, W), as in forward."""
        return self.after_conv1(self.conv1(shifted), x)

    def after_conv1(self, inner: Tensor, x: Tensor) -> Tensor:
        """Compute the layers behind the first convolution: inner (T, C, H, W) of it, and x as in forward."""
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


class FoldedGatedShift(nn.Module):
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

    def forward(self, x: Tensor, clips: int = 1) -> Tensor:
        """Shift what the gates let through: (T*B, C, H, W) to the same shape."""
        shifted, rest = x.split([self.shifted, x.shape[1] - self.shifted], dim=1)
        previous, current, following = self.maps(shifted)
        gates = torch.tanh(current + later(previous, clips) + earlier(following, clips))
        gate_first, gate_second = gates.split(1, dim=1)  # (T*B, 1, H, W)
        first, second = shifted.split(self.shifted // 2, dim=1)
        moved_first, moved_second = gate_first * first, gate_second * second
        new_first = first - moved_first + earlier(moved_first, clips)
        new_second = second - moved_second + later(moved_second, clips)
        return torch.cat([new_first, new_second, rest], dim=1)

    def maps(self, shifted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map shifted (T, S, H, W) to its part in the gates of next, this and previous frame: (T, 2, H, W) each."""
        maps = F.conv2d(F.relu(self.bn(shifted)), self.weight, self.bias, padding=1)  # (T, 6, H, W)
        previous, current, following = maps.split(2, dim=1)
        return previous, current, following


class FoldedTemporalShift(nn.Module):
    """``mcore.network.gated_shift.TemporalShift`` on one clip."""

    def __init__(self, source: TemporalShift) -> None:
        super().__init__()
        self.shifted = source.shifted

    def forward(self, x: Tensor, clips: int = 1) -> Tensor:
        """Shift half of the shifted channels each way: (T*B, C, H, W) to the same shape."""
        half = self.shifted // 2
        first, second, rest = x.split([half, half, x.shape[1] - self.shifted], dim=1)
        return torch.cat([earlier(first, clips), later(second, clips), rest], dim=1)


def _folded_shift(shift: GatedShift | TemporalShift | None) -> FoldedGatedShift | FoldedTemporalShift | None:
    if shift is None:
        return None
    return FoldedGatedShift(shift) if isinstance(shift, GatedShift) else FoldedTemporalShift(shift)


def earlier(x: Tensor, clips: int = 1) -> Tensor:
    """Move frames (T*B, C, H, W) one earlier: out[t] = x[t+1], zero at the end."""
    return F.pad(x[clips:], (0, 0, 0, 0, 0, 0, 0, clips))


def later(x: Tensor, clips: int = 1) -> Tensor:
    """Move frames (T*B, C, H, W) one later: out[t] = x[t-1], zero at the start."""
    return F.pad(x[:-clips], (0, 0, 0, 0, 0, 0, clips, 0))


def pool(x: Tensor) -> Tensor:
    """Take the mean over space, (T*B, D, h, w) to (T*B, D), in float32: sums of thousands of pixels overflow half."""
    return wide(x).mean((2, 3))


def wide(x: Tensor) -> Tensor:
    """Return half precision as float32, anything else as it is."""
    return x.float() if x.dtype == torch.float16 else x
