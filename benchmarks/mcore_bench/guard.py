"""The guard against lost speed: ratios of one device, kept beside the code, and compared by ``make bench``.

Held are the bundle's own engines against the plain export of the same network on ONNX Runtime, in turns in one run.
Ratios to PyTorch move with the C library's memory, so they are kept for information only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore_bench.contenders import BACKBONE_PEERS, DIVE_PEERS, PLAIN
from mcore_bench.environment import Environment
from mcore_bench.history import WORSE, differences
from mcore_bench.result import Result
from mcore_bench.steadiness import warnings_of_groups
from mcore_bench.timing import Group
from mcore_runtime.backends.select import BACKENDS

FORMAT = 2
"""The first had ratios to the published procedure, and the processor's name only."""
GROUPS = (DIVE_PEERS, BACKBONE_PEERS)
"""Groups of ``mcore_bench.peers`` whose ratios say something of our code."""


@dataclass(frozen=True)
class Baseline:
    """Ratios worth keeping."""

    environment: Environment
    command: str
    held: Mapping[str, float]
    """By group and contender, how many times as fast as the plain export on ONNX Runtime."""
    information: Mapping[str, float]
    """The other ratios of these groups, to their own baselines; not held."""
    warnings: tuple[str, ...]
    """What made them doubtful; empty: nothing."""


@dataclass(frozen=True)
class Verdict:
    """What became of the ratios to hold."""

    lost: tuple[str, ...]
    notes: tuple[str, ...]
    """What could not be held, such as on another processor, or is to be doubted."""


def keep(path: Path, result: Result) -> Baseline:
    """Write a run's ratios as the ones to be held, and return them.

    Raises:
        UserError: the run has no peers, or the place cannot be written to.
    """
    groups = list(_groups(result))
    held = held_ratios(result)
    if not held:
        raise UserError(f"nothing to guard: {PLAIN} and the bundle's engines are peers, which --checkpoint measures")
    information = {
        f"{group.title}: {row.name} over {group.baseline}": row.speedup.median
        for group in groups
        for row in group.rows
        if row.speedup is not None
    }
    information = {name: ratio for name, ratio in information.items() if name not in held}
    kept = Baseline(result.environment, result.command, held, information, warnings_of_groups(groups))
    write_text(path, json.dumps({"format": FORMAT, **asdict(kept)}, indent=2) + "\n")
    return kept


def read_baseline(path: Path) -> Baseline:
    """Read the ratios to hold; cheap, so do it before measuring.

    Raises:
        UserError: the file cannot be read, is something else, or of an older format.
    """
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the ratios to hold from {path}: {error}") from error
    found = values.get("format", 1) if isinstance(values, dict) else None
    if found != FORMAT:
        raise UserError(
            f"{path} holds ratios of format {found}; this mcore-bench reads {FORMAT}. Measure them anew on a calm "
            'machine: make bench RATIOS="--keep benchmarks/baseline.json"'
        )
    try:
        environment = Environment(**values["environment"])
        return Baseline(
            environment, values["command"], values["held"], values["information"], tuple(values["warnings"])
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} has no ratios to hold ({type(error).__name__}: {error})") from error


def held_ratios(result: Result) -> dict[str, float]:
    """How many times as fast as the plain export the bundle's engines are, by group and contender."""
    return {
        f"{group.title}: {row.name} over {PLAIN}": _over(group, row.name)
        for group in _groups(result)
        if any(row.name == PLAIN for row in group.rows)
        for row in group.rows
        if row.name.split(" ")[0] in BACKENDS
    }


def check(kept: Baseline, result: Result) -> Verdict:
    """Compare a run with the ratios to hold.

    Raises:
        UserError: the run has none of them.
    """
    found = differences(kept.environment, kept.command, result.environment, result.command)
    if found.setting:
        note = f"nothing was held, because the ratios to hold are of another setting: {'; '.join(found.setting)}"
        return Verdict((), (f"{note}. --keep makes this one's own",))
    measured = held_ratios(result)
    if not measured.keys() & kept.held.keys():
        raise UserError("none of the ratios to hold was measured: peers are measured with --checkpoint")
    lost, notes = [], list(found.software)
    notes += [f"the ratios to hold are doubtful: {line}" for line in kept.warnings]
    for name, ratio in kept.held.items():
        if name not in measured:
            notes.append(f"{name}: was x{ratio:.2f}, was not measured here")
        elif measured[name] < WORSE * ratio:
            lost.append(f"{name}: was x{ratio:.2f}, is x{measured[name]:.2f}, {measured[name] / ratio - 1:.0%}")
    if lost:
        notes += [f"measure again before believing a loss: {line}" for line in warnings_of_groups(_groups(result))]
    return Verdict(tuple(lost), tuple(notes))


def _groups(result: Result) -> Iterator[Group]:
    return (group for measured in result.bundles for group in measured.groups if group.title in GROUPS)


def _over(group: Group, name: str) -> float:
    """Of rounds where the plain export is the group's own baseline, else of medians: rounds alternate, so both hold."""
    row = group.row(name)
    if group.baseline == PLAIN and row.speedup is not None:
        return row.speedup.median
    return group.row(PLAIN).timing.median_ms / row.timing.median_ms
