"""Configuration of a training: recipe, way to compute it, presets, and the options of a run. Torch-free.

``paper`` is the published recipe (docs/reference/network.md, section 6) and departs from it nowhere; every option that
departs says why it exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from mcore.common.errors import UserError
from mcore.config import BACKBONES, EXEMPLARS_PER_NUMBER, NETWORKS, ModelConfig, PresetName, from_dict
from mcore.training.losses import LOSSES, default_weights

BatchNormMode = Literal["frozen", "estimated", "trained"]
Schedule = Literal["constant", "cosine"]
StageSource = Literal["labelled", "thirds"]
Precision = Literal["fp32", "bf16", "fp16"]


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
    estimated once on training clips, then frozen; or trained. Random weights need one of the last two, because frozen
    statistics of 0 and 1 normalise nothing."""
    score_scale_points: float = 1.0
    """Points that count as 1 in the regression loss. The last layer starts, and learns, this much faster,
    which equals training on scores divided by it; the network still gives points. 1 as published."""
    loss_weights: dict[str, float] = field(default_factory=default_weights)
    """Weight of each loss in their sum."""
    stages: StageSource = "labelled"
    """Stages whose tokens are compared: the labelled ones as published, or equal thirds of the clip, which is
    the network without its segmentation."""
    flip_probability: float = 0.5
    """Share of training clips mirrored as a whole."""
    mix_share: float = 0.5
    """Share of the pairs that come from the list --mix, where one is given."""
    num_exemplars: int = EXEMPLARS_PER_NUMBER
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
        for name, value in {**self.loss_weights, "warmup_steps": self.warmup_steps, "seed": self.seed}.items():
            if value < 0:
                raise UserError(f"{name} is {value}; it must not be negative")
        if unknown := sorted(set(self.loss_weights) - set(LOSSES)):
            raise UserError(f"no loss is named {', '.join(unknown)}; known: {', '.join(LOSSES)}")
        if self.gradient_clip_norm is not None and not self.gradient_clip_norm > 0:
            raise UserError(f"gradient_clip_norm is {self.gradient_clip_norm}; it must be above 0, or None")
        if not 0 <= self.flip_probability <= 1:
            raise UserError(f"flip_probability is {self.flip_probability}; allowed: 0 to 1")
        if not 0 < self.mix_share < 1:
            raise UserError(f"mix_share is {self.mix_share}; it must be above 0 and below 1")
        for name, allowed in (("schedule", Schedule), ("batch_norm", BatchNormMode), ("stages", StageSource)):
            if getattr(self, name) not in get_args(allowed):
                raise UserError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(get_args(allowed))}")


@dataclass(frozen=True)
class ComputeConfig:
    """Ways to compute the same recipe faster, or in less memory. No field changes what is learned from what."""

    gradient_accumulation: int = 1
    """Parts into which a step's pairs are divided, to save memory; their gradients add up to the step's."""
    precision: Precision = "fp32"
    """Compute dtype of the backbone in training: fp32; bf16 or fp16 where torch's autocast allows it. fp16 needs CUDA
    and scales its loss. Weights, all after the backbone, losses and validation stay float32."""
    channels_last: bool = True
    """Memory layout in which a pixel's channels lie together, which convolutions prefer on most devices; with
    --no-channels-last each channel is a picture of its own."""
    compile: bool = False
    """Compile the backbone by torch.compile; pays after minutes, needs a C++ compiler on a CPU and Triton on CUDA."""
    activation_checkpointing: bool = False
    """Keep only the input of each backbone block and compute the rest again for the gradient: less memory, a third
    more work."""

    def __post_init__(self) -> None:
        if self.gradient_accumulation < 1:
            raise UserError(f"gradient_accumulation is {self.gradient_accumulation}; it must be at least 1")
        if self.precision not in get_args(Precision):
            raise UserError(f"precision is {self.precision!r}; allowed: {', '.join(get_args(Precision))}")

    def check(self, training: TrainingConfig, world_size: int, device_type: str) -> None:
        """Refuse what cannot be computed, or would be another training.

        Raises:
            UserError: statistics of parts of a batch, or a compute dtype that the device lacks.
        """
        if self.precision == "fp16" and device_type != "cuda":
            raise UserError(f"--precision fp16 needs CUDA, the device is {device_type}; allowed there: fp32, bf16")
        if self.gradient_accumulation * world_size > training.batch_size:
            raise UserError(
                f"a step of {training.batch_size} pairs cannot be divided among {world_size} process(es) with "
                f"{self.gradient_accumulation} part(s) each: raise --batch-size, or lower --gradient-accumulation"
            )
        divided = {
            "--gradient-accumulation above 1": self.gradient_accumulation > 1,
            "--activation-checkpointing": self.activation_checkpointing,
            "several processes": world_size > 1,
        }
        if training.batch_norm == "trained" and (names := [name for name, used in divided.items() if used]):
            raise UserError(
                f"--batch-norm trained takes its statistics from whole batches, once a step; {' and '.join(names)} "
                "would change them. Allowed: --batch-norm frozen or estimated"
            )


@dataclass(frozen=True)
class Preset:
    """A network and the training that suits it."""

    model: ModelConfig
    """Configuration of the network."""
    training: TrainingConfig
    """Configuration of the training."""


