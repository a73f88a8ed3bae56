"""What a network costs, as data: multiplications with their additions (MACs), FLOPs, and parameters."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.config import ShiftKind, from_dict

FLOPS_A_MAC = 2
MEGA, GIGA = 1e6, 1e9


@dataclass(frozen=True)
class Layer:
    """One layer with weights or products."""

    name: str
    macs: int
    parameters: int


@dataclass(frozen=True)
class PartCost:
    """One part for one clip, or for one pair of dives."""

    part: str
    macs: int
    parameters: int
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Account:
    """What a dive costs."""

    exemplars: int
    backbone: PartCost
    """Of one clip."""
    segmenter: PartCost
    """Of one clip."""
    comparison: PartCost
    """Decoder and regressor, of one query with one exemplar in one direction."""
    uncounted: tuple[str, ...]
    """Operators that were met and count as nothing, the elementwise ones left out."""

    @property
    def deployed_macs(self) -> int:
        """As deployed: one pass over the query, stored tokens of the exemplars, one direction."""
        return self.backbone.macs + self.segmenter.macs + self.exemplars * self.comparison.macs

    @property
    def published_macs(self) -> int:
        """As published: for each exemplar both videos pass the encoder, and both directions are decoded."""
        return 2 * self.exemplars * (self.backbone.macs + self.segmenter.macs + self.comparison.macs)

    @property
    def ratio(self) -> float:
        """Work as published over work as deployed."""
        return self.published_macs / self.deployed_macs

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return sum(part.parameters for part in (self.backbone, self.segmenter, self.comparison))


@dataclass(frozen=True)
class VariantCost:
    """One row of the table over variants."""

    backbone: str
    shift: ShiftKind
    frames: int
    pixels: int
    parameters: int
    pass_macs: int
    """One clip through the backbone."""
    dive_macs: int
    """A dive as deployed."""


@dataclass(frozen=True)
class NetworkCost:
    """A video backbone of another method, or this network's, on this network's input."""

    name: str
    """As among the peers."""
    macs: int
    parameters: int


@dataclass(frozen=True)
class Counted:
    """What was counted of networks that no bundle holds."""

    variants: tuple[VariantCost, ...]
    networks: tuple[NetworkCost, ...]
    """All on one clip of the default's size."""


def write_variants(path: Path, counted: Counted) -> None:
    """Write counts as JSON.

    Raises:
        UserError: the place cannot be written to.
    """
    write_text(path, json.dumps(asdict(counted), indent=2) + "\n")


def read_variants(path: Path) -> Counted:
    """Read what ``write_variants`` wrote.

    Raises:
        UserError: it cannot be read, or is no such file.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        variants = tuple(from_dict(VariantCost, each) for each in values["variants"])
        return Counted(variants, tuple(from_dict(NetworkCost, each) for each in values["networks"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no counts of variants ({error!r}); remove it, and it is counted anew") from error
