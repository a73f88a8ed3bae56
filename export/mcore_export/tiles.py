"""The backbone's first blocks in tiles of frames, for processors with a cache: the same numbers, sooner.

A clip's maps are tens of megabytes in the first blocks, and an engine that runs layer by layer writes each of them to
memory and reads it back. A tile of a few frames goes through the stem and these blocks while it lies in the cache. The
shifts take the frames that they need from the neighbouring tiles, so nothing is computed twice; engines order nodes
from the outputs back, which is tile after tile.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mcore.config import ClipConfig
from mcore.model import MCoRe
from mcore_export.lean import LeanBackbone, LeanBlock, LeanGatedShift, LeanTemporalShift, lean_backbone

# Shapes: T frames of a clip, t of a tile, c pixels, C channels, D features.

LARGE_BYTES = 16_000_000
"""A block whose inner maps of a whole clip take more is worth tiles: below, they stay in a cache as they are."""
TILE_BYTES = 3_300_000
"""A tile's inner maps take at most this much: 8 frames of the published network, of which 6 to 12 measured alike."""
_BYTES = 4


class TiledBackboneGraph(nn.Module):
    """clip (1, 3, T, c, c) -> features (1, T, D); the plain backbone where no block is worth tiles."""

    def __init__(self, model: MCoRe) -> None:
        super().__init__()
        self.backbone = lean_backbone(model.backbone)
        self.num_tiled, self.sizes = plan_tiles(self.backbone, model.config.clip)

    def forward(self, clip: Tensor) -> Tensor:
        """Run the backbone; normalised RGB in."""
        if not self.num_tiled:
            whole: Tensor = self.backbone(clip)
            return whole
        blocks = [block for block in self.backbone.blocks if isinstance(block, LeanBlock)]
        tiles = [self.backbone.stem(x.transpose(0, 1)) for x in clip.squeeze(0).split(self.sizes, dim=1)]
        for block in blocks[: self.num_tiled]:
            shifted = _shift(block.shift, tiles)
            tiles = [block.after_shift(x, kept) for x, kept in zip(shifted, tiles, strict=True)]
        x = torch.cat(tiles)  # (T, C, h, w)
        for block in blocks[self.num_tiled :]:
            x = block(x)
        features: Tensor = x.mean((2, 3))  # (T, D)
        return features[None]


def describe_tiles(model: MCoRe) -> str:
    """Say in a line what becomes tiles."""
    num_tiled, sizes = plan_tiles(lean_backbone(model.backbone), model.config.clip)
    if not num_tiled:
        return "for CPUs: no tiles, because a clip's maps stay in a cache as they are"
    return f"for CPUs: stem and {num_tiled} blocks in {len(sizes)} tiles of at most {max(sizes)} frames"


def plan_tiles(backbone: LeanBackbone, clip: ClipConfig) -> tuple[int, list[int]]:
    """Choose how many blocks are worth tiles, and how many frames each tile has.

    Returns:
        Leading blocks whose inner maps are large, and the tiles' frames, which add up to T: one tile where there is
        no such block.
    """
    side = math.ceil(clip.crop_size / backbone.stem.stride[0])
    num_tiled, largest = 0, 0  # bytes of one frame
    for block in backbone.blocks:
        assert isinstance(block, LeanBlock)
        inner = block.conv1.weight.shape[0] * side * side * _BYTES
        if inner * clip.num_frames <= LARGE_BYTES:
            break
        num_tiled, largest = num_tiled + 1, max(largest, inner)
        side = math.ceil(side / block.conv2.stride[0])
    if not num_tiled:
        return 0, [clip.num_frames]
    frames = max(1, TILE_BYTES // largest)
    count = math.ceil(clip.num_frames / frames)
    least, longer = divmod(clip.num_frames, count)
    return num_tiled, [least + 1] * longer + [least] * (count - longer)


def _shift(shift: nn.Module, tiles: list[Tensor]) -> list[Tensor]:
    return shift.shift_tiles(tiles) if isinstance(shift, LeanGatedShift | LeanTemporalShift) else tiles
