"""Accuracy at an equal budget: the three shifts of one ablation, trained alike, beside what single trainings reached.

Reads ablation.json of ``python -m mcore.ablate``; of its variants only those that change the network's operations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from mcore.common.errors import UserError
from mcore.config import ShiftKind
from mcore_bench.account import GIGA, VariantCost

SHIFTS: dict[str, ShiftKind] = {"base": "gated", "tsm": "tsm", "no-shift": "none"}
"""Variants of an ablation by the shift of their network."""
_OF_NETWORK = "--model"
"""A training flag that begins so changes the network, whose operations are not those of its preset then."""


@dataclass(frozen=True)
class Shifted:
    """Trainings of one shift."""

    shift: ShiftKind
    srcc: tuple[float, ...]
    """By seed."""
    mean: float
    deviation: float
    """Standard deviation over the seeds."""
    gains: tuple[float, ...]
    """Against the gated shift of the same seed; empty: it is that one."""


@dataclass(frozen=True)
class EqualBudget:
    """Trainings that differ in the shift only."""

    preset: str
    own_network: bool
    """Whether its network is the preset's."""
    data: str
    split: str
    epochs: int
    seeds: tuple[int, ...]
    rows: tuple[Shifted, ...]


def read_budget(path: Path) -> EqualBudget:
    """Read an ablation's file.

    Raises:
        UserError: it cannot be read, is none, or lacks the three shifts.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = {row["variant"]: row for row in values["rows"] if row["variant"] in SHIFTS}
        if missing := SHIFTS.keys() - found.keys():
            raise UserError(f"{path} lacks {', '.join(sorted(missing))}; ablate with these variants, or leave it out")
        seeds = tuple(values["seeds"])
        if any(len(row["figures"]["srcc"]["values"]) != len(seeds) for row in found.values()):
            raise ValueError("a variant lacks a seed")
        own = not any(flag.startswith(_OF_NETWORK) for flag in values["train_flags"])
        rows = tuple(_shifted(found[variant], shift) for variant, shift in SHIFTS.items())
        return EqualBudget(values["preset"], own, values["data"], values["split"], int(values["epochs"]), seeds, rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no ablation.json of this version ({error!r})") from error


def _shifted(row: dict[str, dict[str, dict[str, list[float]]]], shift: ShiftKind) -> Shifted:
    srcc, gain = row["figures"]["srcc"], row["srcc_gain"]
    values, gains = srcc["values"], () if gain is None else gain["values"]
    return Shifted(shift, tuple(values), float(srcc["mean"]), float(srcc["deviation"]), tuple(gains))  # type: ignore[arg-type]


def told(found: EqualBudget) -> str:
    """Say what was alike, and how much so few seeds can say."""
    count = len(found.seeds)
    agree = 2 ** (count - 1)
    return (
        f"Trained alike ({found.preset} preset, {found.epochs} epochs, list {found.data}, {count} seeds), so that only "
        "the shift differs: not to be held against figures of other networks, lists or epochs. "
        f"Chance alone gives {count} seeds the same sign in one case of {agree}; a difference below the "
        "seeds' deviation ranks nothing."
    )


def table(found: EqualBudget, variants: Sequence[VariantCost]) -> Table:
    """Return the shifts as a table.

    Args:
        found: from ``read_budget``.
        variants: counted; those of the preset's name give operations and parameters.
    """
    costs = {v.shift: v for v in variants if found.own_network and v.backbone == found.preset}
    rows = Table("shift", title="shifts at an equal budget", title_justify="left")
    headings = (
        "M parameters",
        "GMAC a dive",
        f"SRCC by seed, {found.split}",
        "mean ± deviation",
        "minus gated, by seed",
    )
    for heading in headings:
        rows.add_column(heading, justify="right")
    for row in found.rows:
        cost = costs.get(row.shift)
        work = ("", "") if cost is None else (f"{cost.parameters / 1e6:.3f}", f"{cost.dive_macs / GIGA:.4f}")
        values = ", ".join(f"{value:.3f}" for value in row.srcc)
        gains = ", ".join(f"{gain:+.3f}" for gain in row.gains)
        rows.add_row(row.shift, *work, values, f"{row.mean:.3f} ± {row.deviation:.3f}", gains)
    return rows
