"""The gate: exported graphs against PyTorch on clips that tracing never saw, part by part and as a whole.

Each graph alone gets PyTorch's inputs, so that a disagreement names the part that caused it; then the whole
chain scores dives, at several numbers of exemplars. A flipped transition is counted apart from rounding,
because it moves a score far more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mcore.errors import ExportError
from mcore.model import Encoding, MCoRe, stage_deltas
from mcore_runtime.backends import Backend
from mcore_runtime.bundle import GateRow
from mcore_runtime.encoding import encode_clip

FloatArray = NDArray[np.float32]

EXEMPLAR_COUNTS = (1, 2, 10, 37)
"""Numbers of exemplars at which the regressor is compared; none is the number it was traced with."""


@dataclass(frozen=True)
class GateLimits:
    """The most that an exported graph may differ from PyTorch."""

    relative: float = 1e-3
    """Features, logits and tokens: largest absolute difference over largest absolute value."""
    points: float = 0.01
    """Score differences, points."""
    flips: int = 0
    """Transitions decoded to another frame, all clips together."""


def run_gate(
    model: MCoRe, backend: Backend, clips: Sequence[FloatArray], limits: GateLimits | None = None
) -> tuple[GateRow, ...]:
    """Compare exported graphs with the network they came from.

    Args:
        model: PyTorch, float32, CPU.
        backend: holds the exported graphs.
        clips: at least two of (3, T, c, c) float32, not used for tracing.
        limits: what is allowed.

    Returns:
        One row for each comparison, passed or not.
    """
    limits = limits or GateLimits()
    torch_clips = [model.encode(clip[None]) for clip in clips]
    rows = [
        *_backbone_rows(backend, clips, torch_clips, limits),
        *_segmenter_rows(backend, torch_clips, limits),
        *_regressor_rows(model, backend, torch_clips, limits),
        *_chain_rows(model, backend, clips, torch_clips, limits),
    ]
    return tuple(rows)


def require_pass(rows: Sequence[GateRow]) -> None:
    """Raise unless every comparison passed.

    Raises:
        ExportError: names each part that disagrees, with figure and limit.
    """
    if failed := [row for row in rows if not row.passed]:
        lines = "; ".join(f"{row.part}: {row.case} is {row.figure:.3g}, allowed {row.limit:.3g}" for row in failed)
        raise ExportError(
            f"the exported graphs do not compute what the checkpoint computes, so no bundle was written: {lines}"
        )


def _row(part: str, case: str, figure: float, limit: float) -> GateRow:
    finite = bool(np.isfinite(figure))
    # JSON knows no NaN: an output that is not a number is as wrong as can be.
    return GateRow(part, case, float(figure) if finite else 1e30, float(limit), finite and figure <= limit)


def _backbone_rows(
    backend: Backend, clips: Sequence[FloatArray], expected: Sequence[Encoding], limits: GateLimits
) -> list[GateRow]:
    pairs = zip(clips, expected, strict=True)
    worst = _worst([_relative(backend.backbone(clip[None]), e.features) for clip, e in pairs])
    return [_row("backbone", f"features, relative, {len(clips)} clips", worst, limits.relative)]


def _segmenter_rows(backend: Backend, expected: Sequence[Encoding], limits: GateLimits) -> list[GateRow]:
    logits_off, tokens_off, flips = [], [0.0], 0
    for e in expected:
        logits, transitions, tokens = backend.segmenter(e.features.numpy())
        logits_off.append(_relative(logits, e.logits))
        flips += int((transitions != e.transitions.numpy()).sum())
        if np.array_equal(transitions, e.transitions.numpy()):  # tokens of other stages are not comparable
            tokens_off.append(_relative(tokens, e.tokens))
    count = f"{len(expected)} clips"
    return [
        _row("segmenter", f"logits, relative, {count}", _worst(logits_off), limits.relative),
        _row("segmenter", f"flipped transitions, {count}", flips, limits.flips),
        _row("segmenter", f"tokens, relative, {count}", _worst(tokens_off), limits.relative),
    ]


def _regressor_rows(model: MCoRe, backend: Backend, expected: Sequence[Encoding], limits: GateLimits) -> list[GateRow]:
    tokens = torch.cat([e.tokens for e in expected])  # (clips, P, D)
    rows = []
    for count in EXEMPLAR_COUNTS:
        exemplars = _exemplars(tokens[1:], count)
        with torch.no_grad():
            points = model.token_deltas(tokens[:1].expand(count, -1, -1), exemplars)
        delta, shares = backend.regressor(tokens[:1].numpy(), exemplars.numpy())
        worst = _worst([_absolute(delta, points.mean(1)), _absolute(shares, stage_deltas(points))])
        rows.append(_row("regressor", f"delta and stage shares, points, E = {count}", worst, limits.points))
    return rows


def _chain_rows(
    model: MCoRe, backend: Backend, clips: Sequence[FloatArray], expected: Sequence[Encoding], limits: GateLimits
) -> list[GateRow]:
    """Score each clip against the others, as the runtime does, exemplar tokens from the graphs too."""
    encoded = [encode_clip(backend, clip) for clip in clips]
    flips = sum(
        int((got.transitions != e.transitions[0].numpy()).sum()) for got, e in zip(encoded, expected, strict=True)
    )
    off = []
    for i, got in enumerate(encoded):
        others = [j for j in range(len(clips)) if j != i]
        delta, _ = backend.regressor(got.tokens[None], np.stack([encoded[j].tokens for j in others]))
        wanted = model.compare(expected[i].tokens, torch.cat([expected[j].tokens for j in others]))
        off.append(_absolute(delta, wanted))
    return [
        _row("whole chain", f"flipped transitions, {len(clips)} clips", flips, limits.flips),
        _row("whole chain", f"score difference, points, {len(clips)} clips", _worst(off), limits.points),
    ]


def _exemplars(tokens: torch.Tensor, count: int) -> torch.Tensor:
    """Mix real tokens to as many different exemplars as wanted: (clips, P, D) -> (count, P, D)."""
    weights = torch.rand(count, len(tokens), generator=torch.Generator().manual_seed(1))
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("ec,cpd->epd", weights, tokens)


def _worst(values: Sequence[float]) -> float:
    """Largest of values; NaN if any is NaN, which Python's own ``max`` would lose."""
    return float(np.max(values))


def _relative(actual: NDArray[np.float32], expected: torch.Tensor) -> float:
    return _absolute(actual, expected) / max(float(expected.abs().max()), 1e-12)


def _absolute(actual: NDArray[np.float32], expected: torch.Tensor) -> float:
    return float(np.abs(actual - expected.numpy()).max())
