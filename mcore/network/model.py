"""MCoRe: backbone, segmenter, stage tokens and contrastive regression (ICASSP 2024, arXiv 2401.02841).

Training calls the module on pairs of clips; scoring calls ``encode`` once a clip and ``compare`` once a pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from mcore.common.errors import UserError
from mcore.config import DEFAULT_DECODING, STAGES, Decoding, ModelConfig
from mcore.network.backbone import RegNetY
from mcore.network.decoding import decode_with
from mcore.network.regressor import Decoder, FaultReader, Regressor
from mcore.network.segmenter import Segmenter
from mcore.network.stages import stage_tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Shapes: B clips (or pairs), T frames, D features, K tokens a stage, P = 3K tokens.


@dataclass(frozen=True)
class Encoding:
    """Encodings of a batch of clips."""

    features: Tensor
    """(B, T, D) float: one vector a frame."""
    logits: Tensor
    """(B, T, 2) float: transition logits."""
    transitions: Tensor
    """(B, 2) int64: first frame of flight and of entry."""
    tokens: Tensor
    """(B, 3K, D) float: stage tokens, stage by stage."""


@dataclass(frozen=True)
class PairOutput:
    """Output for a batch of pairs, as the losses need it."""

    logits: Tensor
    """(2B, T, 2): transition logits, queries first."""
    query_tokens: Tensor
    """(B, 3K, D)."""
    exemplar_tokens: Tensor
    """(B, 3K, D)."""
    delta: Tensor
    """(B,) points: score(query) - score(exemplar)."""
    reverse_delta: Tensor
    """(B,) points: score(exemplar) - score(query)."""
    stage_deltas: Tensor
    """(B, 3) points: each stage's share of ``delta``."""
    reverse_stage_deltas: Tensor
    """(B, 3) points: each stage's share of ``reverse_delta``."""
    faults: Tensor
    """(2B, F): severity of each of ``ModelConfig.faults``, 0 none to 1 gross."""


