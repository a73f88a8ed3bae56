"""I3D, the backbone of USDL, MUSDL, CoRe and TSA, for the cost of its pass only: random weights, nothing scored.

Carreira and Zisserman, CVPR 2017, from the paper's table; a test compares parameters and operations with its figures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv3d(
    channels_in: int, channels: int, kernel: tuple[int, int, int], stride: tuple[int, int, int] = (1, 1, 1)
) -> nn.Sequential:
    """A 3-D convolution without bias, batch-norm and ReLU."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    convolution = nn.Conv3d(channels_in, channels, kernel, stride, padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(channels), nn.ReLU())


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

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv3d(3, 64, (7, 7, 7), (2, 2, 2)),
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

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (B, 3, T, H, W) to one vector each."""
        out: Tensor = self.layers(clips).mean((2, 3, 4))
        return out
