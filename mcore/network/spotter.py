"""The spotter: a small network that tells, picture by picture, when a diver leaves a board and meets the water.

Convolutions see one picture and its differences to the last ones; a GRU remembers. What it says of a picture it says
``DELAY`` pictures later, because only then can a take-off be told from a hurdle.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mcore.video.spotting import CHANNELS

OUTPUTS = ("takeoff", "entry", "flight")
DELAY = 5
"""Pictures that the network looks ahead: 0.42 s."""
_WIDTHS = (16, 32, 48, 64)
_MEMORY = 96


class Spotter(nn.Module):
    """Convolutions for each picture, a GRU over all."""

    memory = _MEMORY

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = CHANNELS
        for width, stride in zip(_WIDTHS, (2, 2, 2, (2, 1)), strict=True):
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
            (B, T, outputs) logits of the picture ``DELAY`` before, and the new state.
        """
        batch, time = maps.shape[:2]
        x = self.convolutions(maps.flatten(0, 1))  # (B*T, C, 7, 7)
        x = torch.cat([x.amax(3), x.mean(3)], 1).flatten(1)  # (B*T, 2*C*7)
        x = self.embed(x).unflatten(0, (batch, time))
        x, state = self.remember(torch.cat([x, shifts], 2), state)
        return self.tell(x), state