class MCoRe(nn.Module):
    """The whole network."""

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ModelConfig()
        dim = config.backbone.feature_dim
        self.backbone = RegNetY(config.backbone)
        self.segmenter = Segmenter(dim, config.segmenter_dropout)
        self.decoder = Decoder(dim, config.decoder_heads, config.decoder_mlp_ratio, config.decoder_layers)
        self.regressor = Regressor(dim, config.regressor_hidden)
        # Last, so that the other weights start the same with and without it.
        self.fault_reader = FaultReader(config.num_tokens * dim, len(config.faults)) if config.faults else None

    def forward(
        self, queries: Tensor, exemplars: Tensor, query_transitions: Tensor, exemplar_transitions: Tensor
    ) -> PairOutput:
        """Compare pairs of clips in both directions, with the **true** stage boundaries (training).

        Args:
            queries: (B, 3, T, H, W), float, normalised RGB.
            exemplars: (B, 3, T, H, W).
            query_transitions: (B, 2) int64, 0 < t1 < t2 < T.
            exemplar_transitions: (B, 2) int64.

        Returns:
            Logits, tokens and score differences; see ``PairOutput``.
        """
        features = self.features(torch.cat([queries, exemplars]))  # (2B, T, D)
        transitions = torch.cat([query_transitions, exemplar_transitions])
        tokens = stage_tokens(features, transitions, self.config.tokens_per_stage)  # (2B, P, D)
        q, e = tokens.chunk(2)  # (B, P, D) both
        # Both directions in one pass: the regression loss wants score(query) - score(exemplar) and its negative, which
        # the decoder does not give by itself.
        both = self.token_deltas(tokens, torch.cat([e, q]))  # (2B, P)
        (forth, back), (stages_forth, stages_back) = both.mean(1).chunk(2), stage_deltas(both).chunk(2)  # (B,), (B, 3)
        faults = tokens.new_zeros(len(tokens), 0) if self.fault_reader is None else self.fault_reader(tokens)
        return PairOutput(self.segmenter(features), q, e, forth, back, stages_forth, stages_back, faults)

    def features(self, clips: Tensor) -> Tensor:
        """Run the backbone: (B, 3, T, H, W) float -> (B, T, D)."""
        out: Tensor = self.backbone(clips)
        return out

    def token_deltas(self, query_tokens: Tensor, exemplar_tokens: Tensor) -> Tensor:
        """Compare stage tokens; the mean over a pair's tokens is the difference in score.

        Args:
            query_tokens: (B, 3K, D).
            exemplar_tokens: (B, 3K, D).

        Returns:
            (B, 3K) points; the sum over a stage's K tokens, divided by 3K, is that stage's share.
        """
        per_stage = (-1, self.config.tokens_per_stage, query_tokens.shape[2])  # stages never see each other
        decoded = self.decoder(query_tokens.reshape(per_stage), exemplar_tokens.reshape(per_stage))
        points: Tensor = self.regressor(decoded)  # (B*3, K)
        return points.reshape(-1, self.config.num_tokens)

    @torch.no_grad()
    def encode(self, clips: Tensor | NDArray[np.float32], decoding: Decoding = DEFAULT_DECODING) -> Encoding:
        """Encode clips for scoring, in evaluation mode and without gradients.

        Args:
            clips: (B, 3, T, H, W), normalised RGB, tensor or array.
            decoding: how logits become transitions.

        Returns:
            Features, logits, decoded transitions and stage tokens.

        Raises:
            UserError: the shape is not the one this network was configured for.
        """
        x = self._to_device(clips)
        c = self.config.clip
        expected = (3, c.num_frames, c.crop_size, c.crop_size)
        if x.ndim != 5 or tuple(x.shape[1:]) != expected:
            raise UserError(
                f"clips have shape {tuple(x.shape)}; this network takes (B, {', '.join(map(str, expected))}): "
                "read them with mcore.read_clip(video, model.config.clip) and add the batch axis"
            )
        with _Evaluating(self):
            features = self.features(x)
            logits = self.segmenter(features)
        transitions = decode_with(decoding, logits)
        return Encoding(
            features, logits, transitions, stage_tokens(features, transitions, self.config.tokens_per_stage)
        )

    @torch.no_grad()
    def compare(
        self, query_tokens: Tensor | NDArray[np.float32], exemplar_tokens: Tensor | NDArray[np.float32]
    ) -> Tensor:
        """Difference in score of encoded dives, in evaluation mode and without gradients.

        Args:
            query_tokens: (B, 3K, D), or (1, 3K, D) to compare one dive with B exemplars.
            exemplar_tokens: (B, 3K, D), or (1, 3K, D).

        Returns:
            (B,) points: score(query) - score(exemplar).

        Raises:
            UserError: the tokens are not of this network, or the batch sizes do not match.
        """
        q, e = self._to_device(query_tokens), self._to_device(exemplar_tokens)
        expected = (self.config.num_tokens, self.config.backbone.feature_dim)
        for x in (q, e):
            if x.ndim != 3 or tuple(x.shape[1:]) != expected:
                raise UserError(
                    f"tokens have shape {tuple(x.shape)}; this network's are (B, {expected[0]}, {expected[1]})"
                )
        if 1 not in (len(q), len(e)) and len(q) != len(e):
            raise UserError(f"{len(q)} queries against {len(e)} exemplars: give equal numbers, or one on either side")
        batch = max(len(q), len(e))
        with _Evaluating(self):
            return self.token_deltas(q.expand(batch, -1, -1), e.expand(batch, -1, -1)).mean(1)

    def freeze_batch_norm(self) -> None:
        """Keep the backbone's batch-norm statistics as they are; weights and biases still train.

        Call it after every ``train()``, which would let them move again (docs/reference/network.md, section 2).
        """
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    def _to_device(self, values: Tensor | NDArray[np.float32]) -> Tensor:
        parameter = self.regressor.layer3.weight
        if not isinstance(values, Tensor):  # a copy: torch takes neither mirrored nor read-only arrays as they are
            values = torch.tensor(np.ascontiguousarray(values))
        if not values.is_floating_point():
            raise UserError(
                f"values of type {str(values.dtype).removeprefix('torch.')}; allowed: floating point. Clips are "
                "normalised: read them with mcore.read_clip(video, model.config.clip)"
            )
        # One memory layout: another would choose other kernels, and the last digits of the result with them.
        return values.to(parameter.device, parameter.dtype).contiguous()


def stage_deltas(token_deltas: Tensor) -> Tensor:
    """Each stage's share of the difference: (B, 3K) points of tokens -> (B, 3) points that sum to delta."""
    per_stage: Tensor = token_deltas.unflatten(1, (len(STAGES), -1)).sum(2)  # (B, 3)
    return per_stage / token_deltas.shape[1]


class _Evaluating:
    """Evaluation mode for a while, then what each module had before."""

    def __init__(self, model: nn.Module) -> None:
        self._modes = [(module, module.training) for module in model.modules()]
        self._model = model

    def __enter__(self) -> None:
        self._model.eval()

    def __exit__(self, *_: object) -> None:
        for module, training in self._modes:
            module.training = training