PRESETS: dict[PresetName, Preset] = {
    "paper": Preset(NETWORKS["paper"], TrainingConfig()),
    "tiny": Preset(
        NETWORKS["tiny"],
        TrainingConfig(
            epochs=16,
            batch_size=4,
            learning_rate=2e-3,
            backbone_learning_rate=2e-3,
            schedule="cosine",
            warmup_steps=20,
            gradient_clip_norm=1.0,
            batch_norm="estimated",
            score_scale_points=10.0,
            loss_weights=default_weights(contrastive=0.1, stage_targets=1.0, fault_targets=3.0),
            validate_every=4,
        ),
    ),
}
"""``paper``: the published network and recipe. ``tiny``: small enough to learn from nothing in minutes on two
CPU cores (``make demo``)."""


@dataclass(frozen=True)
class TrainingOptions:
    """Options of a run: its data, its folder and its weights, beside recipe and network."""

    data: Path
    """List of dives (.jsonl or .csv) with splits train and val."""
    out: Path
    """Folder of the run: config.json, last.pt, best.pt, metrics.csv, losses.png, tensorboard/."""
    mix: Path | None = None
    """List whose training dives are learned from too, --mix-share of all pairs: such as drawn ones beside few of one's
    own. No pair has a dive of each list, because their judges may differ."""
    preset: PresetName = "paper"
    """Network and recipe that the other flags override; a resumed run keeps its own."""
    backbone: Annotated[str | None, tyro.conf.arg(metavar=f"{{{','.join(BACKBONES)}}}")] = None
    """Named backbone instead of the preset's; --model.backbone.* flags change single numbers of it."""
    resume: bool = False
    """Go on from last.pt in --out."""
    overwrite: Annotated[bool, tyro.conf.arg(aliases=["--force"])] = False
    """Delete the run that is in --out."""
    pretrained: str | None = None
    """Weights of the backbone: a .safetensors or .pth file, "auto" to fetch ImageNet's, or "poses" for those that the
    package ships for the preset tiny, learned from poses of drawn divers (python -m mcore.pretrain)."""
    start_from: Path | None = None
    """Checkpoint whose weights the network begins with, where they fit: to go on learning from other dives, or
    from larger clips. Network and recipe stay those of preset and flags."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    workers: int = 0
    """Processes that read clips; they change the speed, nothing else."""
    cache: Path | None = None
    """Folder of decoded clips; default: .clips beside the list of dives."""
    no_cache: bool = False
    """Decode the videos in every epoch."""
    save_every_steps: int = 200
    """Steps between saves of last.pt within an epoch; 0: only at its end."""
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")] = field(default_factory=TrainingConfig)
    """Recipe of the training."""
    compute: Annotated[ComputeConfig, tyro.conf.arg(name="")] = field(default_factory=ComputeConfig)
    """Way of computing the recipe; a resumed run keeps what no flag changes."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Configuration of the network."""

    def __post_init__(self) -> None:
        if self.backbone is not None and self.backbone not in BACKBONES:
            raise UserError(f"--backbone {self.backbone}; allowed: {', '.join(BACKBONES)}")
        if self.start_from is None:
            return
        if self.resume:
            raise UserError(
                "--resume goes on with the weights of the run in --out: drop --start-from; or drop --resume and "
                "choose another --out for a new run"
            )
        if self.pretrained is not None:
            raise UserError(
                "--start-from and --pretrained both give the backbone's weights: drop --pretrained to begin with those "
                f"of {self.start_from}, or --start-from to begin with ImageNet's"
            )


@dataclass(frozen=True)
class PretrainingOptions:
    """Options of a pretraining on poses."""

    data: Path
    """List of drawn dives (manifest.jsonl of mcore-data render) with splits train and val."""
    out: Path
    """File of the backbone's weights (.safetensors), for --pretrained."""
    preset: PresetName = "tiny"
    """Network whose backbone is trained."""
    steps: int = 4000
    """Steps, each of --batch-size frames."""
    batch_size: int = 256
    """Single frames of a step."""
    learning_rate: float = 3e-3
    """Peak learning rate (AdamW, cosine)."""
    seed: int = 0
    """Decides initial weights, frames, crops and flips."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    cache: Path | None = None
    """Folder of decoded clips; default: .clips beside the list of dives."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not self.learning_rate > 0:
            raise UserError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if self.out.suffix != ".safetensors":
            raise UserError(f"--out {self.out}; give a file that ends in .safetensors")


def training_from_dict(values: Mapping[str, Any]) -> TrainingConfig:
    """Read a recipe as a checkpoint holds it; those of earlier versions had a field for each weight."""
    known = dict(values)
    if "loss_weights" not in known:
        known["loss_weights"] = {name: known.pop(f"{name}_weight") for name in LOSSES if f"{name}_weight" in known}
    if known.get("batch_norm") == "calibrated":
        known["batch_norm"] = "estimated"
    return from_dict(TrainingConfig, known)


def compute_from_dict(values: Mapping[str, Any]) -> ComputeConfig:
    """Read the compute settings of a checkpoint; the defaults where it was written before there were any."""
    renamed = {"micro_batches": "gradient_accumulation", "recompute": "activation_checkpointing"}
    known = {renamed.get(name, name): value for name, value in values.items()}
    known = {name: value for name, value in known.items() if name not in ("num_processes", "world_size", "device")}
    return from_dict(ComputeConfig, known)
