"""A second implementation of the backbone's gated shift and of the comparison, written literally from the paper.

Five-dimensional tensors, a real 3-D convolution, in-place shifts, loops over stages: slow and plain, for
parity tests only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mcore.config import BackboneConfig
from mcore.network.backbone import Block, RegNetY
from mcore.network.gated_shift import GatedShift
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


def gated_shift(shift: GatedShift, x: Tensor) -> Tensor:
    """GSM on x (B, C, T, H, W), output channels in the published, interleaved order."""
    s = shift.shifted
    weight = shift.gate.weight.unflatten(0, (2, 3)).transpose(1, 2)  # (2, S/2, 3, 3, 3)
    bn = shift.bn
    assert bn.running_mean is not None
    assert bn.running_var is not None
    normed = F.batch_norm(x[:, :s], bn.running_mean, bn.running_var, bn.weight, bn.bias)
    gates = torch.tanh(F.conv3d(F.relu(normed), weight, shift.gate_bias, padding=1, groups=2))
    out = x.clone()
    for half, step in ((0, -1), (1, +1)):
        channels = slice(half * s // 2, (half + 1) * s // 2)
        y = gates[:, half : half + 1] * x[:, channels]
        moved = torch.zeros_like(y)
        if step < 0:
            moved[:, :, :-1] = y[:, :, 1:]
        else:
            moved[:, :, 1:] = y[:, :, :-1]
        result = (x[:, channels] - y) + moved
        b, c, t, h, w = result.shape
        out[:, channels] = result.view(b, 2, c // 2, t, h, w).transpose(1, 2).reshape(b, c, t, h, w)
    return out


def backbone(model: RegNetY, config: BackboneConfig, clips: Tensor) -> Tensor:
    """Backbone features (B, T, D) of clips (B, 3, T, H, W), block by block in five dimensions."""
    b, _, t, _, _ = clips.shape

    def per_frame(function: object, x: Tensor) -> Tensor:
        assert callable(function)
        frames = x.transpose(1, 2).reshape(b * t, *x.shape[1:2], *x.shape[3:])
        y: Tensor = function(frames)
        return y.reshape(b, t, *y.shape[1:]).transpose(1, 2)

    x = per_frame(model.stem, clips)
    for stage in range(1, len(config.widths) + 1):
        for block in model.get_submodule(f"s{stage}").children():
            assert isinstance(block, Block)
            shortcut = per_frame(block.downsample, x) if block.downsample is not None else x
            y = gated_shift(block.shift, x) if isinstance(block.shift, GatedShift) else x
            y = per_frame(block.conv1, y)
            y = per_frame(block.conv2, y)
            y = per_frame(block.se, y)
            y = per_frame(block.conv3, y)
            x = F.relu(y + shortcut)
    return x.mean((3, 4)).transpose(1, 2)


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
