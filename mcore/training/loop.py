"""The training loop: one step and one epoch, tensors in, figures out; no paths, no command line, no logger."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mcore.common.errors import UserError
from mcore.devices.distributed import SINGLE_PROCESS, Processes
from mcore.evaluation.clips import normalise
from mcore.network.decoding import thirds
from mcore.network.model import MCoRe, PairOutput
from mcore.training.config import ComputeConfig, TrainingConfig
from mcore.training.losses import TOTAL, PairTargets, loss_names, weighted_losses
from mcore.training.pairs import PairBatch

PLAIN = ComputeConfig()
"""Compute settings: whole batches in float32."""

# Shapes: B pairs, T frames, c crop size.


@dataclass
class LossMeter:
    """Mean losses of an epoch so far; plain numbers, so that a checkpoint can hold them."""

    num_steps: int = 0
    """Steps made in this epoch."""
    num_pairs: int = 0
    """Pairs seen in this epoch."""
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(loss_names(), 0.0))
    """Sum over pairs of each loss, and of their weighted sum."""

    def add(self, losses: Mapping[str, float], num_pairs: int) -> None:
        """Count one step."""
        self.num_steps += 1
        self.num_pairs += num_pairs
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * num_pairs

    def means(self) -> dict[str, float]:
        """Mean of each over the pairs seen; 0 before the first."""
        return {name: value / max(1, self.num_pairs) for name, value in self.sums.items()}


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


def learning_rate_factor(config: TrainingConfig, step: int, total_steps: int) -> float:
    """Learning rate at a step, as a share of its highest value.

    A warm-up, then constant as published, or a half cosine to zero.

    Args:
        config: ``schedule`` and ``warmup_steps``.
        step: optimiser steps made so far, 0..total_steps - 1.
        total_steps: steps of the whole training.
    """
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return 1.0
    progress = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def scale_last_layer(model: MCoRe, config: TrainingConfig) -> None:
    """Scale the untrained last layer to points, once (see ``TrainingConfig.score_scale_points``)."""
    with torch.no_grad():
        for parameter in model.regressor.layer3.parameters():
            parameter.mul_(config.score_scale_points)


class TrainingStep:
    """One optimiser step on a batch of pairs: in parts, in half precision, with other processes, or plainly.

    The losses of parts and of processes are weighted by their pairs, so that the gradient is the whole batch's.
    """

    def __init__(
        self,
        model: MCoRe,
        optimizer: torch.optim.Optimizer,
        config: TrainingConfig,
        compute: ComputeConfig = PLAIN,
        processes: Processes = SINGLE_PROCESS,
    ) -> None:
        """Prepare steps.

        Args:
            model: network, on the device to train on (``mcore.training.compute.prepare_network``).
            optimizer: from ``make_optimizer``.
            config: loss weights, gradient clipping.
            compute: gradient accumulation, precision, memory layout.
            processes: all of them must make the same steps.
        """
        self.model, self.optimizer, self.config, self.compute = model, optimizer, config, compute
        self.processes = processes
        device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(device.type, enabled=compute.precision == "fp16")
        self.network: nn.Module = model
        if processes.world_size > 1:
            self.network = _distributed(model)

    def __call__(self, batch: PairBatch, num_pairs: int | None = None) -> tuple[dict[str, float], int]:
        """Make a step.

        Args:
            batch: this process's pairs.
            num_pairs: pairs of the step in all processes; None where this is the only one. A process that has no
                share of a short batch is given a pair that does not count.

        Returns:
            Mean of each loss over the step's pairs, and their number; the same in every process.
        """
        processes = self.processes
        total = batch.num_pairs if num_pairs is None else num_pairs
        own = len(processes.share(range(total)))
        parts = batch.split(self.compute.gradient_accumulation)
        sums = torch.zeros(len(loss_names()), dtype=torch.float64)
        self.optimizer.zero_grad(set_to_none=True)
        for index, part in enumerate(parts):
            counted = part.num_pairs if own else 0
            with self._without_gradient_sync(index < len(parts) - 1):
                losses = pair_losses(
                    self.model, part, self.config, network=self.network, channels_last=self.compute.channels_last
                )
                # Distributed gradients are averaged over the processes: hence times their number.
                loss = losses[TOTAL] * (counted * processes.world_size / total)
                torch.autograd.backward(self.scaler.scale(loss))
            sums += torch.stack([losses[name].detach() for name in loss_names()]).double().cpu() * counted
        if self.config.gradient_clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        values = [sum(each) / total for each in zip(*processes.gather(sums.tolist()), strict=True)]
        return dict(zip(loss_names(), values, strict=True)), total

    def _without_gradient_sync(self, more_parts: bool) -> AbstractContextManager[None]:
        """Leave sending gradients to a step's last part."""
        if more_parts and isinstance(self.network, DistributedDataParallel):
            return self.network.no_sync()
        return nullcontext()


