"""The spotter: a small network that tells, picture by picture, when a diver leaves a board and meets the water.

Convolutions see one picture and its differences to the last ones; a GRU remembers. What it says of a picture it says
``SPOTTER_DELAY`` pictures later.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mcore.video.spotting import CHANNELS, SPOTTER_STRIDES

OUTPUTS = ("takeoff", "entry", "flight")
_WIDTHS = (16, 32, 48, 64)
_MEMORY = 96


class Spotter(nn.Module):
    """Convolutions for each picture, a GRU over all."""

    memory = _MEMORY

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = CHANNELS
        for width, stride in zip(_WIDTHS, SPOTTER_STRIDES, strict=True):
            layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.convolutions = nn.Sequential(*layers)
        # Rows are kept apart: where in the picture something moves says whether it falls.
        self.embed = nn.Sequential(nn.Linear(2 * 7 * _WIDTHS[-1], _MEMORY), nn.ReLU(), nn.Dropout(0.2))
        self.remember = nn.GRU(_MEMORY + 2, _MEMORY, batch_first=True)
        self.tell = nn.Linear(_MEMORY, len(OUTPUTS))

    def forward(self, maps: Tensor, shifts: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Look at pictures in order.

        Args:
            maps: (B, T, CHANNELS, ROWS, COLUMNS) from ``features``.
            shifts: (B, T, 2) movement of the picture, from ``features``.
            state: (1, B, memory); zeros before the first picture.

        Returns:
            (B, T, outputs) logits of the picture ``SPOTTER_DELAY`` before, and the new state.
        """
        batch, time = maps.shape[:2]
        x = self.convolutions(maps.flatten(0, 1))  # (B*T, C, 7, 7)
        x = torch.cat([x.amax(3), x.mean(3)], 1).flatten(1)  # (B*T, 2*C*7)
        x = self.embed(x).unflatten(0, (batch, time))
        x, state = self.remember(torch.cat([x, shifts], 2), state)
        return self.tell(x), state

    def arrays(self) -> dict[str, NDArray[np.float16]]:
        """Return the weights as the runtime takes them, in half precision: normalisation is part of the kernels."""
        kept: dict[str, Tensor] = {}
        layers = list(self.convolutions)
        for index in range(len(SPOTTER_STRIDES)):
            convolution, norm = layers[3 * index], layers[3 * index + 1]
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            kept[f"kernel_{index}"] = (convolution.weight * gain[:, None, None, None]).flatten(1)
            kept[f"bias_{index}"] = norm.bias - norm.running_mean * gain
        embed = self.embed[0]
        kept |= {"embed": embed.weight, "embed_bias": embed.bias, "tell": self.tell.weight, "tell_bias": self.tell.bias}
        kept |= {
            "gru_input": self.remember.weight_ih_l0, "gru_input_bias": self.remember.bias_ih_l0,
            "gru_hidden": self.remember.weight_hh_l0, "gru_hidden_bias": self.remember.bias_hh_l0,
        }  # fmt: skip
        return {name: tensor.detach().numpy().astype(np.float16) for name, tensor in kept.items()}
