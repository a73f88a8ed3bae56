"""How graphs are compared with what PyTorch computed: the rows of the gate and of ``mcore-export --verify``.

Each graph alone gets PyTorch's inputs, so that a disagreement names the part that caused it; then the whole
chain scores dives. A flipped transition is counted apart from rounding, because it moves a score far more.
Nothing here needs torch: expected values are arrays, computed just now or stored in the bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.errors import BundleError
from mcore_runtime.backends import Backend
from mcore_runtime.bundle import GateRow
from mcore_runtime.encoding import EncodedClip, encode_clip

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

_FEATURES = "features, relative"
_FLIPS = "flipped transitions"
_SCORE = "score difference, points"
_CHAIN = "whole chain"


@dataclass(frozen=True)
class GateLimits:
    """The most that an exported graph may differ from PyTorch."""

    relative: float = 3e-3
    """Features, logits and tokens: largest absolute difference over largest absolute value. Rounding alone reaches
    7e-4 where random weights amplify it, and 1e-6 on trained ones; a wrong graph is off by percents."""
    points: float = 0.01
    """Score differences, points."""
    flips: int = 0
    """Transitions decoded to another frame, all clips together."""


@dataclass(frozen=True, eq=False)
class ExpectedClip:
    """What PyTorch makes of one clip. Shapes: T frames, D features, P = 3K tokens, c pixels."""

    clip: FloatArray
    """(3, T, c, c) normalised RGB: the input."""
    features: FloatArray
    """(T, D)."""
    logits: FloatArray
    """(T, 2)."""
    transitions: IntArray
    """(2,) first frame of the flight and of the entry."""
    tokens: FloatArray
    """(P, D)."""


@dataclass(frozen=True, eq=False)
class ExpectedComparison:
    """What PyTorch makes of one dive's tokens against those of E exemplars."""

    query: FloatArray
    """(P, D): the input."""
    exemplars: FloatArray
    """(E, P, D): the input."""
    delta: FloatArray
    """(E,) score(query) - score(exemplar), points."""
    stage_deltas: FloatArray
    """(E, 3) each stage's share of it, points."""


def limits_of(rows: Sequence[GateRow]) -> GateLimits:
    """Read back the limits that a bundle was exported under, from the gate's rows in its manifest.

    Raises:
        BundleError: the rows do not hold them.
    """
    relative = [row.limit for row in rows if row.case.startswith(_FEATURES)]
    points = [row.limit for row in rows if row.case.startswith(_SCORE)]
    flips = [row.limit for row in rows if row.part == _CHAIN and row.case.startswith(_FLIPS)]
    if not (relative and points and flips):
        raise BundleError(
            "the manifest does not say how far the graphs may differ from PyTorch (no rows of the export's gate); "
            "export the bundle again"
        )
    return GateLimits(min(relative), min(points), int(min(flips)))


def backbone_rows(backend: Backend, expected: Sequence[ExpectedClip], limits: GateLimits) -> list[GateRow]:
    """Compare the backbone's features of each clip."""
    worst = _worst([_relative(backend.backbone(e.clip[None])[0], e.features) for e in expected])
    return [_row("backbone", f"{_FEATURES}, {_clips(expected)}", worst, limits.relative)]


def segmenter_rows(backend: Backend, expected: Sequence[ExpectedClip], limits: GateLimits) -> list[GateRow]:
    """Compare logits, decoded transitions and pooled tokens, from PyTorch's features."""
    logits_off, tokens_off, flips = [], [0.0], 0
    for e in expected:
        logits, transitions, tokens = backend.segmenter(e.features[None])
        logits_off.append(_relative(logits[0], e.logits))
        flips += count_flips(transitions[0], e.transitions)
        if np.array_equal(transitions[0], e.transitions):  # tokens of other stages are not comparable
            tokens_off.append(_relative(tokens[0], e.tokens))
    return [
        _row("segmenter", f"logits, relative, {_clips(expected)}", _worst(logits_off), limits.relative),
        _row("segmenter", f"{_FLIPS}, {_clips(expected)}", flips, limits.flips),
        _row("segmenter", f"tokens, relative, {_clips(expected)}", _worst(tokens_off), limits.relative),
    ]


def regressor_row(backend: Backend, expected: ExpectedComparison, limits: GateLimits) -> GateRow:
    """Compare score differences and their shares by stage, from PyTorch's tokens."""
    delta, shares = backend.regressor(expected.query[None], expected.exemplars)
    worst = _worst([_absolute(delta, expected.delta), _absolute(shares, expected.stage_deltas)])
    return _row("regressor", f"delta and stage shares, points, E = {len(expected.exemplars)}", worst, limits.points)


def encode_all(backend: Backend, expected: Sequence[ExpectedClip]) -> list[EncodedClip]:
    """Run the chain's first half, as the runtime does."""
    return [encode_clip(backend, e.clip) for e in expected]


def chain_rows(
    encoded: Sequence[EncodedClip],
    expected: Sequence[ExpectedClip],
    deltas: Sequence[tuple[FloatArray, FloatArray]],
    limits: GateLimits,
) -> list[GateRow]:
    """Compare what a user would see: transitions and scores of clips that went through all the graphs.

    Args:
        encoded: from ``encode_all``, one for each clip.
        expected: PyTorch's values of the same clips.
        deltas: for each clip the graphs' and PyTorch's score differences to its exemplars, (E,) points.
        limits: what is allowed.
    """
    flips = sum(count_flips(got.transitions, e.transitions) for got, e in zip(encoded, expected, strict=True))
    worst = _worst([_absolute(got, wanted) for got, wanted in deltas])
    return [
        _row(_CHAIN, f"{_FLIPS}, {_clips(expected)}", flips, limits.flips),
        _row(_CHAIN, f"{_SCORE}, {_clips(expected)}", worst, limits.points),
    ]


def count_flips(actual: IntArray, expected: IntArray) -> int:
    """Count the transitions that were decoded to another frame."""
    return int((actual != expected).sum())


def describe_row(row: GateRow) -> str:
    """Return a row as one line of the command's output."""
    verdict = "ok" if row.passed else "FAILED"
    return f"{row.part:11}  {row.figure:8.2g} (limit {row.limit:g})  {verdict:6}  {row.case}"


def describe_failures(rows: Sequence[GateRow]) -> str:
    """Name each comparison that failed, with figure and limit; empty if none did."""
    failed = [row for row in rows if not row.passed]
    return "; ".join(f"{row.part}: {row.case} is {row.figure:.3g}, allowed {row.limit:.3g}" for row in failed)


def _row(part: str, case: str, figure: float, limit: float) -> GateRow:
    finite = bool(np.isfinite(figure))
    # JSON knows no NaN: an output that is not a number is as wrong as can be.
    return GateRow(part, case, float(figure) if finite else 1e30, float(limit), finite and figure <= limit)


def _clips(expected: Sequence[ExpectedClip]) -> str:
    return f"{len(expected)} clip{'' if len(expected) == 1 else 's'}"


def _worst(values: Sequence[float]) -> float:
    """Largest of values; NaN if any is NaN, which Python's own ``max`` would lose."""
    return float(np.max(values))


def _relative(actual: FloatArray, expected: FloatArray) -> float:
    return _absolute(actual, expected) / max(float(np.abs(expected).max()), 1e-12)


def _absolute(actual: FloatArray, expected: FloatArray) -> float:
    return float(np.abs(actual - expected).max())
