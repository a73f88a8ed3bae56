"""One step and one epoch of training: tensors in, figures out; no paths, no command line, no logger."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.data.dataset import PairBatch
from mcore.devices.distributed import ALONE, Processes
from mcore.network.decoding import thirds
from mcore.network.model import MCoRe, PairOutput
from mcore.training import losses
from mcore.training.config import ComputeConfig, TrainingConfig

PLAIN = ComputeConfig()
"""Whole batches in float32."""
LOSS_PARTS = ("regression", "transition", "contrastive", "total")

# Shapes: B pairs, N clips, T frames, c crop size.


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


class TrainingStep:
    """One optimiser step on a batch of pairs: in parts, in half precision, with other processes, or plainly.

    The parts' and processes' losses are weighted by their pairs, so that the gradient is the whole batch's.
    """

    def __init__(
        self,
        model: MCoRe,
        optimizer: torch.optim.Optimizer,
        config: TrainingConfig,
        compute: ComputeConfig = PLAIN,
        processes: Processes = ALONE,
    ) -> None:
        """Prepare steps.

        Args:
            model: network, on the device to train on (``mcore.training.compute.prepare_network``).
            optimizer: from ``make_optimizer``.
            config: loss weights, gradient clipping.
            compute: parts of a batch, precision, memory layout.
            processes: all of them must make the same steps.
        """
        self.model, self.optimizer, self.config, self.compute = model, optimizer, config, compute
        self.processes = processes
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=compute.precision == "fp16")
        self.network: nn.Module = model
        if processes.count > 1:
            self.network = _distributed(model)

    def __call__(self, batch: PairBatch, num_pairs: int | None = None) -> tuple[dict[str, float], int]:
        """Make a step.

        Args:
            batch: this process's pairs.
            num_pairs: pairs of the step in all processes; None where this is the only one. A process that has no
                share of a short batch is given a pair that does not count.

        Returns:
            Mean of each loss part over the step's pairs, and their number; the same in every process.
        """
        processes = self.processes
        total = batch.num_pairs if num_pairs is None else num_pairs
        own = len(processes.share(range(total)))
        parts = split_pairs(batch, self.compute.micro_batches)
        sums = torch.zeros(len(LOSS_PARTS), dtype=torch.float64)
        self.optimizer.zero_grad(set_to_none=True)
        for index, part in enumerate(parts):
            counted = part.num_pairs if own else 0
            with self._gradients_stay_here(index < len(parts) - 1):
                losses_of_part = pair_losses(
                    self.model, part, self.config, self.device,
                    network=self.network, channels_last=self.compute.channels_last,
                )  # fmt: skip
                # Distributed gradients are averaged over the processes: hence times their number.
                loss = losses_of_part["total"] * (counted * processes.count / total)
                torch.autograd.backward(self.scaler.scale(loss))
            sums += torch.stack([losses_of_part[name].detach() for name in LOSS_PARTS]).double().cpu() * counted
        if self.config.gradient_clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        values = [sum(each) / total for each in zip(*processes.gather(sums.tolist()), strict=True)]
        return dict(zip(LOSS_PARTS, values, strict=True)), total

    def _gradients_stay_here(self, more_parts: bool) -> AbstractContextManager[None]:
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


def split_pairs(batch: PairBatch, num_parts: int) -> list[PairBatch]:
    """Divide a batch of pairs into parts of nearly equal size; fewer parts where there are fewer pairs."""
    if num_parts == 1:
        return [batch]
    parts = []
    for rows in np.array_split(np.arange(batch.num_pairs), min(num_parts, batch.num_pairs)):
        both = torch.from_numpy(np.concatenate([rows, rows + batch.num_pairs]))
        parts.append(PairBatch(batch.frames[both], batch.transitions[both], batch.scores[both]))
    return parts


def train_one_epoch(
    model: MCoRe,
    batches: Iterable[PairBatch],
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    meter: LossMeter,
    *,
    step: TrainingStep | None = None,
    pairs_in_step: Callable[[int], int] | None = None,
    learning_rate_factor: Callable[[int], float] = lambda step: 1.0,
    after_step: Callable[[], bool] = lambda: False,
) -> bool:
    """Train on batches of pairs.

    Args:
        model: network, on the device to train on.
        batches: what is left of the epoch; of several processes, each its share.
        optimizer: from ``make_optimizer``.
        config: loss weights, batch-norm mode, gradient clipping.
        meter: counts on from an interrupted epoch's steps.
        step: how a step is made; None makes it plainly.
        pairs_in_step: pairs of a step of this epoch in all processes together; None: those of the batch.
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
    step = step or TrainingStep(model, optimizer, config)
    for batch in batches:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * learning_rate_factor(meter.num_steps)
        means, num_pairs = step(batch, None if pairs_in_step is None else pairs_in_step(meter.num_steps))
        if not all(map(math.isfinite, means.values())):
            raise UserError(_divergence(means, meter.num_steps))
        meter.add(means, num_pairs)
        if after_step():
            return False
    return True


def _divergence(parts: Mapping[str, float], step: int) -> str:
    losses = ", ".join(f"{name} {value:g}" for name, value in parts.items())
    return (
        f"training diverged at step {step + 1} of the epoch: the losses are {losses}. Start again with a lower "
        "--learning-rate and --backbone-learning-rate, or with --gradient-clip-norm 1"
    )


def pair_losses(
    model: MCoRe,
    batch: PairBatch,
    config: TrainingConfig,
    device: torch.device,
    *,
    network: nn.Module | None = None,
    channels_last: bool = True,
) -> dict[str, Tensor]:
    """Run the network on a batch of pairs and weigh its losses (NETWORK: section 6).

    Args:
        model: network.
        batch: pairs.
        config: loss weights, scale, where the stages are.
        device: the network's.
        network: what is called instead of ``model``: the same, wrapped.
        channels_last: memory layout of the network's input.

    Returns:
        Scalars by LOSS_PARTS; ``regression`` in units of ``score_scale_points`` squared.
    """
    clips = normalise(batch.frames.to(device, non_blocking=True), model.config.clip)
    if not channels_last:
        clips = clips.contiguous()
    transitions = batch.transitions.to(device, non_blocking=True)
    stages = transitions if config.stages == "labelled" else thirds(transitions, batch.frames.shape[1])
    query_scores, exemplar_scores = (batch.scores.to(device) / config.score_scale_points).chunk(2)
    output: PairOutput = (network or model)(*clips.chunk(2), *stages.chunk(2))
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
