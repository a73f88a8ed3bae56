"""How far each contender's scores are from PyTorch in float32, on the dives that a bundle carries for this purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mcore_export.parity.compare import CHAIN, DEFAULT_LIMITS, compare
from mcore_export.parity.golden import load_golden
from mcore_runtime.backends import Backend
from mcore_runtime.bundle.folder import Bundle


@dataclass(frozen=True)
class Accuracy:
    """One contender against the checkpoint."""

    name: str
    clips: int
    score_mean: float
    """Mean difference of scores, points; dives whose transitions flipped are left out, because they are told apart."""
    score_largest: float
    """With flipped transitions, points."""
    flips: float
    """Share of transitions decoded to another frame, near-ties included."""


def measure_accuracy(bundle: Bundle, backends: Mapping[str, Backend]) -> tuple[Accuracy, ...]:
    """Score the bundle's rendered dives against each other on every backend.

    Args:
        bundle: with golden values.
        backends: by name.
    """
    golden = load_golden(bundle)
    found = []
    for name, backend in backends.items():
        rows = compare(backend, golden, DEFAULT_LIMITS["int8"])
        figures = {row.measure: row.figure for row in rows if row.part == CHAIN}
        flips = figures.get("flips", 0.0) + figures.get("ties", 0.0)
        largest = max(figures.get("score_max", 0.0), figures.get("score_any", 0.0))
        found.append(Accuracy(name, len(golden.clips), figures["score_mean"], largest, flips))
    return tuple(found)
