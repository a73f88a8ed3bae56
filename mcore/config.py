"""Configuration of input, network and training: frozen dataclasses, saved beside every artefact.

The command lines are generated from these classes, checkpoints carry them, and export and runtime read them
back; nothing here needs torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_type_hints

from mcore.common.errors import UserError

STAGES = ("take-off", "flight", "entry")
"""The three stages of a dive, in order; two transitions separate them."""

EXEMPLARS_PER_NUMBER = 10
"""Dives of its dive number that a dive is compared with (published)."""

ShiftKind = Literal["gated", "tsm", "none"]
GraphDecoding = Literal["published", "ordered"]
"""Rule by which transitions are found, which an exported graph holds. published: each in its half of the clip; ordered:
the most probable pair of the whole clip."""
Decoding = Literal[GraphDecoding, "thirds"]
"""The same, or thirds: they are not looked for."""
DEFAULT_DECODING: GraphDecoding = "ordered"
"""It takes two thirds of the boundaries' errors away (docs/results/accuracy.md)."""


@dataclass(frozen=True)
class ClipConfig:
    """Sampling and preprocessing: from a video to network input (docs/reference/network.md, section 1)."""

    num_frames: int = 96
    """Frames sampled from a clip, T."""
    resize_height: int = 200
    """Height of the resized frame, pixels; the aspect ratio is not kept."""
    resize_width: int = 112
    """Width of the resized frame, pixels."""
    crop_size: int = 112
    """Side of the square crop, pixels."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Subtracted from RGB values in 0..1 (ImageNet's mean)."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Divides the difference (ImageNet's standard deviation)."""

    def __post_init__(self) -> None:
        if self.num_frames < 4:
            raise UserError(f"num_frames is {self.num_frames}; three stages need at least 4 frames")
        if self.crop_size < 1 or self.crop_size > min(self.resize_height, self.resize_width):
            raise UserError(
                f"crop_size {self.crop_size} does not fit into the resized frame of "
                f"{self.resize_width} x {self.resize_height} (width x height)"
            )


@dataclass(frozen=True)
class BackboneConfig:
    """A RegNetY with a temporal shift in every block; the default is RegNetY-200MF (timm: regnety_002)."""

    stem_width: int = 32
    """Channels after the stem."""
    widths: tuple[int, ...] = (24, 56, 152, 368)
    """Channels of each stage; the last is the feature dimension D."""
    depths: tuple[int, ...] = (1, 1, 4, 7)
    """Blocks of each stage."""
    group_width: int = 8
    """Channels in each group of the 3x3 convolutions."""
    se_ratio: float = 0.25
    """Squeeze-and-excitation width over the block's input width."""
    shift: ShiftKind = "gated"
    """How neighbouring frames mix: gated shift (GSM, the published network), plain shift (TSM), or none."""

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.depths) or not self.widths:
            raise UserError(f"widths {self.widths} and depths {self.depths} must have one entry for each stage")
        for width in self.widths:
            if width % self.group_width:
                raise UserError(f"width {width} is not a multiple of group_width {self.group_width}")
        if min(self.depths) < 1:
            raise UserError(f"every stage needs at least one block, got depths {self.depths}")
        if self.shift not in ("gated", "tsm", "none"):
            raise UserError(f"shift is {self.shift!r}; allowed: gated, tsm, none")

    @property
    def feature_dim(self) -> int:
        """Dimension D of a frame's feature vector."""
        return self.widths[-1]


@dataclass(frozen=True)
class NamedBackbone:
    """A backbone that ``--backbone`` takes by name."""

    config: BackboneConfig
    """Widths and depths of the backbone."""
    pretrained: str | None = None
    """Hugging Face repository of its ImageNet weights (``--pretrained auto``); None: none are published."""


BACKBONES: dict[str, NamedBackbone] = {
    "regnety_002": NamedBackbone(BackboneConfig(), "timm/regnety_002.pycls_in1k"),
    "regnety_008": NamedBackbone(
        BackboneConfig(widths=(64, 128, 320, 768), depths=(1, 3, 8, 2), group_width=16), "timm/regnety_008.pycls_in1k"
    ),
}
"""Every named backbone, by timm's names: flags, ImageNet weights and published checkpoints follow from this table."""


@dataclass(frozen=True)
class ModelConfig:
    """The whole network; the default is the published one."""

    clip: ClipConfig = field(default_factory=ClipConfig)
    """Input contract."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """Per-frame feature extractor."""
    segmenter_dropout: float = 0.5
    """Dropout on the GRU's output, in training."""
    tokens_per_stage: int = 5
    """Pooled tokens of each stage, K."""
    decoder_layers: int = 3
    """Cross-attention layers."""
    decoder_heads: int = 8
    """Attention heads; must divide the feature dimension."""
    decoder_mlp_ratio: int = 4
    """Hidden width of the decoder's MLP over the feature dimension."""
    regressor_hidden: tuple[int, int] = (256, 64)
    """Hidden widths of the MLP that turns a token into points."""
    faults: tuple[str, ...] = ()
    """Faults that training also asks the tokens for, by the names that its list has; none given: all of the list. No
    score needs them."""

    def __post_init__(self) -> None:
        if self.backbone.feature_dim % self.decoder_heads:
            raise UserError(
                f"decoder_heads {self.decoder_heads} does not divide the feature dimension {self.backbone.feature_dim}"
            )
        if self.tokens_per_stage < 1:
            raise UserError(f"tokens_per_stage is {self.tokens_per_stage}; at least 1")

    @property
    def num_tokens(self) -> int:
        """Tokens of a dive: stages x tokens a stage."""
        return len(STAGES) * self.tokens_per_stage


PresetName = Literal["paper", "tiny"]
NETWORKS: dict[PresetName, ModelConfig] = {
    "paper": ModelConfig(),
    "tiny": ModelConfig(
        clip=ClipConfig(num_frames=32, resize_height=80, resize_width=64, crop_size=64),
        backbone=BackboneConfig(stem_width=16, widths=(16, 32, 64, 96), depths=(1, 1, 2, 2)),
        decoder_layers=1,
    ),
}
"""Network of each preset; ``mcore.training.config.PRESETS`` adds the recipe."""

Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration into plain containers that JSON and safe pickles can hold."""
    return dataclasses.asdict(config)


def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
    """Rebuild a configuration from ``to_dict``'s output, also after a trip through JSON.

    Raises:
        UserError: a key is not a field of ``cls`` (written by a newer version), or a value is not allowed.
    """
    hints = get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise UserError(
            f"{cls.__name__} has no field {', '.join(unknown)}; it was probably written by a newer version: "
            "upgrade mcore-edge"
        )
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and dataclasses.is_dataclass(hints[name]):
            value = from_dict(hints[name], value)
        elif isinstance(value, list):
            value = tuple(value)
        arguments[name] = value
    return cls(**arguments)
