"""One run against an older one: by ratios, because milliseconds of two runs do not compare."""

from __future__ import annotations

from collections.abc import Iterator
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


def named_rows(result: Result, *, by_bundle: bool = False) -> Iterator[tuple[str, Row]]:
    """All contenders of a run by group, name and baseline; of several bundles, or ``by_bundle``, with the bundle."""
    groups = [
        (group, f" ({measured.bundle})" if by_bundle or len(result.bundles) > 1 else "")
        for measured in result.bundles
        for group in measured.groups
    ]
    if result.side_by_side is not None:
        groups.append((result.side_by_side, ""))
    for group, where in groups:
        for row in group.rows:
            yield f"{group.title}: {row.name} over {group.baseline}{where}", row


def ratios(result: Result, *, by_bundle: bool = False) -> dict[str, float]:
    """Every ratio of a run, by group and contender; ``by_bundle`` as for ``named_rows``."""
    rows = named_rows(result, by_bundle=by_bundle)
    return {name: row.speedup.median for name, row in rows if row.speedup is not None}


def changes(old: Result, new: Result) -> list[Change]:
    """Compare the ratios that both runs have, in the order of the new ones.

    Two runs of one bundle each are compared whatever their folders' names; else bundles of one name are.
    """
    by_bundle = len(old.bundles) > 1 or len(new.bundles) > 1
    before, after = (ratios(result, by_bundle=by_bundle) for result in (old, new))
    return [Change(name, before[name], value) for name, value in after.items() if name in before]
