"""The CPU layout of the backbone: its first blocks in tiles of frames that fit into a cache, which is faster.

A clip's maps are tens of megabytes in the first blocks, and a backend that runs layer by layer writes each of them to
memory and reads it back. A tile of a few frames goes through the stem and these blocks while it lies in the cache. The
shifts take the frames that they need from the neighbouring tiles, so nothing is computed twice; backends order nodes
from the outputs back, which is tile after tile.

A gated shift's split and concatenation of channels cost OpenVINO as much as its operations: it keeps a pixel's channels
together. In tiles, what the shift changes goes through a convolution of its own instead, and is added.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcore.config import ClipConfig
from mcore.network.model import MCoRe
from mcore_export.graphs.folded import (
    FoldedBackbone,
    FoldedBlock,
    FoldedGatedShift,
    FoldedTemporalShift,
    earlier,
    folded_backbone,
    later,
)

# Shapes: T frames of a clip, t of a tile, c pixels, C channels, S shifted channels, D features.

LARGE_BYTES = 16_000_000
"""A block whose inner maps of a whole clip take more is worth tiles: below, they stay in a cache as they are."""
TILE_BYTES = 2_500_000
"""A tile's inner maps take at most this much: 6 frames of the published network; 4 to 12 measured within 3 %."""
_BYTES = 4


class CpuBackbone(nn.Module):
    """clip (1, 3, T, c, c) -> features (1, T, D); the plain backbone where no block is worth tiles."""

    def __init__(self, model: MCoRe) -> None:
        super().__init__()
        self.backbone = folded_backbone(model.backbone)
        self.num_tiled, self.sizes = plan_tiles(self.backbone, model.config.clip)
        blocks = [block for block in self.backbone.blocks if isinstance(block, FoldedBlock)]
        self.tiled = nn.Sequential(*(TiledBlock(block) for block in blocks[: self.num_tiled]))
        self.whole = nn.Sequential(*blocks[self.num_tiled :])

    def forward(self, clip: Tensor) -> Tensor:
        """Run the backbone; normalised RGB in."""
        if not self.num_tiled:
            whole: Tensor = self.backbone(clip)
            return whole
        tiles = [self.backbone.stem(self.backbone.frames(x)) for x in clip.split(self.sizes, dim=2)]
        x = torch.cat(self.tiled(tiles))  # (T, C, h, w)
        features: Tensor = self.whole(x).mean((2, 3))  # (T, D)
        return features[None]


class TiledBlock(nn.Module):
    """``FoldedBlock`` on tiles of consecutive frames, (t, C_in, H, W) each, which make up the clip."""

    def __init__(self, source: FoldedBlock) -> None:
        super().__init__()
        self.block = source
        self.change = GatedChange(source) if isinstance(source.shift, FoldedGatedShift) else None

    def forward(self, tiles: Sequence[Tensor]) -> list[Tensor]:
        """Map the tiles to (t, C, H/stride, W/stride) each."""
        if self.change is not None:
            inner = self.change(tiles)
            return [self.block.after_conv1(h, x) for h, x in zip(inner, tiles, strict=True)]
        shift = self.block.shift
        shifted = _shift_tiles(shift, tiles) if isinstance(shift, FoldedTemporalShift) else tiles
        return [self.block.after_shift(y, x) for y, x in zip(shifted, tiles, strict=True)]


