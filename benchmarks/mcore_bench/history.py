"""One run against an older one: by ratios, because milliseconds of two runs do not compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mcore_bench.result import Result
from mcore_bench.timing import Row


@dataclass(frozen=True)
class Change:
    """A ratio that both runs have."""

    name: str
    """Group and contender."""
    old: float
    new: float

    @property
    def relative(self) -> float:
        """New ratio over old: below 1, the contender lost ground to its baseline."""
        return self.new / self.old


def named_rows(result: Result) -> Iterator[tuple[str, Row]]:
    """All contenders of a run by group, name and baseline; of several bundles, with the bundle."""
    groups = [
        (group, f" ({measured.bundle})" if len(result.bundles) > 1 else "")
        for measured in result.bundles
        for group in measured.groups
    ]
    if result.side_by_side is not None:
        groups.append((result.side_by_side, ""))
    for group, where in groups:
        for row in group.rows:
            yield f"{group.title}: {row.name} over {group.baseline}{where}", row


def ratios(result: Result) -> dict[str, float]:
    """Every ratio of a run, by group and contender."""
    return {name: row.speedup.median for name, row in named_rows(result) if row.speedup is not None}


def changes(old: Mapping[str, float], new: Mapping[str, float]) -> Iterator[Change]:
    """Compare the ratios that both have, in the order of the new ones."""
    for name, value in new.items():
        if name in old:
            yield Change(name, old[name], value)
