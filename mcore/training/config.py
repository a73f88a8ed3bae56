"""How MCoRe is trained: one frozen dataclass, and the named presets of network and training together.

``paper`` is the published recipe (NETWORK: section 6) and departs from it nowhere; every option that departs
says why it exists. Nothing here needs torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from mcore.common.errors import UserError
from mcore.config import BackboneConfig, ClipConfig, ModelConfig

BatchNormMode = Literal["frozen", "calibrated", "trained"]
Schedule = Literal["constant", "cosine"]
StageSource = Literal["labelled", "thirds"]
Precision = Literal["fp32", "bf16", "fp16"]
PresetName = Literal["paper", "tiny"]


@dataclass(frozen=True)
class TrainingConfig:
    """Optimisation, losses and pairs; the default is the published recipe."""

    epochs: int = 200
    """Passes over the training dives, each once as a query."""
    batch_size: int = 8
    """Pairs a step; the backbone sees twice as many clips."""
    learning_rate: float = 1e-3
    """Adam's learning rate for everything after the backbone."""
    backbone_learning_rate: float = 1e-4
    """Adam's learning rate for the backbone; from random weights it must be higher than published."""
    schedule: Schedule = "constant"
    """Learning rate over time: constant as published, or a half cosine to zero for short trainings."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly to its value; none as published."""
    gradient_clip_norm: float | None = None
    """Largest norm of the gradient; none as published."""
    batch_norm: BatchNormMode = "frozen"
    """Backbone's batch-norm statistics: frozen as loaded (published, right for pretrained weights);
    calibrated once on training clips, then frozen; or trained. Random weights need one of the last two, because frozen
    statistics of 0 and 1 normalise nothing."""
    score_scale_points: float = 1.0
    """Points that count as 1 in the regression loss. The last layer starts, and learns, this much faster,
    which equals training on scores divided by it; the network still gives points. 1 as published."""
    regression_weight: float = 1.0
    """Weight of L_aqa."""
    transition_weight: float = 1.0
    """Weight of L_tas."""
    contrastive_weight: float = 10.0
    """Weight of L_cont."""
    stages: StageSource = "labelled"
    """Stages whose tokens are compared: the labelled ones as published, or equal thirds of the clip, which is
    the network without its segmentation."""
    flip_probability: float = 0.5
    """Share of training clips mirrored as a whole."""
    num_exemplars: int = 10
    """Exemplars a validation dive is compared with."""
    validate_every: int = 1
    """Epochs between validations; the last epoch is always validated."""
    seed: int = 0
    """Decides initial weights, data order, exemplars, crops, flips and dropout."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "num_exemplars", "validate_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("learning_rate", "backbone_learning_rate", "score_scale_points"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("warmup_steps", "regression_weight", "transition_weight", "contrastive_weight", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.gradient_clip_norm is not None and not self.gradient_clip_norm > 0:
            raise UserError(f"gradient_clip_norm is {self.gradient_clip_norm}; it must be above 0, or None")
        if not 0 <= self.flip_probability <= 1:
            raise UserError(f"flip_probability is {self.flip_probability}; allowed: 0 to 1")
        if self.schedule not in ("constant", "cosine"):
            raise UserError(f"schedule is {self.schedule!r}; allowed: constant, cosine")
        if self.batch_norm not in ("frozen", "calibrated", "trained"):
            raise UserError(f"batch_norm is {self.batch_norm!r}; allowed: frozen, calibrated, trained")
        if self.stages not in ("labelled", "thirds"):
            raise UserError(f"stages is {self.stages!r}; allowed: labelled, thirds")

    def learning_rate_factor(self, step: int, total_steps: int) -> float:
        """Learning rate at a step, as a share of its highest value.

        Args:
            step: optimiser steps made so far, 0..total_steps - 1.
            total_steps: steps of the whole training.
        """
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        if self.schedule == "constant":
            return 1.0
        progress = (step - self.warmup_steps) / max(1, total_steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True)
class ComputeConfig:
    """How the same recipe is computed: faster, or in less memory. No field changes what is learned from what."""

    micro_batches: int = 1
    """Parts into which a step's pairs are divided; their gradients add up to the step's (gradient accumulation)."""
    precision: Precision = "fp32"
    """Arithmetic of the backbone in training: fp32; bf16 or fp16 where torch's autocast allows it. fp16 needs CUDA
    and scales its loss. Weights, heads, losses and validation stay float32."""
    channels_last: bool = True
    """Keep a pixel's channels together in memory, which convolutions prefer on most devices."""
    compile: bool = False
    """Compile the backbone by torch.compile; pays after minutes, needs a C++ compiler on a CPU and Triton on CUDA."""
    recompute: bool = False
    """Keep only the input of each backbone block and compute the rest again for the gradient (activation
    checkpointing): less memory, a third more work."""

    def __post_init__(self) -> None:
        if self.micro_batches < 1:
            raise UserError(f"micro_batches is {self.micro_batches}; it must be at least 1")
        if self.precision not in ("fp32", "bf16", "fp16"):
            raise UserError(f"precision is {self.precision!r}; allowed: fp32, bf16, fp16")

    def check(self, training: TrainingConfig, num_processes: int, device_type: str) -> None:
        """Refuse what cannot be computed, or would be another training.

        Raises:
            UserError: statistics of parts of a batch, or an arithmetic that the device lacks.
        """
        if self.precision == "fp16" and device_type != "cuda":
            raise UserError(f"--precision fp16 needs CUDA, the device is {device_type}; allowed there: fp32, bf16")
        if self.micro_batches * num_processes > training.batch_size:
            raise UserError(
                f"a step of {training.batch_size} pairs cannot be divided among {num_processes} process(es) with "
                f"{self.micro_batches} part(s) each: raise --batch-size, or lower --micro-batches"
            )
        divided = {
            "--micro-batches above 1": self.micro_batches > 1,
            "--recompute": self.recompute,
            "several processes": num_processes > 1,
        }
        if training.batch_norm == "trained" and (names := [name for name, used in divided.items() if used]):
            raise UserError(
                f"--batch-norm trained takes its statistics from whole batches, once a step; {' and '.join(names)} "
                "would change them. Allowed: --batch-norm frozen or calibrated"
            )


@dataclass(frozen=True)
class Preset:
    """A network and the training that suits it."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """Network."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Training."""


PRESETS: dict[PresetName, Preset] = {
    "paper": Preset(),
    "tiny": Preset(
        model=ModelConfig(
            clip=ClipConfig(num_frames=32, resize_height=80, resize_width=64, crop_size=64),
            backbone=BackboneConfig(stem_width=16, widths=(16, 32, 64, 96), depths=(1, 1, 2, 2)),
            decoder_layers=1,
        ),
        training=TrainingConfig(
            epochs=16,
            batch_size=4,
            learning_rate=2e-3,
            backbone_learning_rate=2e-3,
            schedule="cosine",
            warmup_steps=20,
            gradient_clip_norm=1.0,
            batch_norm="calibrated",
            score_scale_points=10.0,
            contrastive_weight=0.1,
            validate_every=4,
        ),
    ),
}
"""``paper``: the published network and recipe. ``tiny``: small enough to learn from nothing in minutes on two
CPU cores (``make demo``); docs/tiny_seeds.md holds what it reaches."""
