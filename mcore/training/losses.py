"""The losses of a training (docs/reference/network.md, section 6) and the table that names them.

A new loss is a function and its row in ``LOSSES``: flags, log, plots and checkpoints follow from the table.

Legend: B pairs, C clips (2B: queries, then exemplars), T frames, S stages, K tokens a stage, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcore.config import STAGES

if TYPE_CHECKING:  # configuration and --help read the table without torch
    from torch import Tensor

    from mcore.network.model import PairOutput

TRANSITION_WEIGHTS = (1.0, 2.0)
"""Target weights of the two transitions; the published code's label values, kept."""
CONTRASTIVE_TEMPERATURE = 0.5
"""The temperature tau of L_cont."""


@dataclass(frozen=True)
class PairTargets:
    """Labels of a batch of pairs."""

    transitions: Tensor
    """(C, 2) int64, true frames in 0..T-1."""
    score_differences: Tensor
    """(B,) true score(query) - score(exemplar), in units of ``score_scale_points``."""
    score_scale_points: float
    """Points that count as 1 in the regression."""
    stage_differences: Tensor
    """(B, 3) true stage points of query - exemplar, in the same units; NaN where they are not known."""
    faults: Tensor
    """(2B, F) true severity of each fault, 0 none to 1 gross; NaN where it is not known."""


@dataclass(frozen=True)
class Loss:
    """A part of the total loss."""

    function: Callable[[PairOutput, PairTargets], Tensor]
    """Function of the network's output and the labels, which gives a scalar."""
    weight: float
    """Its share of the total, where the recipe names no other."""
    column: str | None = None
    """Column of the list of dives that feeds it, which a list may lack; None: every list feeds it."""


def regression_loss(output: PairOutput, targets: PairTargets) -> Tensor:
    """L_aqa: squared error of the predicted difference, in both directions."""
    from torch.nn import functional as F

    forth = F.mse_loss(output.delta / targets.score_scale_points, targets.score_differences)  # (B,) both
    back = F.mse_loss(output.reverse_delta / targets.score_scale_points, -targets.score_differences)
    return forth + back


def transition_loss(output: PairOutput, targets: PairTargets) -> Tensor:
    """L_tas: cross entropy over the frames, one distribution for each transition.

    It is the mean over clips and channels of -weight * log p(true frame).
    """
    import torch
    from torch.nn import functional as F

    logits = output.logits  # (C, T, 2)
    weights = logits.new_tensor(TRANSITION_WEIGHTS).expand(logits.shape[0], 1, 2)
    # Not one-hot: the published labels hold 1 and 2, so that the entry counts twice.
    wanted = torch.zeros_like(logits).scatter(1, targets.transitions[:, None, :], weights)  # (C, T, 2)
    return F.cross_entropy(logits, wanted)  # dimension 1, the frames, are the classes


def contrastive_loss(output: PairOutput, targets: PairTargets) -> Tensor:
    """L_cont: a token of the query and the same token of the exemplar attract, all others of the stage repel.

    It is the mean over pairs, stages and tokens of both directions' mean.
    """
    from torch.nn import functional as F

    z1 = F.normalize(_by_stage(output.query_tokens), dim=-1)  # (B, S, K, D)
    z2 = F.normalize(_by_stage(output.exemplar_tokens), dim=-1)
    return (_token_losses(z1, z2) + _token_losses(z2, z1)).mean() / 2


def stage_target_loss(output: PairOutput, targets: PairTargets) -> Tensor:
    """L_stages: squared error of each stage's difference, in both directions; not part of the published method.

    It is the sum over stages of the mean over pairs. A pair whose stage points are not known adds 0, but is counted:
    so the parts of a batch still add up to it.
    """
    wanted = targets.stage_differences  # (B, S)
    unknown = wanted.isnan()
    forth = output.stage_deltas / targets.score_scale_points - wanted
    back = output.reverse_stage_deltas / targets.score_scale_points + wanted
    # Filled before they are squared: the gradient of a square is 2 x, and 0 times NaN is NaN.
    squares = forth.masked_fill(unknown, 0.0).square() + back.masked_fill(unknown, 0.0).square()
    return squares.sum(1).mean()


def fault_target_loss(output: PairOutput, targets: PairTargets) -> Tensor:
    """L_faults: squared error of each fault's severity; not part of the published method.

    It is the sum over faults of the mean over clips. A severity that is not known adds 0, but is counted.
    """
    errors = output.faults - targets.faults  # (2B, F)
    return errors.masked_fill(targets.faults.isnan(), 0.0).square().sum(1).mean()


LOSSES: dict[str, Loss] = {
    "regression": Loss(regression_loss, weight=1.0),
    "transition": Loss(transition_loss, weight=1.0),
    "contrastive": Loss(contrastive_loss, weight=10.0),
    "stage_targets": Loss(stage_target_loss, weight=0.0, column="stage_points"),
    "fault_targets": Loss(fault_target_loss, weight=0.0, column="faults"),
}
"""Every loss by its name, with the published weights."""
TOTAL = "total"
"""Name of the weighted sum beside the losses."""


def loss_names() -> tuple[str, ...]:
    """Names of all figures of a training step: each loss, and their weighted sum."""
    return (*LOSSES, TOTAL)


def default_weights(**changed: float) -> dict[str, float]:
    """Weight of each loss: the table's, but for those named."""
    return {name: changed.get(name, loss.weight) for name, loss in LOSSES.items()}


def weighted_losses(output: PairOutput, targets: PairTargets, weights: dict[str, float]) -> dict[str, Tensor]:
    """Compute every loss and their weighted sum.

    Args:
        output: of the network.
        targets: labels of the same pairs.
        weights: by name; a loss that a resumed run does not know weighs nothing.

    Returns:
        Scalars by ``loss_names()``.
    """
    parts = {name: loss.function(output, targets) for name, loss in LOSSES.items()}
    first, *others = [weights.get(name, 0.0) * part for name, part in parts.items()]
    return {**parts, TOTAL: sum(others, start=first)}


def _by_stage(tokens: Tensor) -> Tensor:
    """Tokens (B, S*K, D) as (B, S, K, D)."""
    return tokens.reshape(tokens.shape[0], len(STAGES), -1, tokens.shape[2])


def _token_losses(z1: Tensor, z2: Tensor) -> Tensor:
    """l(z1, z2)_i for unit tokens (..., K, D) -> (..., K)."""
    import torch

    same = z1 @ z1.transpose(-1, -2) / CONTRASTIVE_TEMPERATURE  # (..., K, K)
    cross = z1 @ z2.transpose(-1, -2) / CONTRASTIVE_TEMPERATURE
    itself = torch.eye(z1.shape[-2], dtype=torch.bool, device=z1.device)
    others = torch.cat([same.masked_fill(itself, -torch.inf), cross], dim=-1)  # (..., K, 2K)
    return others.logsumexp(dim=-1) - cross.diagonal(dim1=-2, dim2=-1)
