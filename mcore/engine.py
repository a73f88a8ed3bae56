"""One epoch of training and one evaluation: tensors in, figures out; no paths, no command line, no logger.

The evaluation encodes every clip once and compares stored tokens, where the published code encodes both
videos again for each exemplar; the numbers are the same (NETWORK: section 5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mcore import losses
from mcore.config import ClipConfig
from mcore.data.dataset import ClipBatch, PairBatch
from mcore.errors import UserError
from mcore.model import MCoRe, PairOutput
from mcore.training_config import TrainingConfig

LOSS_PARTS = ("regression", "transition", "contrastive", "total")

# Shapes: B pairs, N clips, T frames, c crop size, K tokens a stage, D features.


@dataclass
class LossMeter:
    """Mean loss parts of an epoch so far; plain numbers, so that a checkpoint can hold them."""

    num_steps: int = 0
    """Steps made in this epoch."""
    num_pairs: int = 0
    """Pairs seen in this epoch."""
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(LOSS_PARTS, 0.0))
    """Sum over pairs of each part."""

    def add(self, parts: Mapping[str, float], num_pairs: int) -> None:
        """Count one step."""
        self.num_steps += 1
        self.num_pairs += num_pairs
        for name, value in parts.items():
            self.sums[name] += value * num_pairs

    def means(self) -> dict[str, float]:
        """Mean of each part over the pairs seen; 0 before the first."""
        return {name: value / max(1, self.num_pairs) for name, value in self.sums.items()}


@dataclass(frozen=True)
class EncodedDives:
    """What an evaluation keeps of its clips, in the loader's order."""

    tokens: Tensor
    """(N, 3K, D) float32 on the model's device, from the predicted transitions."""
    transitions: NDArray[np.int64]
    """(N, 2) predicted, sampled frames."""
    true_transitions: NDArray[np.int64]
    """(N, 2) labelled; -1 where unknown."""


@dataclass(frozen=True)
class ScoredDives:
    """Scores of dives against their exemplars."""

    scores: NDArray[np.float64]
    """(N,) points: mean over exemplars of exemplar score + predicted difference."""
    spread: NDArray[np.float64]
    """(N,) points: standard deviation over the exemplars."""


def normalise(frames: Tensor, config: ClipConfig) -> Tensor:
    """Turn frames into network input; ``mcore.video.normalise`` for batches, on the frames' device.

    Args:
        frames: (N, T, c, c, 3) uint8 RGB.
        config: mean and standard deviation.

    Returns:
        (N, 3, T, c, c) float32 whose memory stays channels-last, which convolutions on CPUs prefer.
    """
    x = frames.to(torch.float32).div_(255)
    x = x.sub_(x.new_tensor(config.mean)).div_(x.new_tensor(config.std))
    return x.permute(0, 4, 1, 2, 3)


def make_optimizer(model: MCoRe, config: TrainingConfig) -> torch.optim.Adam:
    """Adam with one group for the backbone, one for the rest, one for the layer that gives points.

    The last layer starts and learns ``score_scale_points`` times faster (see TrainingConfig); each group
    keeps its highest learning rate as ``base_lr``.
    """
    last = model.regressor.layer3
    last_ids = {id(parameter) for parameter in last.parameters()}
    backbone_ids = {id(parameter) for parameter in model.backbone.parameters()}
    rest = [p for p in model.parameters() if id(p) not in last_ids | backbone_ids]
    groups = [
        (list(model.backbone.parameters()), config.backbone_learning_rate),
        (rest, config.learning_rate),
        (list(last.parameters()), config.learning_rate * config.score_scale_points),
    ]
    return torch.optim.Adam([{"params": p, "lr": rate, "base_lr": rate} for p, rate in groups])


def scale_last_layer(model: MCoRe, config: TrainingConfig) -> None:
    """Scale the untrained last layer to points, once (see ``TrainingConfig.score_scale_points``)."""
    with torch.no_grad():
        for parameter in model.regressor.layer3.parameters():
            parameter.mul_(config.score_scale_points)


