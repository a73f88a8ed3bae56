"""A trained-like network, and a second implementation of the comparison, written literally from the paper.

Loops over stages, layers and heads: slow and plain, for parity tests only. That of the backbone is
``mcore_bench.published``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mcore.network.model import MCoRe
from mcore.network.regressor import DecoderLayer


def random_model(model: MCoRe, seed: int = 0) -> MCoRe:
    """Randomise everything a fresh network has at zero or one: gates, batch-norms, biases.

    A fresh network shifts nothing and its blocks add nothing, so parity on it would prove nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith(("source_channel", "num_batches_tracked")):
                continue
            elif value.ndim == 1 and name.endswith("weight"):
                value.uniform_(0.8, 1.2, generator=generator)
            elif value.ndim == 1:
                value.normal_(0.0, 0.1, generator=generator)
            else:
                value.normal_(0.0, (2.0 / value[0].numel()) ** 0.5, generator=generator)
    return model.eval()


def compare(model: MCoRe, query: Tensor, exemplar: Tensor) -> Tensor:
    """Score difference (B,) of tokens (B, 3K, D), one stage, layer and head at a time."""
    k = model.config.tokens_per_stage
    points = []
    for stage in range(3):
        q, v = query[:, stage * k : (stage + 1) * k], exemplar[:, stage * k : (stage + 1) * k]
        for layer in model.decoder.layers:
            assert isinstance(layer, DecoderLayer)
            a = layer.attn
            normed_q, normed_v = layer.norm_q(q), layer.norm_v(v)
            size = q.shape[2] // a.heads
            heads = []
            for head in range(a.heads):
                rows = slice(head * size, (head + 1) * size)
                queries = normed_q @ a.q_map.weight[rows].T
                keys = normed_v @ a.k_map.weight[rows].T
                values = normed_v @ a.v_map.weight[rows].T
                attention = torch.softmax(queries @ keys.transpose(1, 2) * size**-0.5, dim=-1)
                heads.append(attention @ values)
            q = q + torch.cat(heads, dim=-1) @ a.proj.weight.T + a.proj.bias
            h = layer.norm2(q) @ layer.mlp.fc1.weight.T + layer.mlp.fc1.bias
            h = 0.5 * h * (1 + torch.erf(h / 2**0.5))
            q = q + h @ layer.mlp.fc2.weight.T + layer.mlp.fc2.bias
        points.append(model.regressor(q))
    return torch.cat(points, dim=1).mean(1)
