"""Temporal shifts: a quarter of a block's channels moves one frame earlier or later before its first convolution.

``GatedShift`` is GSM (Sudhakaran et al., "Gate-Shift Networks", CVPR 2020) as MCoRe uses it, ``TemporalShift``
is TSM (Lin et al., ICCV 2019). Both keep frames in the batch, (B*T, C, H, W), and use slices and ``cat`` only,
so that they export to a handful of nodes; in-place slice writes become ScatterND.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Shapes: B clips, T frames, C channels of the block's input, S shifted channels (a multiple of 4).


def num_shifted_channels(channels: int) -> int:
    """Channels that take part in a shift: a quarter, rounded down, then up to a multiple of 4."""
    return 4 * math.ceil((channels // 4) / 4)


def shift_earlier(x: Tensor) -> Tensor:
    """Move every frame of x (B, T, ...) one frame earlier: out[t] = x[t+1], zero at the end."""
    return torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], dim=1)


def shift_later(x: Tensor) -> Tensor:
    """Move every frame of x (B, T, ...) one frame later: out[t] = x[t-1], zero at the start."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)


class TemporalShift(nn.Module):
    """TSM: the first half of the shifted channels moves one frame earlier, the second half one later."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shifted = num_shifted_channels(channels)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Shift frames of one clip against each other.

        Args:
            x: (B*T, C, H, W), any float dtype.
            num_frames: T.

        Returns:
            (B*T, C, H, W).
        """
        earlier, later, rest = _split_halves(x, self.shifted)
        earlier = shift_earlier(earlier.unflatten(0, (-1, num_frames))).flatten(0, 1)
        later = shift_later(later.unflatten(0, (-1, num_frames))).flatten(0, 1)
        return torch.cat([earlier, later, rest], dim=1)

    def fold_channel_order(self, weight: Tensor) -> Tensor:
        """Return the next 1x1 convolution's weight unchanged: TSM keeps the order of channels."""
        return weight


class GatedShift(nn.Module):
    """GSM: a learned gate decides, per position, how much of a channel moves to the neighbouring frame.

    The gate is a 3x3x3 convolution over (T, H, W). It is computed as one 2-D convolution with three maps for
    each gate (for the previous, this and the next frame) that are then summed over time: the same number with
    no 5-D tensor, and the sum over time costs two channels instead of S.

    The published module also interleaves each half's channels, viewed as (2, S/4), to (S/4, 2). That is a
    permutation ahead of a 1x1 convolution, so it is folded into that convolution's weight
    (``fold_channel_order``) and costs nothing.
    """

    source_channel: Tensor  # (C,): which channel of the published order this module's channel i holds

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shifted = num_shifted_channels(channels)
        self.bn = nn.BatchNorm2d(self.shifted)
        self.gate = nn.Conv2d(self.shifted, 6, kernel_size=3, padding=1, groups=2, bias=False)
        self.gate_bias = nn.Parameter(torch.zeros(2))
        self.reset_gate()
        self.register_buffer("source_channel", _interleaved_position(channels, self.shifted), persistent=False)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Shift what the gates let through.

        Args:
            x: (B*T, C, H, W), any float dtype.
            num_frames: T.

        Returns:
            (B*T, C, H, W), channels in x's order; the next convolution's weight must go through
            ``fold_channel_order``.
        """
        shifted, rest = x.split([self.shifted, x.shape[1] - self.shifted], dim=1)
        first, second = shifted.chunk(2, dim=1)
        gates = self._gates(shifted, num_frames)  # (B*T, 2, H, W)
        moved_first = gates[:, :1] * first
        moved_second = gates[:, 1:] * second
        earlier = shift_earlier(moved_first.unflatten(0, (-1, num_frames))).flatten(0, 1)
        later = shift_later(moved_second.unflatten(0, (-1, num_frames))).flatten(0, 1)
        return torch.cat([first - moved_first + earlier, second - moved_second + later, rest], dim=1)

    def _gates(self, x: Tensor, num_frames: int) -> Tensor:
        maps = self.gate(F.relu(self.bn(x)))  # (B*T, 6, H, W): gate-major, then frame
        maps = maps.unflatten(0, (-1, num_frames)).unflatten(2, (2, 3))  # (B, T, 2, 3, H, W)
        previous, current, following = maps.unbind(3)
        total = current + shift_later(previous) + shift_earlier(following)  # (B, T, 2, H, W)
        return torch.tanh(total + self.gate_bias.view(2, 1, 1)).flatten(0, 1)

    def reset_gate(self) -> None:
        """Set the gate to zero, its initial value: nothing shifts."""
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate_bias)

    @staticmethod
    def gate_weight_from_3d(weight: Tensor) -> Tensor:
        """Turn the published gate's weight into this form: (2, S/2, 3, 3, 3) -> (6, S/2, 3, 3)."""
        return weight.transpose(1, 2).flatten(0, 1)

    def fold_channel_order(self, weight: Tensor) -> Tensor:
        """Reorder the input channels of the 1x1 convolution that follows.

        Args:
            weight: (out, C, 1, 1), for the published, interleaved order.

        Returns:
            (out, C, 1, 1), for this module's order.
        """
        return weight[:, self.source_channel]


def _split_halves(x: Tensor, shifted: int) -> tuple[Tensor, Tensor, Tensor]:
    # One split, not three slices: the gradient of a slice is a zeroed tensor of x's whole size, each time.
    first, second, rest = x.split([shifted // 2, shifted // 2, x.shape[1] - shifted], dim=1)
    return first, second, rest


def _interleaved_position(channels: int, shifted: int) -> Tensor:
    """Position of each channel after the published interleave: within a half, i -> (i % S/4) * 2 + i // (S/4)."""
    half, quarter = shifted // 2, shifted // 4
    position = torch.arange(channels)
    for start in (0, half):
        i = torch.arange(half)
        position[start : start + half] = start + (i % quarter) * 2 + i // quarter
    return position