class GatedChange(nn.Module):
    """A gated shift and the convolution behind it, W(x + d) as Wx + Wd, where d has the shifted channels only."""

    def __init__(self, source: FoldedBlock) -> None:
        super().__init__()
        assert isinstance(source.shift, FoldedGatedShift)
        self.shift, self.conv1 = source.shift, source.conv1
        shifted = self.shift.shifted
        self.weight = nn.Parameter(self.conv1.weight[:, :shifted].clone())
        # A gate for each channel, instead of channels for each gate: backends that keep a pixel's channels together
        # multiply by a gate, or by a one or a zero, in less time than they cut out half the channels.
        half = (torch.arange(shifted) < shifted // 2).to(self.weight.dtype)  # (S,): 1 for the first half
        self.per_channel = nn.Parameter(torch.stack([half, 1 - half], dim=1)[:, :, None, None])  # (S, 2, 1, 1)
        self.first, self.second = (nn.Parameter(x[None, :, None, None]) for x in (half, 1 - half))  # (1, S, 1, 1)

    def forward(self, tiles: Sequence[Tensor]) -> list[Tensor]:
        """Map tiles (t, C_in, H, W) to what the block's first convolution gives, (t, C, H, W) each."""
        changes = self._changes([x[:, : self.shift.shifted] for x in tiles])
        conv = self.conv1
        kept = [F.conv2d(x, conv.weight, conv.bias) for x in tiles]
        return [F.relu(x + F.conv2d(change, self.weight)) for x, change in zip(kept, changes, strict=True)]

    def _changes(self, shifted: Sequence[Tensor]) -> list[Tensor]:
        """Change of the shifted channels (t, S, H, W): what arrives from other frames, minus what leaves."""
        gates = _gates(self.shift, shifted)  # (t, 2, H, W)
        moved = [F.conv2d(gate, self.per_channel) * x for gate, x in zip(gates, shifted, strict=True)]
        both = zip(moved, _earlier_tiles(moved), _later_tiles(moved), strict=True)
        return [ahead * self.first + behind * self.second - leaving for leaving, ahead, behind in both]


def _gates(shift: FoldedGatedShift, shifted: Sequence[Tensor]) -> list[Tensor]:
    """Share of each pixel that moves to another frame: (t, 2, H, W) for each tile (t, S, H, W)."""
    previous, current, following = zip(*(shift.maps(x) for x in shifted), strict=True)
    arriving = zip(current, _later_tiles(previous), _earlier_tiles(following), strict=True)
    return [torch.tanh(now + before + after) for now, before, after in arriving]


def _shift_tiles(shift: FoldedTemporalShift, tiles: Sequence[Tensor]) -> list[Tensor]:
    """Shift half of the shifted channels each way, in tiles (t, C, H, W): to the same shapes."""
    half = shift.shifted // 2
    sizes = [half, half, tiles[0].shape[1] - shift.shifted]
    first, second, rest = zip(*(x.split(sizes, dim=1) for x in tiles), strict=True)
    shifted = zip(_earlier_tiles(first), _later_tiles(second), rest, strict=True)
    return [torch.cat(parts, dim=1) for parts in shifted]


def _earlier_tiles(tiles: Sequence[Tensor]) -> list[Tensor]:
    """``earlier`` in tiles (t, C, H, W): each but the last ends with the next one's first frame."""
    ahead = [torch.cat([x[1:], after[:1]]) for x, after in itertools.pairwise(tiles)]
    return [*ahead, earlier(tiles[-1])]


def _later_tiles(tiles: Sequence[Tensor]) -> list[Tensor]:
    """``later`` in tiles (t, C, H, W): each but the first begins with the last frame before it."""
    behind = [torch.cat([before[-1:], x[:-1]]) for before, x in itertools.pairwise(tiles)]
    return [later(tiles[0]), *behind]


def describe_cpu_layout(model: MCoRe) -> str:
    """Say in a line what becomes tiles."""
    num_tiled, sizes = plan_tiles(folded_backbone(model.backbone), model.config.clip)
    if not num_tiled:
        return "for CPUs: no tiles, because a clip's maps stay in a cache as they are"
    return f"for CPUs: stem and {num_tiled} blocks in {len(sizes)} tiles of at most {max(sizes)} frames"


def plan_tiles(backbone: FoldedBackbone, clip: ClipConfig) -> tuple[int, list[int]]:
    """Choose how many blocks are worth tiles, and how many frames each tile has.

    Returns:
        Leading blocks whose inner maps are large, and the tiles' frames, which add up to T: one tile where there is
        no such block.
    """
    side = math.ceil(clip.crop_size / backbone.stem.stride[0])
    num_tiled, largest = 0, 0  # bytes of one frame
    for block in backbone.blocks:
        assert isinstance(block, FoldedBlock)
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
