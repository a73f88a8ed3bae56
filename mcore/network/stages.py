"""Stage tokens: each stage's frames, however many, become K tokens (MCoRe section 2.3).

One interpolation matrix does it, so that training, the exported graph and the runtime share this one
definition and no shape depends on the boundaries.
"""

from __future__ import annotations

import torch
from torch import Tensor


def interpolation_matrix(transitions: Tensor, num_frames: int, tokens_per_stage: int) -> Tensor:
    """Build the matrix that samples every stage at K points, both end frames kept.

    Row (s, k) holds the weights of frames in token k of stage s: linear interpolation at position
    start + k * (length - 1) / (K - 1), as ``torch.nn.functional.interpolate(align_corners=True)`` has it.

    Args:
        transitions: (B, 2) int64, 0 < t1 < t2 < T; stages are [0, t1), [t1, t2), [t2, T).
        num_frames: T.
        tokens_per_stage: K; with K = 1 the first frame of the stage.

    Returns:
        (B, 3K, T) float32; every row sums to 1.
    """
    edge = torch.zeros_like(transitions[:, :1])
    start = torch.cat([edge, transitions], dim=1).to(torch.float32)  # (B, 3)
    end = torch.cat([transitions, edge + num_frames], dim=1).to(torch.float32)  # (B, 3), exclusive
    step = (end - start - 1) / max(tokens_per_stage - 1, 1)  # (B, 3)
    token = torch.arange(tokens_per_stage, dtype=torch.float32, device=transitions.device)  # (K,)
    position = (start[:, :, None] + token * step[:, :, None]).flatten(1)  # (B, 3K)
    frame = torch.arange(num_frames, dtype=torch.float32, device=transitions.device)  # (T,)
    # Linear interpolation is a hat around the position: 1 there, 0 from the neighbouring frames on. No gather, so that
    # the exported graph has the same shape for all boundaries.
    return torch.relu(1 - (frame - position[:, :, None]).abs())  # (B, 3K, T)


def stage_tokens(features: Tensor, transitions: Tensor, tokens_per_stage: int) -> Tensor:
    """Pool frame features to stage tokens; differentiable in the features.

    Args:
        features: (B, T, D), float.
        transitions: (B, 2) int64, 0 < t1 < t2 < T.
        tokens_per_stage: K.

    Returns:
        (B, 3K, D), stage by stage, the features' dtype.
    """
    matrix = interpolation_matrix(transitions, features.shape[1], tokens_per_stage)
    return matrix.to(features.dtype) @ features
