"""Score differences of each candidate from PyTorch in float32, on the clips that a bundle is verified with."""

from __future__ import annotations

from collections.abc import Sequence

from mcore_bench.candidates import Candidate
from mcore_bench.result import Row, Table, make_table
from mcore_export.parity.compare import CHAIN, compare
from mcore_export.parity.golden import load_golden
from mcore_export.parity.limits import DEFAULT_LIMITS
from mcore_runtime.bundle.folder import Bundle


def precision_table(bundle: Bundle, candidates: Sequence[Candidate]) -> Table:
    """Score the bundle's rendered dives against each other on every candidate."""
    golden = load_golden(bundle)
    rows: list[Row] = []
    for each in candidates:
        compared = compare(each.scorer.backend, golden, DEFAULT_LIMITS["int8"])
        figures = {row.measure: row.figure for row in compared if row.part == CHAIN}
        # The largest with flipped transitions; the mean without, because dives that flip are counted beside it.
        largest = max(figures.get("score_max", 0.0), figures.get("score_any", 0.0))
        flips = figures.get("flips", 0.0) + figures.get("ties", 0.0)
        rows.append((each.name, len(golden.clips), figures["score_mean"], largest, flips))
    return make_table(
        "score differences from PyTorch in float32, points",
        {"candidate": "", "clips": "d", "mean": ".2g", "largest": ".2g", "flipped transitions": ".0%"},
        rows,
        "Of the clips that the bundle carries to be verified with: too few for an accuracy.",
    )
