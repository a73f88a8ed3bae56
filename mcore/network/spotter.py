"""The spotter: a small network that tells, picture by picture, when a diver leaves a board and meets the water.

It sees how much moves at each height. Convolutions over heights and the last pictures see a body rise and fall; a GRU
remembers what came before. What it says of a picture it says ``SPOTTER_DELAY`` pictures later.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mcore.video.spotting import CHANNELS, SPOTTER_SPAN

OUTPUTS = ("takeoff", "entry", "flight")
_WIDTHS = (24, 32, 32)
_BINS_LEFT = 7
"""Heights after three convolutions of stride 2, of 50."""
_MEMORY = 64


class Spotter(nn.Module):
    """Convolutions over heights and the last pictures, a GRU over all."""

    memory = _MEMORY

    def __init__(self) -> None:
        super().__init__()
        widths = (CHANNELS, *_WIDTHS)
        self.scale = nn.BatchNorm2d(CHANNELS)
        # Three pictures each, so that together they see SPOTTER_SPAN.
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, width, (3, 5), (1, 2), (0, 2), bias=False)
            for before, width in zip(widths, _WIDTHS, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in _WIDTHS)
        self.embed = nn.Linear(_WIDTHS[-1] * _BINS_LEFT + 2, _MEMORY)
        self.dropout = nn.Dropout(0.2)
        self.remember = nn.GRU(_MEMORY, _MEMORY, batch_first=True)
        self.tell = nn.Linear(_MEMORY, len(OUTPUTS))

    def forward(self, profiles: Tensor, shifts: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Look at pictures in order.

        Args:
            profiles: (B, T, CHANNELS, BINS) from ``profile``.
            shifts: (B, T, 2) from ``scaled_shift``.
            state: (1, B, memory); zeros before the first picture.

        Returns:
            (B, T, outputs) logits of the picture ``SPOTTER_DELAY`` before, and the new state.
        """
        x = self.scale(profiles.transpose(1, 2))  # (B, C, T, BINS)
        x = functional.pad(x, (0, 0, SPOTTER_SPAN - 1, 0))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = torch.relu(norm(convolution(x)))
        x = x.transpose(1, 2).flatten(2)  # (B, T, C * bins left)
        x = self.dropout(torch.relu(self.embed(torch.cat([x, shifts], 2))))
        x, state = self.remember(x, state)
        return self.tell(x), state

    def arrays(self) -> dict[str, NDArray[np.float16]]:
        """Return the weights by name, in half precision, as the runtime takes them: normalisation is in the kernels."""
        kept = {
            name: value for name, value in self.state_dict().items() if name.startswith(("embed", "remember", "tell"))
        }
        kept["scale.weight"], kept["scale.bias"] = _affine(self.scale)
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            assert isinstance(convolution, nn.Conv2d)
            gain, bias = _affine(norm)
            kept[f"convolutions.{index}.weight"] = convolution.weight * gain[:, None, None, None]
            kept[f"convolutions.{index}.bias"] = bias
        return {name: value.detach().numpy().astype(np.float16) for name, value in kept.items()}


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """What a trained normalisation multiplies each channel by, and adds to it."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return gain, norm.bias - norm.running_mean * gain
