"""Which figures of a run to doubt: groups on a noisy machine, and contenders whose times scatter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mcore_bench.timing import Group, Row, supports

VARIATION = 0.2
"""Coefficient of variation that a calm machine stays below: 0.17 was the largest of 192 rows of four calm runs."""
TAIL = 2.0
"""Times the median above which a 99th percentile is pointed out, where there are runs enough for it: of fewer than a
hundred, a single slow one would lift it far."""


def warnings_of_groups(groups: Iterable[Group]) -> tuple[str, ...]:
    """Say which groups were measured on a noisy machine, and which contenders' times scatter; empty: all is steady."""
    return tuple(line for group in groups for line in (*_noise(group), *_scatter(group)))


def _noise(group: Group) -> Iterator[str]:
    if group.conditions is not None:
        for warning in group.conditions.warnings:
            yield f"{group.title}: {warning}"


def _scatter(group: Group) -> Iterator[str]:
    for row in group.rows:
        if (doubt := _doubt(row)) is not None:
            t = row.timing
            yield (
                f"{group.title}: {row.name} {doubt} (median {t.median_ms:.3g} ms, 99th percentile {t.p99_ms:.3g} ms, "
                f"{t.runs} runs)"
            )


def _doubt(row: Row) -> str | None:
    t = row.timing
    if t.variation > VARIATION:
        return f"scatters by {t.variation:.0%}"
    if supports(t.runs, 99) and t.p99_ms > TAIL * t.median_ms:
        return f"takes {t.p99_ms / t.median_ms:.1f} times as long once in a hundred runs"
    return None
