"""Procedure segmenter: first frames of the flight and of the entry (MCoRe section 2.2).

A bidirectional GRU reads the frame features; each of two output channels is high at its transition's frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NUM_TRANSITIONS = 2


class Segmenter(nn.Module):
    """Bi-GRU and a linear layer."""

    def __init__(self, feature_dim: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(feature_dim, feature_dim, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * feature_dim, NUM_TRANSITIONS)

    def forward(self, features: Tensor) -> Tensor:
        """Give every frame a logit for each transition.

        Args:
            features: (B, T, D), float.

        Returns:
            (B, T, 2) raw logits: channel 0 take-off -> flight, channel 1 flight -> entry.
        """
        hidden, _ = self.gru(features)  # (B, T, 2D): forwards, backwards
        logits: Tensor = self.output(self.dropout(hidden))
        return logits


def decode_transitions(logits: Tensor) -> Tensor:
    """Decode logits as the published network does (docs/reference/network.md, section 3).

    The first transition is searched in the first half of the clip, the second in the second half; ties take
    the first frame, and a boundary of 0 counts as 1, so every stage has at least one frame.

    Args:
        logits: (B, T, 2), T >= 4.

    Returns:
        (B, 2) int64: first frame of the flight and first frame of the entry, 0 < t1 < t2 < T.
    """
    half = logits.shape[1] // 2
    flight = logits[:, :half, 0].argmax(dim=1).clamp(min=1)  # (B,); a flight from frame 0 would leave no take-off
    entry = logits[:, half:, 1].argmax(dim=1) + half  # (B,); later than the flight by construction
    return torch.stack([flight, entry], dim=1)
