"""Backbones of other methods for the cost of their passes only: random weights, nothing trained, nothing scored.

I3D (Carreira and Zisserman, CVPR 2017) is what USDL, MUSDL, CoRe and TSA extract features with; X3D-M (Feichtenhofer,
CVPR 2020) and MobileNetV2 with temporal shifts (Lin et al., ICCV 2019; Sandler et al., CVPR 2018) are made for little
arithmetic. Written from the papers' tables; a test holds parameters and operations to the papers' figures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mcore.network.gated_shift import TemporalShift

# Shapes: B clips, T frames, C channels.


def conv3d(
    channels_in: int, channels: int, kernel: tuple[int, int, int], *, stride: tuple[int, int, int] = (1, 1, 1),
    groups: int = 1, act: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:  # fmt: skip
    """A 3-D convolution without bias, batch-norm and activation."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    layers: list[nn.Module] = [
        nn.Conv3d(channels_in, channels, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm3d(channels),
    ]
    return nn.Sequential(*layers, *([] if act is None else [act()]))


class Inception(nn.Module):
    """Four branches side by side; widths as in the paper's figure 3: 1x1; 1x1, 3x3; 1x1, 3x3; pool, 1x1."""

    def __init__(self, channels_in: int, w: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        one, three = (1, 1, 1), (3, 3, 3)
        self.branches = nn.ModuleList(
            [
                conv3d(channels_in, w[0], one),
                nn.Sequential(conv3d(channels_in, w[1], one), conv3d(w[1], w[2], three)),
                nn.Sequential(conv3d(channels_in, w[3], one), conv3d(w[3], w[4], three)),
                nn.Sequential(nn.MaxPool3d(3, 1, 1), conv3d(channels_in, w[5], one)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, T, H, W) to (B, C, T, H, W)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class I3D(nn.Module):
    """Inflated Inception-v1, up to the features: (B, 3, T, H, W) to (B, 1024)."""

    def __init__(self, classes: int | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv3d(3, 64, (7, 7, 7), stride=(2, 2, 2)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            conv3d(64, 64, (1, 1, 1)),
            conv3d(64, 192, (3, 3, 3)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            Inception(192, (64, 96, 128, 16, 32, 32)),
            Inception(256, (128, 128, 192, 32, 96, 64)),
            nn.MaxPool3d(3, 2, 1),
            Inception(480, (192, 96, 208, 16, 48, 64)),
            Inception(512, (160, 112, 224, 24, 64, 64)),
            Inception(512, (128, 128, 256, 24, 64, 64)),
            Inception(512, (112, 144, 288, 32, 64, 64)),
            Inception(528, (256, 160, 320, 32, 128, 128)),
            nn.MaxPool3d(2, 2),
            Inception(832, (256, 160, 320, 32, 128, 128)),
            Inception(832, (384, 192, 384, 48, 128, 128)),
        )
        self.head = nn.Identity() if classes is None else nn.Linear(1024, classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (B, 3, T, H, W) to one vector each."""
        out: Tensor = self.head(self.layers(clips).mean((2, 3, 4)))
        return out


class X3DBlock(nn.Module):
    """1x1x1, depthwise 3x3x3, squeeze-excite in every other block, 1x1x1; Swish between."""

    def __init__(self, channels_in: int, inner: int, channels: int, stride: int, *, se: bool) -> None:
        super().__init__()
        self.expand = conv3d(channels_in, inner, (1, 1, 1))
        self.depthwise = conv3d(inner, inner, (3, 3, 3), stride=(1, stride, stride), groups=inner, act=None)
        reduced = max(8, -(-inner // 16 // 8) * 8)  # a sixteenth, in steps of 8
        self.se = nn.Sequential(nn.Conv3d(inner, reduced, 1), nn.ReLU(), nn.Conv3d(reduced, inner, 1), nn.Sigmoid())
        self.has_se = se
        if not se:
            self.se = nn.Sequential()
        self.project = conv3d(inner, channels, (1, 1, 1), act=None)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = conv3d(channels_in, channels, (1, 1, 1), stride=(1, stride, stride), act=None)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, T, H, W) to (B, C, T, H/stride, W/stride)."""
        y = self.depthwise(self.expand(x))
        if self.has_se:
            y = y * self.se(y.mean((2, 3, 4), keepdim=True))
        out: Tensor = torch.relu(self.project(nn.functional.silu(y)) + self.shortcut(x))
        return out


class X3D(nn.Module):
    """X3D-M: stages of 3, 5, 11, 7 blocks, widths 24, 48, 96, 192, bottleneck 2.25."""

    def __init__(self, classes: int | None = None) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv3d(3, 24, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False),
            conv3d(24, 24, (5, 1, 1), groups=24),
        ]
        channels = 24
        for width, depth in ((24, 3), (48, 5), (96, 11), (192, 7)):
            for number in range(depth):
                inner = int(2.25 * width)
                layers.append(X3DBlock(channels, inner, width, 2 if number == 0 else 1, se=number % 2 == 0))
                channels = width
        self.layers = nn.Sequential(*layers, conv3d(192, 432, (1, 1, 1)))
        self.head: nn.Module = nn.Identity()
        if classes is not None:
            self.head = nn.Sequential(nn.Linear(432, 2048, bias=False), nn.ReLU(), nn.Linear(2048, classes))

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (B, 3, T, H, W) to one vector each."""
        out: Tensor = self.head(self.layers(clips).mean((2, 3, 4)))
        return out


def conv2d(channels_in: int, channels: int, kernel: int, *, stride: int = 1, groups: int = 1, relu: bool = True) -> (
    nn.Sequential
):  # fmt: skip
    """A 2-D convolution without bias, batch-norm and ReLU6."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6()] if relu else []))


class InvertedResidual(nn.Module):
    """Expand, depthwise 3x3, project; blocks with a shortcut shift an eighth of their channels each way first."""

    def __init__(self, channels_in: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        layers = [] if expansion == 1 else [conv2d(channels_in, inner, 1)]
        layers += [conv2d(inner, inner, 3, stride=stride, groups=inner), conv2d(inner, channels, 1, relu=False)]
        self.layers = nn.Sequential(*layers)
        self.shift = TemporalShift(channels_in) if stride == 1 and channels_in == channels else None

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map (B*T, C_in, H, W) to (B*T, C, H/stride, W/stride)."""
        if self.shift is None:
            out: Tensor = self.layers(x)
            return out
        moved: Tensor = self.layers(self.shift(x, num_frames))
        return x + moved


class MobileNetV2TSM(nn.Module):
    """MobileNetV2 with temporal shifts: (B, 3, T, H, W) to (B, T, 1280)."""

    def __init__(self, classes: int | None = None) -> None:
        super().__init__()
        self.stem = conv2d(3, 32, 3, stride=2)
        self.blocks = nn.ModuleList()
        channels = 32
        for expansion, width, depth, stride in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
        ):  # fmt: skip
            for number in range(depth):
                self.blocks.append(InvertedResidual(channels, width, stride if number == 0 else 1, expansion))
                channels = width
        self.last = conv2d(320, 1280, 1)
        self.head = nn.Identity() if classes is None else nn.Linear(1280, classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (B, 3, T, H, W) to one vector a frame."""
        num_frames = clips.shape[2]
        x = self.stem(clips.transpose(1, 2).flatten(0, 1))
        for block in self.blocks:
            x = block(x, num_frames)
        out: Tensor = self.head(self.last(x).mean((2, 3))).unflatten(0, (-1, num_frames))
        return out
