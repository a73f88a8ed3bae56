"""One run against an older one: by ratios, because milliseconds of two runs do not compare."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mcore_bench.contenders import COPIES, OTHER_NETWORKS
from mcore_bench.environment import Environment
from mcore_bench.result import Result
from mcore_bench.timing import Row

WORSE = 0.93
"""Share of its old value below which a ratio lost ground: two calm runs of the same code differed by 3.4 % at most, and
the smallest step that was worth its code gained 7 %."""
_DIFFERENT_WORK = ("video of ", OTHER_NETWORKS, COPIES)
"""Groups whose contenders do not do the same work, so that no ratio of theirs is better when it is larger."""


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

    @property
    def same_work(self) -> bool:
        """Whether the contender and its baseline do the same work."""
        return not self.name.startswith(_DIFFERENT_WORK)

    @property
    def lost(self) -> bool:
        """Whether it is worse by more than calm runs differ."""
        return self.same_work and self.relative < WORSE


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


@dataclass(frozen=True)
class Differences:
    """In what two runs differ besides the code; lines such as ``threads: was 1, is 2``."""

    setting: tuple[str, ...]
    """Processor, threads, GPU, memory: with any of them, ratios differ without a change of the code."""
    software: tuple[str, ...]
    """Versions: a change of a ratio may be theirs."""


def differences(old: Environment, old_command: str, new: Environment, new_command: str) -> Differences:
    """Compare where and how two runs were measured.

    Args:
        old: environment of the older run.
        old_command: as its result has it.
        new: environment of the newer run.
        new_command: as its result has it.
    """
    identities = (old.processor_id, new.processor_id)
    known = all(identities)  # older results have the name only
    setting = {
        "processor": tuple(f"{e.processor} {e.processor_id if known else ''}".strip() for e in (old, new)),
        "threads": (old.threads, new.threads),
        "GPU": (old.gpu or "none", new.gpu or "none"),
        "freed memory": tuple(_memory(command) for command in (old_command, new_command)),
    }
    names = dict.fromkeys([*old.versions, *new.versions])
    software: dict[str, tuple[object, ...]] = {
        name: tuple(e.versions.get(name, "not there") for e in (old, new)) for name in names
    }
    if max(old.threads, new.threads) > 1:  # one thread waits for none
        software["OMP_WAIT_POLICY"] = tuple(e.omp_wait_policy or "not set" for e in (old, new))
    return Differences(_differing(setting), _differing(software))


def _memory(command: str) -> str:
    return "kept" if "--keep-freed-memory" in shlex.split(command) else "given back"


def _differing(pairs: Mapping[str, tuple[object, ...]]) -> tuple[str, ...]:
    return tuple(f"{name}: was {old}, is {new}" for name, (old, new) in pairs.items() if old != new)
