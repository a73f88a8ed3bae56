"""The guard against lost speed: ratios of one device, kept beside the code, and compared by ``make bench``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mcore.errors import UserError
from mcore.files import write_text
from mcore_bench.history import groups_of, ratios
from mcore_bench.result import Result

WORSE = 0.75
"""A contender lost ground when three quarters of its rounds are below this share of the kept ratio."""
_GUARDED = ("backbone and its peers", "dive, from network input to score, and its peers")
"""Groups whose ratios say something of our code; the others compare engines with each other."""


@dataclass(frozen=True)
class Baseline:
    """Ratios worth keeping."""

    processor: str
    date: str
    command: str
    ratios: dict[str, float]
    """By group and contender, how many times as fast as the group's baseline."""


def keep(path: Path, result: Result) -> None:
    """Write a run's ratios as the ones to be held.

    Raises:
        UserError: the run has no peers, or the place cannot be written to.
    """
    found = {name: ratio for name, ratio in ratios(result).items() if name.startswith(_GUARDED)}
    if not found:
        raise UserError("nothing to guard: peers are measured with --checkpoint")
    environment = result.environment
    baseline = Baseline(environment.processor, environment.date, result.command, found)
    write_text(path, json.dumps(asdict(baseline), indent=2) + "\n")


def lost(path: Path, result: Result) -> Iterator[str]:
    """Say which of the kept ratios a run lost, or no longer has.

    Raises:
        UserError: the file cannot be read, or the run has no peers.
    """
    try:
        kept = Baseline(**json.loads(path.read_text(encoding="utf-8"))).ratios
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"cannot read the ratios to hold from {path}: {error}") from error
    best = {
        f"{group.title}: {row.name} over {group.baseline}": row.speedup.high
        for group in groups_of(result)
        for row in group.rows
        if row.speedup is not None
    }
    if not best.keys() & kept.keys():
        raise UserError(f"nothing of {path} was measured: peers are measured with --checkpoint")
    for name, ratio in kept.items():
        if name not in best:
            yield f"{name}: was x{ratio:.2f}, was not measured"
        elif best[name] < WORSE * ratio:
            yield f"{name}: was x{ratio:.2f}, is x{best[name]:.2f} at best"
