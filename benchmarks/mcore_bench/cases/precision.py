"""Score differences of each candidate from PyTorch in float32, on the clips that a bundle is verified with."""

from __future__ import annotations

from collections.abc import Sequence

from mcore_bench.candidates import Candidate
from mcore_bench.result import Column, Table, Value
from mcore_export.parity.compare import CHAIN, compare
from mcore_export.parity.golden import load_golden
from mcore_export.parity.limits import DEFAULT_LIMITS
from mcore_runtime.bundle.folder import Bundle


def precision_table(bundle: Bundle, candidates: Sequence[Candidate]) -> Table:
    """Score the bundle's rendered dives against each other on every candidate.

    Args:
        bundle: with golden values.
        candidates: its backends.
    """
    golden = load_golden(bundle)
    rows: list[tuple[Value, ...]] = []
    for each in candidates:
        compared = compare(each.scorer.backend, golden, DEFAULT_LIMITS["int8"])
        figures = {row.measure: row.figure for row in compared if row.part == CHAIN}
        # The largest with flipped transitions; the mean without, because dives that flip are counted beside it.
        largest = max(figures.get("score_max", 0.0), figures.get("score_any", 0.0))
        flips = figures.get("flips", 0.0) + figures.get("ties", 0.0)
        rows.append((each.name, len(golden.clips), figures["score_mean"], largest, flips))
    return Table(
        "score differences from PyTorch in float32, points",
        (
            Column("candidate"),
            Column("clips", "d"),
            Column("mean", ".2g"),
            Column("largest", ".2g"),
            Column("flipped transitions", ".0%"),
        ),
        tuple(rows),
        "Of the clips that the bundle carries to be verified with: too few for an accuracy.",
    )
