"""The three losses of MCoRe (NETWORK: section 6), each a function of tensors, and their weighted sum.

Legend: B pairs, C clips (2B: queries, then exemplars), T frames, S stages, K tokens a stage, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mcore.config import STAGES

TRANSITION_WEIGHTS = (1.0, 2.0)
"""Target weights of the two transitions; the published code's label values, kept."""
CONTRASTIVE_TEMPERATURE = 0.5
"""tau."""


def regression_loss(query_minus_exemplar: Tensor, exemplar_minus_query: Tensor, score_differences: Tensor) -> Tensor:
    """L_aqa: squared error of the predicted difference, in both directions.

    Args:
        query_minus_exemplar: (B,) predicted score(query) - score(exemplar).
        exemplar_minus_query: (B,) predicted the other way round.
        score_differences: (B,) true score(query) - score(exemplar), same unit.

    Returns:
        Scalar.
    """
    forth = F.mse_loss(query_minus_exemplar, score_differences)
    back = F.mse_loss(exemplar_minus_query, -score_differences)
    return forth + back


def transition_loss(logits: Tensor, transitions: Tensor) -> Tensor:
    """L_tas: cross entropy over the frames, one distribution for each transition.

    Args:
        logits: (C, T, 2), one channel for each transition.
        transitions: (C, 2) int64, true frames in 0..T-1.

    Returns:
        Scalar: the mean over clips and channels of -weight * log p(true frame).
    """
    weights = logits.new_tensor(TRANSITION_WEIGHTS).expand(logits.shape[0], 1, 2)
    targets = torch.zeros_like(logits).scatter(1, transitions[:, None, :], weights)  # (C, T, 2)
    return F.cross_entropy(logits, targets)  # dimension 1, the frames, are the classes


def contrastive_loss(query_tokens: Tensor, exemplar_tokens: Tensor) -> Tensor:
    """L_cont: a token of the query and the same token of the exemplar attract, all others of the stage repel.

    Args:
        query_tokens: (B, S*K, D), stage-major.
        exemplar_tokens: (B, S*K, D).

    Returns:
        Scalar: the mean over pairs, stages and tokens of both directions' mean.
    """
    z1 = F.normalize(_by_stage(query_tokens), dim=-1)  # (B, S, K, D)
    z2 = F.normalize(_by_stage(exemplar_tokens), dim=-1)
    return (_token_losses(z1, z2) + _token_losses(z2, z1)).mean() / 2


def _by_stage(tokens: Tensor) -> Tensor:
    """Tokens (B, S*K, D) as (B, S, K, D)."""
    return tokens.reshape(tokens.shape[0], len(STAGES), -1, tokens.shape[2])


def _token_losses(z1: Tensor, z2: Tensor) -> Tensor:
    """l(z1, z2)_i for unit tokens (..., K, D) -> (..., K)."""
    same = z1 @ z1.transpose(-1, -2) / CONTRASTIVE_TEMPERATURE  # (..., K, K)
    cross = z1 @ z2.transpose(-1, -2) / CONTRASTIVE_TEMPERATURE
    itself = torch.eye(z1.shape[-2], dtype=torch.bool, device=z1.device)
    others = torch.cat([same.masked_fill(itself, -torch.inf), cross], dim=-1)  # (..., K, 2K)
    return others.logsumexp(dim=-1) - cross.diagonal(dim1=-2, dim2=-1)
