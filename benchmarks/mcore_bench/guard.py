"""The guard against lost speed: ratios of one device, kept beside the code, and compared by ``make bench``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mcore.errors import UserError
from mcore.files import write_text
from mcore_bench.history import named_rows, ratios
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


@dataclass(frozen=True)
class Verdict:
    """What became of the ratios to hold."""

    lost: tuple[str, ...]
    notes: tuple[str, ...]
    """What could not be held: another processor, or engines that are not here."""


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


def read_baseline(path: Path) -> Baseline:
    """Read the ratios to hold; cheap, so do it before measuring.

    Raises:
        UserError: the file cannot be read, or is something else.
    """
    try:
        return Baseline(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"cannot read the ratios to hold from {path}: {error}") from error


def check(kept: Baseline, result: Result) -> Verdict:
    """Compare a run with the ratios to hold.

    Raises:
        UserError: the run has none of them.
    """
    processor = result.environment.processor
    if processor != kept.processor:
        note = f"nothing is held: the ratios are those of {kept.processor}, this is {processor}; --keep makes its own"
        return Verdict((), (note,))
    best = {name: row.speedup.high for name, row in named_rows(result) if row.speedup is not None}
    if not best.keys() & kept.ratios.keys():
        raise UserError("none of the ratios to hold was measured: peers are measured with --checkpoint")
    lost, notes = [], []
    for name, ratio in kept.ratios.items():
        if name not in best:
            notes.append(f"{name}: was x{ratio:.2f}, was not measured here")
        elif best[name] < WORSE * ratio:
            lost.append(f"{name}: was x{ratio:.2f}, is x{best[name]:.2f} at best")
    return Verdict(tuple(lost), tuple(notes))
