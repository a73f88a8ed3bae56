"""The streaming backbone: prefix and suffix, so that most of a clip is computed before its last frames exist.

The prefix takes a clip's first frames, the suffix the others and what the prefix left:
``suffix(last, prefix(first))`` is the backbone of the whole clip. A gated shift looks one frame ahead for its gate and
one more for what moves. So the prefix cannot finish the last frames of any block; it hands them over as they are. No
block computes a frame twice, so both together are as much work as the whole, and each has one end of the clip, so
neither needs a mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mcore.config import BackboneConfig
from mcore_export.graphs.folded import (
    FoldedBackbone,
    FoldedBlock,
    FoldedGatedShift,
    FoldedTemporalShift,
    earlier,
    later,
    pool,
    wide,
)

# Shapes: T frames of a clip, H of them in the prefix, C channels of a block's input, S shifted ones, D features.

_HELD = {"gated": 2, "tsm": 1, "none": 0}
"""Frames that a block cannot finish before the next ones come, by kind of shift."""


def held_frames(config: BackboneConfig) -> int:
    """Count the frames of a clip so far whose features are unfinished: those that later frames still reach."""
    return _HELD[config.shift] * sum(config.depths)


class BackbonePrefix(nn.Module):
    """first (1, 3, H, c, c) -> state (1, N), float32: what each block holds back, then the finished features.

    Args:
        backbone: float32, or half precision inside.
    """

    def __init__(self, backbone: FoldedBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, first: Tensor) -> Tensor:
        """Run a clip's first frames; normalised RGB."""
        return torch.cat([wide(part).flatten() for part in self.parts(first)])[None]

    def parts(self, first: Tensor) -> list[Tensor]:
        """Return what the state consists of, each in its own shape."""
        x = self.backbone.stem(self.backbone.frames(first))  # (H, C, h, w)
        state: list[Tensor] = []
        for block in self.backbone.blocks:
            assert isinstance(block, FoldedBlock)
            shifted, held = _prefix_shift(block.shift, x)
            x = block.after_shift(shifted, x[: len(shifted)])
            state += held
        return [*state, pool(x)]


class BackboneSuffix(nn.Module):
    """last (1, 3, T - H, c, c), state (1, N) -> features (1, T, D), float32.

    Args:
        backbone: the prefix's.
        shapes: of the prefix's ``parts``.
    """

    def __init__(self, backbone: FoldedBackbone, shapes: Sequence[torch.Size]) -> None:
        super().__init__()
        self.backbone = backbone
        self._shapes = tuple(shapes)

    def forward(self, last: Tensor, state: Tensor) -> Tensor:
        """Go on where the prefix ended; normalised RGB."""
        parts = state[0].split([shape.numel() for shape in self._shapes])
        *held, finished = (part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True))
        x = self.backbone.stem(self.backbone.frames(last))  # (T - H, C, h, w)
        handed_over = (part.to(x.dtype) for part in held)
        for block in self.backbone.blocks:
            assert isinstance(block, FoldedBlock)
            shifted, x = _suffix_shift(block.shift, x, handed_over)
            x = block.after_shift(shifted, x)
        features: Tensor = torch.cat([finished, pool(x)])  # (T, D)
        return features[None]


def _prefix_shift(shift: nn.Module | None, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Shift the first n frames x (n, C, h, w) of a clip: those that can be finished, and what the suffix needs."""
    if isinstance(shift, FoldedGatedShift):
        return _gated_prefix(shift, x)
    if isinstance(shift, FoldedTemporalShift):
        first, second, rest = _halves(x, shift.shifted)
        return torch.cat([first[1:], later(second)[:-1], rest[:-1]], dim=1), [x[-1:], second[-2:-1]]
    return x, []


def _suffix_shift(shift: nn.Module | None, x: Tensor, held: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
    """Shift the held frames and the new ones x (m, C, h, w), the clip's last: shifted, and not shifted."""
    if isinstance(shift, FoldedGatedShift):
        return _gated_suffix(shift, x, *(next(held) for _ in range(3)))
    if isinstance(shift, FoldedTemporalShift):
        x = torch.cat([next(held), x])
        first, second, rest = _halves(x, shift.shifted)
        return torch.cat([earlier(first), torch.cat([next(held), second[:-1]]), rest], dim=1), x
    return x, x


def _gated_prefix(shift: FoldedGatedShift, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Finish n - 2 of n frames (n, C, h, w).

    Held back: the last two frames; the sum of the gate's maps for each of them as far as it is known, and the last
    frame's map for the next; and what moves from the last frame that is finished.
    """
    first, second, rest = _halves(x, shift.shifted)
    previous, current, following = shift.maps(x[:, : shift.shifted])  # (n, 2, h, w)
    known = current + later(previous)
    total = known[:-1] + following[1:]  # (n - 1, 2, h, w)
    first_gate, second_gate = torch.tanh(total).split(1, dim=1)
    moved_first, moved_second = first_gate * first[:-1], second_gate * second[:-1]
    shifted = torch.cat(
        [
            (first[:-1] - moved_first)[:-1] + moved_first[1:],
            (second[:-1] - moved_second + later(moved_second))[:-1],
            rest[:-2],
        ],
        dim=1,
    )  # (n - 2, C, h, w)
    return shifted, [x[-2:], torch.cat([total[-1:], known[-1:], previous[-1:]]), moved_second[-2:-1]]


def _gated_suffix(
    shift: FoldedGatedShift, x: Tensor, held: Tensor, maps: Tensor, moved_before: Tensor
) -> tuple[Tensor, Tensor]:
    """Finish held frames (2, C, h, w) and new ones (m, C, h, w); maps (3, 2, h, w) as ``_gated_prefix`` left them."""
    previous, current, following = shift.maps(x[:, : shift.shifted])  # (m, 2, h, w)
    total_before, known_before, previous_before = maps.split(1)
    known = torch.cat([known_before, current + torch.cat([previous_before, previous[:-1]])])  # (m + 1, 2, h, w)
    total = torch.cat([total_before, known + torch.cat([following, torch.zeros_like(following[:1])])])
    first_gate, second_gate = torch.tanh(total).split(1, dim=1)  # (m + 2, 1, h, w)
    x = torch.cat([held, x])
    first, second, rest = _halves(x, shift.shifted)
    moved_first, moved_second = first_gate * first, second_gate * second
    arriving = torch.cat([moved_before, moved_second[:-1]])
    return torch.cat([first - moved_first + earlier(moved_first), second - moved_second + arriving, rest], dim=1), x


def _halves(x: Tensor, shifted: int) -> tuple[Tensor, Tensor, Tensor]:
    """The channels that move earlier, those that move later, and the rest."""
    first, second, rest = x.split([shifted // 2, shifted // 2, x.shape[1] - shifted], dim=1)
    return first, second, rest
