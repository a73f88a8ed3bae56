"""RegNetY with a temporal shift in every block (Radosavovic et al., "Designing Network Design Spaces", CVPR 2020).

Modules carry timm's names (``stem``, ``s1.b1.conv1.conv``, ...), so that ImageNet weights load by name; each
block's shift is ``shift``. Every frame becomes one feature vector; frames meet only in the shifts.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mcore.config import BackboneConfig
from mcore.network.gated_shift import GatedShift, TemporalShift

# Shapes: B clips, T frames, N = B*T, C channels.


class ConvNorm(nn.Module):
    """Convolution without bias, batch-norm, and a ReLU or none."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = relu

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H/stride, W/stride); ``weight`` stands in for the convolution's own."""
        c = self.conv
        x = self.bn(F.conv2d(x, c.weight if weight is None else weight, None, c.stride, c.padding, 1, c.groups))
        return F.relu(x) if self.relu else x


class SqueezeExcite(nn.Module):
    """Scale channels by what the whole frame holds (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, reduced, 1)
        self.fc2 = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        scale = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        out: Tensor = x * self.fc2(F.relu(self.fc1(scale))).sigmoid()
        return out


class Block(nn.Module):
    """Shift, 1x1, grouped 3x3, squeeze-excite, 1x1; the shortcut carries the unshifted input."""

    def __init__(self, channels_in: int, channels: int, stride: int, config: BackboneConfig) -> None:
        super().__init__()
        groups = channels // config.group_width
        self.shift: GatedShift | TemporalShift | None = None
        if config.shift != "none":
            self.shift = (GatedShift if config.shift == "gated" else TemporalShift)(channels_in)
        # RegNet's bottleneck ratio is 1: all three convolutions have the stage's width.
        self.conv1 = ConvNorm(channels_in, channels, 1)
        self.conv2 = ConvNorm(channels, channels, 3, stride=stride, groups=groups)
        # Of the block's input, not of its output: a stage's first block squeezes to fewer channels (as in timm).
        self.se = SqueezeExcite(channels, round(channels_in * config.se_ratio))
        self.conv3 = ConvNorm(channels, channels, 1, relu=False)
        self.downsample: ConvNorm | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = ConvNorm(channels_in, channels, 1, stride=stride, relu=False)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map (B*T, C_in, H, W) to (B*T, C, H/stride, W/stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        if self.shift is None:
            x = self.conv1(x)
        else:
            # The published shift also permutes channels; here the next weight's columns are permuted instead.
            weight = self.shift.fold_channel_order(self.conv1.conv.weight)
            x = self.conv1(self.shift(x, num_frames), weight)
        x = self.conv3(self.se(self.conv2(x)))  # (B*T, C, H/stride, W/stride)
        return F.relu(x + shortcut)


class RegNetY(nn.Module):
    """Feature extractor of every frame, with its neighbours in time."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = ConvNorm(3, config.stem_width, 3, stride=2)
        self.stage_names: list[str] = []
        channels = config.stem_width
        for number, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True), start=1):
            stage = nn.ModuleDict()
            # The first block of each stage halves the maps and changes the width.
            for block in range(1, depth + 1):
                stage[f"b{block}"] = Block(channels, width, 2 if block == 1 else 1, config)
                channels = width
            self.add_module(f"s{number}", stage)
            self.stage_names.append(f"s{number}")
        # Set by mcore.training.compute, for training only: the compute dtype under autocast, and whether only each
        # block's input is kept and the rest computed again for the gradient.
        self.training_dtype: torch.dtype | None = None
        self.activation_checkpointing = False
        self._initialise()

    def _initialise(self) -> None:
        """Initialise as timm does: He by fan-out, and blocks that start as their shortcut."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Block):
                nn.init.zeros_(module.conv3.bn.weight)
            elif isinstance(module, GatedShift):
                module.reset_gate()

    def forward(self, clips: Tensor) -> Tensor:
        """Extract one feature vector a frame.

        Args:
            clips: (B, 3, T, H, W), float, normalised RGB (docs/reference/network.md, section 1).

        Returns:
            (B, T, D), the same dtype.
        """
        num_frames = clips.shape[2]
        if self.training and self.training_dtype is not None:
            with torch.autocast(clips.device.type, self.training_dtype):
                x = self._maps(clips)
            x = x.to(clips.dtype)  # half precision ends before the mean over space
        else:
            x = self._maps(clips)
        features: Tensor = x.mean((2, 3)).unflatten(0, (-1, num_frames))  # (B, T, D)
        return features

    def _maps(self, clips: Tensor) -> Tensor:
        """Feature maps of every frame: (B, 3, T, H, W) -> (B*T, D, h, w)."""
        num_frames = clips.shape[2]
        again = self.activation_checkpointing and self.training and torch.is_grad_enabled()
        x = clips.transpose(1, 2).flatten(0, 1)  # (B*T, 3, H, W)
        x = self.stem(x)  # (B*T, stem width, H/2, W/2)
        for name in self.stage_names:
            for block in self.get_submodule(name).children():
                if again:  # no block draws random numbers, so none need restoring
                    x = checkpoint(block, x, num_frames, use_reentrant=False, preserve_rng_state=False)
                else:
                    x = block(x, num_frames)
        maps: Tensor = x
        return maps
