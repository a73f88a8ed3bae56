"""The gate: exported graphs against PyTorch on clips that tracing never saw, part by part and as a whole.

PyTorch is the network as it was loaded, not the copy that was rearranged for export. ``compare`` holds the
comparisons; here PyTorch computes what they expect, at several numbers of exemplars.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mcore.errors import ExportError
from mcore.model import MCoRe, stage_deltas
from mcore_export.compare import (
    ExpectedClip,
    ExpectedComparison,
    FloatArray,
    GateLimits,
    backbone_rows,
    chain_rows,
    describe_failures,
    encode_all,
    regressor_row,
    segmenter_rows,
)
from mcore_runtime.backends import Backend
from mcore_runtime.bundle import GateRow

EXEMPLAR_COUNTS = (1, 2, 10, 37)
"""Numbers of exemplars at which the regressor is compared; none is the number it was traced with."""


def expect_clips(model: MCoRe, clips: Sequence[FloatArray]) -> list[ExpectedClip]:
    """Let PyTorch encode clips of (3, T, c, c) float32, one by one."""
    expected = []
    for clip in clips:
        e = model.encode(clip[None])
        expected.append(
            ExpectedClip(
                clip, e.features[0].numpy(), e.logits[0].numpy(), e.transitions[0].numpy(), e.tokens[0].numpy()
            )
        )
    return expected


def expect_comparison(model: MCoRe, query: torch.Tensor, exemplars: torch.Tensor) -> ExpectedComparison:
    """Let PyTorch compare tokens (P, D) with those of exemplars (E, P, D)."""
    with torch.no_grad():
        points = model.token_deltas(query[None].expand(len(exemplars), -1, -1), exemplars)
    return ExpectedComparison(query.numpy(), exemplars.numpy(), points.mean(1).numpy(), stage_deltas(points).numpy())


def run_gate(
    model: MCoRe, backend: Backend, expected: Sequence[ExpectedClip], limits: GateLimits | None = None
) -> tuple[GateRow, ...]:
    """Compare exported graphs with the network they came from.

    Args:
        model: PyTorch, float32, CPU, in evaluation mode.
        backend: holds the exported graphs.
        expected: from ``expect_clips``, for at least two clips that were not used for tracing.
        limits: what is allowed.

    Returns:
        One row for each comparison, passed or not.
    """
    limits = limits or GateLimits()
    return (
        *backbone_rows(backend, expected, limits),
        *segmenter_rows(backend, expected, limits),
        *_regressor_rows(model, backend, expected, limits),
        *_chain_rows(model, backend, expected, limits),
    )


def require_pass(rows: Sequence[GateRow]) -> None:
    """Raise unless every comparison passed.

    Raises:
        ExportError: names each part that disagrees, with figure and limit.
    """
    if failures := describe_failures(rows):
        raise ExportError(
            f"the exported graphs do not compute what the checkpoint computes, so no bundle was written: {failures}"
        )


def _regressor_rows(
    model: MCoRe, backend: Backend, expected: Sequence[ExpectedClip], limits: GateLimits
) -> list[GateRow]:
    tokens = _tokens(expected)
    comparisons = (expect_comparison(model, tokens[0], _mixed(tokens[1:], count)) for count in EXEMPLAR_COUNTS)
    return [regressor_row(backend, comparison, limits) for comparison in comparisons]


def _chain_rows(model: MCoRe, backend: Backend, expected: Sequence[ExpectedClip], limits: GateLimits) -> list[GateRow]:
    """Score each clip against the others, as the runtime does, exemplar tokens from the graphs too."""
    encoded = encode_all(backend, expected)
    found, tokens = torch.stack([torch.from_numpy(got.tokens) for got in encoded]), _tokens(expected)
    deltas = []
    for i in range(len(expected)):
        others = [j for j in range(len(expected)) if j != i]
        delta, _ = backend.regressor(found[i : i + 1].numpy(), found[others].numpy())
        deltas.append((delta, expect_comparison(model, tokens[i], tokens[others]).delta))
    return chain_rows(encoded, expected, deltas, limits)


def _tokens(expected: Sequence[ExpectedClip]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(e.tokens) for e in expected])  # (clips, P, D)


def _mixed(tokens: torch.Tensor, count: int) -> torch.Tensor:
    """Mix real tokens to as many different exemplars as wanted: (clips, P, D) -> (count, P, D)."""
    weights = torch.rand(count, len(tokens), generator=torch.Generator().manual_seed(1))
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("ec,cpd->epd", weights, tokens)