def train_one_epoch(
    model: MCoRe,
    batches: Iterable[PairBatch],
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    meter: LossMeter,
    *,
    learning_rate_factor: Callable[[int], float] = lambda step: 1.0,
    after_step: Callable[[], bool] = lambda: False,
) -> bool:
    """Train on batches of pairs.

    Args:
        model: network, on the device to train on.
        batches: what is left of the epoch.
        optimizer: from ``make_optimizer``.
        config: loss weights, batch-norm mode, gradient clipping.
        meter: counts on from an interrupted epoch's steps.
        learning_rate_factor: share of ``base_lr`` at a step of this epoch.
        after_step: called after each step; True stops.

    Returns:
        True if it ran to the end, False if ``after_step`` stopped it.

    Raises:
        UserError: a loss is no longer a number; ``after_step`` is not called, so that nothing of it is saved.
    """
    model.train()
    if config.batch_norm != "trained":
        model.freeze_batch_norm()
    device = next(model.parameters()).device
    for batch in batches:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * learning_rate_factor(meter.num_steps)
        parts = pair_losses(model, batch, config, device)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(parts["total"])
        if config.gradient_clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip_norm)
        optimizer.step()
        values = torch.stack([parts[name].detach() for name in LOSS_PARTS]).tolist()
        if not all(map(math.isfinite, values)):
            raise UserError(_divergence(dict(zip(LOSS_PARTS, values, strict=True)), meter.num_steps))
        meter.add(dict(zip(LOSS_PARTS, values, strict=True)), batch.num_pairs)
        if after_step():
            return False
    return True


def _divergence(parts: Mapping[str, float], step: int) -> str:
    losses = ", ".join(f"{name} {value:g}" for name, value in parts.items())
    return (
        f"training diverged at step {step + 1} of the epoch: the losses are {losses}. Start again with a lower "
        "--learning-rate and --backbone-learning-rate, or with --gradient-clip-norm 1"
    )


def pair_losses(model: MCoRe, batch: PairBatch, config: TrainingConfig, device: torch.device) -> dict[str, Tensor]:
    """Run the network on a batch of pairs and weigh its losses (NETWORK: section 6).

    Returns:
        Scalars by LOSS_PARTS; ``regression`` in units of ``score_scale_points`` squared.
    """
    clips = normalise(batch.frames.to(device, non_blocking=True), model.config.clip)
    transitions = batch.transitions.to(device, non_blocking=True)
    query_scores, exemplar_scores = (batch.scores.to(device) / config.score_scale_points).chunk(2)
    output: PairOutput = model(*clips.chunk(2), *transitions.chunk(2))
    parts = {
        "regression": losses.regression_loss(
            output.delta / config.score_scale_points,
            output.reverse_delta / config.score_scale_points,
            query_scores - exemplar_scores,
        ),
        "transition": losses.transition_loss(output.logits, transitions),
        "contrastive": losses.contrastive_loss(output.query_tokens, output.exemplar_tokens),
    }
    parts["total"] = (
        config.regression_weight * parts["regression"]
        + config.transition_weight * parts["transition"]
        + config.contrastive_weight * parts["contrastive"]
    )
    return parts


@torch.no_grad()
def calibrate_batch_norm(model: MCoRe, batches: Iterable[PairBatch]) -> None:
    """Set the backbone's batch-norm statistics to those of some batches: the mean over them.

    The layers normalise by each batch while they count, so that every layer sees normalised input.
    """
    device = next(model.parameters()).device
    norms = [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's sign for a plain mean
        norm.train()
    for batch in batches:
        model.features(normalise(batch.frames.to(device), model.config.clip))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def encode_dives(
    model: MCoRe, batches: Iterable[ClipBatch], after_batch: Callable[[], object] = lambda: None
) -> EncodedDives:
    """Encode clips, one pass each, with their predicted transitions.

    Args:
        model: network; its mode does not matter.
        batches: clips, at least one.
        after_batch: called after each batch; may raise to stop.
    """
    device = next(model.parameters()).device
    tokens, predicted, true = [], [], []
    for batch in batches:
        encoding = model.encode(normalise(batch.frames.to(device), model.config.clip))
        tokens.append(encoding.tokens)
        predicted.append(encoding.transitions.cpu().numpy())
        true.append(batch.transitions.numpy())
        after_batch()
    return EncodedDives(torch.cat(tokens), np.concatenate(predicted), np.concatenate(true))


def score_dives(
    model: MCoRe,
    query_tokens: Tensor,
    exemplar_tokens: Tensor,
    exemplar_scores: NDArray[np.float64],
    exemplars: Sequence[NDArray[np.int64]],
) -> ScoredDives:
    """Score encoded dives by their exemplars: mean of exemplar score + predicted difference.

    Args:
        model: network.
        query_tokens: (N, 3K, D).
        exemplar_tokens: (M, 3K, D).
        exemplar_scores: (M,) points.
        exemplars: for each dive the positions of its exemplars, at least one.
    """
    scores, spread = [], []
    for tokens, positions in zip(query_tokens, exemplars, strict=True):
        delta = model.compare(tokens[None], exemplar_tokens[torch.from_numpy(positions)])  # (E,)
        each = exemplar_scores[positions] + delta.double().cpu().numpy()
        scores.append(each.mean())
        spread.append(each.std())
    return ScoredDives(np.array(scores), np.array(spread))