def _distributed(model: MCoRe) -> DistributedDataParallel:
    # The strides of a 1x1 convolution's weight are ambiguous in channels-last, which the warning is about.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    with warnings.catch_warnings():  # torch 2.13 gave the argument another name, which older ones lack
        warnings.simplefilter("ignore", FutureWarning)
        # Frozen statistics are the same everywhere: no buffers to send.
        return DistributedDataParallel(model, broadcast_buffers=False)


def train_one_epoch(
    step: TrainingStep,
    batches: Iterable[PairBatch],
    meter: LossMeter,
    *,
    pairs_in_step: Callable[[int], int] | None = None,
    learning_rate_factor: Callable[[int], float] = lambda step: 1.0,
    after_step: Callable[[], bool] = lambda: False,
) -> bool:
    """Train on batches of pairs.

    Args:
        step: makes a step.
        batches: what is left of the epoch; of several processes, each its share.
        meter: counts on from an interrupted epoch's steps.
        pairs_in_step: pairs of a step of this epoch in all processes together; None: those of the batch.
        learning_rate_factor: share of ``base_lr`` at a step of this epoch.
        after_step: called after each step; True stops.

    Returns:
        True if it ran to the end, False if ``after_step`` stopped it.

    Raises:
        UserError: a loss is no longer a number; ``after_step`` is not called, so that nothing of it is saved.
    """
    step.model.train()
    if step.config.batch_norm != "trained":
        step.model.freeze_batch_norm()
    for batch in batches:
        for group in step.optimizer.param_groups:
            group["lr"] = group["base_lr"] * learning_rate_factor(meter.num_steps)
        means, num_pairs = step(batch, None if pairs_in_step is None else pairs_in_step(meter.num_steps))
        if not all(map(math.isfinite, means.values())):
            raise UserError(_divergence(means, meter.num_steps))
        meter.add(means, num_pairs)
        if after_step():
            return False
    return True


def _divergence(means: Mapping[str, float], step: int) -> str:
    losses = ", ".join(f"{name} {value:g}" for name, value in means.items())
    return (
        f"training diverged at step {step + 1} of the epoch: the losses are {losses}. Start again with a lower "
        "--learning-rate and --backbone-learning-rate, or with --gradient-clip-norm 1"
    )


def pair_losses(
    model: MCoRe,
    batch: PairBatch,
    config: TrainingConfig,
    *,
    network: nn.Module | None = None,
    channels_last: bool = True,
) -> dict[str, Tensor]:
    """Run the network on a batch of pairs and weigh its losses (docs/reference/network.md, section 6).

    Args:
        model: network.
        batch: pairs, on any device.
        config: loss weights, scale, where the stages are.
        network: called instead of ``model``: the same, wrapped.
        channels_last: memory layout of the network's input.

    Returns:
        Scalars by ``loss_names()``; ``regression`` and ``stage_targets`` in units of ``score_scale_points`` squared.
    """
    device = next(model.parameters()).device
    clips = normalise(batch.frames.to(device, non_blocking=True), model.config.clip)  # (2B, 3, T, c, c)
    if not channels_last:
        clips = clips.contiguous()
    transitions = batch.transitions.to(device, non_blocking=True)  # (2B, 2)
    stages = transitions if config.stages == "labelled" else thirds(transitions, batch.frames.shape[1])
    query_scores, exemplar_scores = (batch.scores.to(device) / config.score_scale_points).chunk(2)  # (B,) both
    query_stages, exemplar_stages = (batch.stage_points.to(device) / config.score_scale_points).chunk(2)  # (B, 3) both
    output: PairOutput = (network or model)(*clips.chunk(2), *stages.chunk(2))
    targets = PairTargets(
        transitions,
        query_scores - exemplar_scores,
        config.score_scale_points,
        query_stages - exemplar_stages,
        batch.faults.to(device),
    )
    return weighted_losses(output, targets, config.loss_weights)


@torch.no_grad()
def estimate_batch_norm(model: MCoRe, batches: Iterable[PairBatch]) -> None:
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
