"""One run against an older one: by ratios, because milliseconds of two runs do not compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mcore_bench.result import Result
from mcore_bench.timing import Group


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


def groups_of(result: Result) -> list[Group]:
    """All groups of contenders of a run."""
    groups = [group for measured in result.bundles for group in measured.groups]
    return groups if result.side_by_side is None else [*groups, result.side_by_side]


def ratios(result: Result) -> dict[str, float]:
    """Every ratio of a run, by group and contender."""
    return {
        f"{group.title}: {row.name} over {group.baseline}": row.speedup.median
        for group in groups_of(result)
        for row in group.rows
        if row.speedup is not None
    }


def changes(old: Mapping[str, float], new: Mapping[str, float]) -> Iterator[Change]:
    """Compare the ratios that both have, in the order of the new ones."""
    for name, value in new.items():
        if name in old:
            yield Change(name, old[name], value)
