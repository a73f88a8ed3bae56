"""Contrastive regression: the difference in score between two dives, from their stage tokens (MCoRe section 2.3).

A cross-attention decoder lets each of the query's tokens look at the exemplar's tokens of the same stage;
an MLP turns each result into points.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

FAULT_READER_WIDTH = 64
"""Width of the hidden layer that reads faults."""

# Shapes: N pairs of stages, K tokens, D features, H heads, F faults.


class CrossAttention(nn.Module):
    """Multi-head attention from query tokens to exemplar tokens; only the output projection has a bias."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_map = nn.Linear(dim, dim, bias=False)
        self.k_map = nn.Linear(dim, dim, bias=False)
        self.v_map = nn.Linear(dim, dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, q: Tensor, v: Tensor) -> Tensor:
        """Attend from q (N, K, D) to v (N, K, D); softmax over v's tokens, scale (D/H)^-0.5."""

        def split(x: Tensor) -> Tensor:
            heads: Tensor = x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, H, K, D/H)
            return heads

        # Written out: with a handful of tokens a fused kernel gains nothing, and exported it is three times the nodes.
        queries = split(self.q_map(q)) * (q.shape[2] // self.heads) ** -0.5
        keys = self.k_map(v).unflatten(2, (self.heads, -1)).permute(0, 2, 3, 1)  # (N, H, D/H, K)
        mixed = (queries @ keys).softmax(-1) @ split(self.v_map(v))  # (N, H, K, K) @ (N, H, K, D/H)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))  # (N, K, D)
        return out


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, K, D) to the same shape."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class DecoderLayer(nn.Module):
    """q <- q + Attn(LN(q), LN(v)); q <- q + MLP(LN(q))."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm_q = nn.LayerNorm(dim)
        self.norm_v = nn.LayerNorm(dim)
        self.attn = CrossAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio * dim)

    def forward(self, q: Tensor, v: Tensor) -> Tensor:
        """Refine q (N, K, D) by v (N, K, D)."""
        # Each layer normalises the exemplar anew but never refines it: only the query's tokens change.
        q = q + self.attn(self.norm_q(q), self.norm_v(v))
        out: Tensor = q + self.mlp(self.norm2(q))
        return out


class Decoder(nn.Module):
    """Layers that all read the same raw exemplar tokens; no positional encoding, no final norm."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, mlp_ratio) for _ in range(layers))

    def forward(self, q: Tensor, v: Tensor) -> Tensor:
        """Compare stages: q the query's tokens (N, K, D), v the exemplar's; returns (N, K, D)."""
        for layer in self.layers:
            q = layer(q, v)
        return q


class Regressor(nn.Module):
    """MLP from a token to points, ReLU between."""

    def __init__(self, dim: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        self.layer1 = nn.Linear(dim, hidden[0])
        self.layer2 = nn.Linear(hidden[0], hidden[1])
        self.layer3 = nn.Linear(hidden[1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (...) points."""
        out: Tensor = self.layer3(F.relu(self.layer2(F.relu(self.layer1(x))))).squeeze(-1)
        return out


class FaultReader(nn.Module):
    """MLP from all tokens of a dive to the severity of each fault, ReLU between.

    A task beside the scores, for training only; not part of the published network.
    """

    def __init__(self, num_inputs: int, num_faults: int) -> None:
        """Make the layers.

        Args:
            num_inputs: tokens of a dive x features.
            num_faults: severities to tell.
        """
        super().__init__()
        self.layer1 = nn.Linear(num_inputs, FAULT_READER_WIDTH)
        self.layer2 = nn.Linear(FAULT_READER_WIDTH, num_faults)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, 3K, D) to severities (N, F), 0 none to 1 gross."""
        out: Tensor = self.layer2(F.relu(self.layer1(tokens.flatten(1))))
        return out
