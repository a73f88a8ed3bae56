"""Faults from the stage tokens: a task beside the scores, for training only; not part of the published network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 64
"""Width of its hidden layer."""


class FaultReader(nn.Module):
    """MLP from all tokens of a dive to the severity of each fault, ReLU between."""

    def __init__(self, num_inputs: int, num_faults: int) -> None:
        """Make the layers.

        Args:
            num_inputs: tokens of a dive x features.
            num_faults: severities to tell.
        """
        super().__init__()
        self.layer1 = nn.Linear(num_inputs, HIDDEN)
        self.layer2 = nn.Linear(HIDDEN, num_faults)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, 3K, D) to severities (N, F), 0 none to 1 gross."""
        out: Tensor = self.layer2(F.relu(self.layer1(tokens.flatten(1))))
        return out
