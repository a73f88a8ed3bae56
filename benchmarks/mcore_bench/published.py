"""The published evaluation procedure as the baseline, in our own code: the same passes in the same batches.

Each of a dive's exemplars is a pass of its own: both videos go through backbone and segmenter as a batch of two, both
directions are decoded, and only one difference is used. The shift is the published module's: five dimensions, a 3-D
convolution, copies into slices. It is the procedure, not the authors' code: nothing of theirs is here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mcore.network.backbone import Block, ConvNorm, RegNetY
from mcore.network.gated_shift import GatedShift
from mcore.network.model import MCoRe
from mcore.network.segmenter import decode_transitions
from mcore.network.stages import stage_tokens

# Shapes: B clips, T frames, C channels, S shifted channels.


class PublishedShift(nn.Module):
    """The gated shift with a real 3-D convolution, on frames (B*T, C, H, W)."""

    def __init__(self, source: GatedShift) -> None:
        super().__init__()
        s = self.shifted = source.shifted
        self.bn = nn.BatchNorm3d(s)
        self.bn.load_state_dict(source.bn.state_dict())
        self.gate = nn.Conv3d(s, 2, 3, padding=1, groups=2)
        with torch.no_grad():
            self.gate.weight.copy_(source.gate.weight.unflatten(0, (2, 3)).transpose(1, 2))
            assert self.gate.bias is not None
            self.gate.bias.copy_(source.gate_bias)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Shift frames of (B*T, C, H, W) and interleave the shifted channels; same shape."""
        out = torch.zeros_like(x)
        out[:, : self.shifted] = self._shift(x[:, : self.shifted], num_frames)
        out[:, self.shifted :] = x[:, self.shifted :]
        return out

    def _shift(self, x: Tensor, num_frames: int) -> Tensor:
        video = x.unflatten(0, (-1, num_frames)).transpose(1, 2).contiguous()  # (B, S, T, H, W)
        gates = torch.tanh(self.gate(torch.relu(self.bn(video))))  # (B, 2, T, H, W)
        halves = []
        for half, gate, earlier in zip(video.chunk(2, dim=1), gates.split(1, dim=1), (True, False), strict=True):
            moved = gate * half
            kept = half - moved
            empty = torch.zeros_like(moved[:, :, :1])
            frames = [moved[:, :, 1:], empty] if earlier else [empty, moved[:, :, :-1]]
            shifted = kept + torch.cat(frames, dim=2)
            halves.append(shifted.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2))  # (2, S/4) to (S/4, 2)
        return torch.cat(halves, dim=1).transpose(1, 2).contiguous().flatten(0, 1)


class PublishedBackbone(nn.Module):
    """RegNetY with the published shift; the same function and weights as ``mcore.network.backbone.RegNetY``."""

    def __init__(self, source: RegNetY) -> None:
        super().__init__()
        self.stem: ConvNorm = source.stem
        self.blocks = nn.ModuleList(
            block for name in source.stage_names for block in source.get_submodule(name).children()
        )
        shifts = [block.shift for block in self.blocks if isinstance(block, Block)]
        self.shifts = nn.ModuleList(PublishedShift(shift) for shift in shifts if isinstance(shift, GatedShift))

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (B, 3, T, H, W) to features (B, T, D)."""
        num_frames = clips.shape[2]
        x = self.stem(clips.transpose(1, 2).flatten(0, 1))  # (B*T, C, H, W)
        for block, shift in zip(self.blocks, self.shifts, strict=True):
            assert isinstance(block, Block)
            shortcut = x if block.downsample is None else block.downsample(x)
            x = block.conv3(block.se(block.conv2(block.conv1(shift(x, num_frames)))))
            x = torch.relu(x + shortcut)
        features: Tensor = x.mean((2, 3)).unflatten(0, (-1, num_frames))
        return features


class PublishedProcedure:
    """Scores a dive as the published evaluation does.

    Args:
        model: in evaluation mode, with gated shifts.
    """

    def __init__(self, model: MCoRe) -> None:
        self.model = model
        self.backbone = PublishedBackbone(model.backbone).eval()

    @torch.no_grad()
    def score(self, query: Tensor, exemplars: Sequence[Tensor], scores: Sequence[float]) -> float:
        """Score a clip (3, T, c, c) against exemplars' clips and their scores, points."""
        model, predicted = self.model, []
        for exemplar, score in zip(exemplars, scores, strict=True):
            features = self.backbone(torch.stack([query, exemplar]))  # (2, T, D)
            transitions = decode_transitions(model.segmenter(features))
            tokens = stage_tokens(features, transitions, model.config.tokens_per_stage)  # (2, 3K, D)
            both = model.token_deltas(tokens, tokens.flip(0)).mean(1)  # (2,): one direction is not used
            predicted.append(score + float(both[0]))
        return sum(predicted) / len(predicted)
