"""What a network costs, as data: multiplications with their additions (MACs), FLOPs, and parameters."""

from __future__ import annotations

from dataclasses import dataclass

from mcore.config import ShiftKind

FLOPS_A_MAC = 2
GIGA = 1e9


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
