"""Widths of conformal intervals: the same for all dives, by the difficulty, or by the exemplars' standard deviation.

Each kind is fitted on one evaluation and measured on another, over random halves of both together too, because a
single split of so few dives says little. Run it after both evaluations of a checkpoint:

    python tools/interval_scales.py runs/replica/val runs/replica/test
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray

from mcore.common.command_line import run_command_line
from mcore.common.conformal import LEVEL, conformal_interval
from mcore.common.errors import UserError

NUM_HALVES = 500
_FLOOR_POINTS = 1.0
"""Added to the deviation, so that exemplars that agree by chance do not promise certainty."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dives:
    """Columns of predictions.csv."""

    errors: Floats
    difficulties: Floats
    exemplar_std: Floats
    true: Floats

    def rows(self, chosen: NDArray[np.int64]) -> Dives:
        """Return some of the dives."""
        return Dives(self.errors[chosen], self.difficulties[chosen], self.exemplar_std[chosen], self.true[chosen])

    def scales(self) -> dict[str, Floats]:
        """Return what the width could follow, by name."""
        return {
            "none": np.ones_like(self.errors),
            "difficulty": self.difficulties,
            "exemplar std": self.exemplar_std + _FLOOR_POINTS,
        }


@dataclass(frozen=True)
class Row:
    """One kind of interval."""

    scale: str
    coverage: float
    """Share of the second evaluation's dives inside."""
    mean_half_width_points: float
    halves_coverage: float
    """The same, over random halves of both evaluations: mean."""
    halves_half_width_points: float
    by_difficulty: tuple[float, ...]
    """Coverage over the halves for the third of dives of least, middle and highest difficulty."""
    by_exemplar_std: tuple[float, ...]
    """The same by the exemplars' standard deviation."""


@dataclass(frozen=True)
class Options:
    """Options: the evaluations, and the file of the figures."""

    fit: Annotated[Path, tyro.conf.Positional]
    """Folder of the evaluation that the intervals are fitted on."""
    test: Annotated[Path, tyro.conf.Positional]
    """Folder of the evaluation that they are measured on."""
    write: Path | None = None
    """JSON file; the table is always printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/interval_scales.py``; returns 0, or 2 for a mistake."""
    return run_command_line(
        Options, lambda o: run(o.fit, o.test, o.write), prog="interval_scales.py", doc=__doc__, argv=argv
    )


def run(fit: Path, test: Path, write: Path | None) -> int:
    """Measure each kind; ``write`` is a JSON file."""
    first, second = read(fit), read(test)
    rows = [measure(scale, first, second) for scale in first.scales()]
    print("| width follows | coverage | half width | halves: coverage | half width | by difficulty | by exemplar std |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        parts = [" ".join(f"{value:.2f}" for value in part) for part in (row.by_difficulty, row.by_exemplar_std)]
        print(
            f"| {row.scale} | {row.coverage:.3f} | {row.mean_half_width_points:.1f} | {row.halves_coverage:.3f} | "
            f"{row.halves_half_width_points:.1f} | {parts[0]} | {parts[1]} |"
        )
    if write is not None:
        content = {
            "fit_dives": len(first.errors),
            "test_dives": len(second.errors),
            "rows": [asdict(row) for row in rows],
        }
        write.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


def read(folder: Path) -> Dives:
    """Read an evaluation's predictions."""
    try:
        with (folder / "predictions.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        deviation = "exemplar_std" if rows and "exemplar_std" in rows[0] else "exemplar_spread"  # of older versions
        columns = {
            name: np.array([float(row[name]) for row in rows])
            for name in ("predicted_score", "true_score", "difficulty", deviation)
        }
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{folder} is no evaluation whose dives all have a difficulty ({error})") from error
    errors = np.abs(columns["predicted_score"] - columns["true_score"])
    return Dives(errors, columns["difficulty"], columns[deviation], columns["true_score"])


def measure(scale: str, first: Dives, second: Dives) -> Row:
    """Fit on the first, measure on the second; then on random halves of both."""
    held, widths = _apply(scale, first, second)
    both = Dives(*(np.concatenate([a, b]) for a, b in zip(vars(first).values(), vars(second).values(), strict=True)))
    thirds = {name: _thirds(getattr(both, name)) for name in ("difficulties", "exemplar_std")}
    rng, halves = np.random.default_rng(0), []
    for _ in range(NUM_HALVES):
        order = rng.permutation(len(both.errors))
        known, new = order[: len(order) // 2], order[len(order) // 2 :]
        inside, half = _apply(scale, both.rows(known), both.rows(new))
        shares = [[inside[part[new] == third].mean() for third in range(3)] for part in thirds.values()]
        halves.append([inside.mean(), half.mean(), *shares[0], *shares[1]])
    means = np.nanmean(halves, axis=0).tolist()
    return Row(
        scale=scale,
        coverage=float(held.mean()),
        mean_half_width_points=float(widths.mean()),
        halves_coverage=means[0],
        halves_half_width_points=means[1],
        by_difficulty=tuple(means[2:5]),
        by_exemplar_std=tuple(means[5:8]),
    )


def _apply(scale: str, known: Dives, new: Dives) -> tuple[NDArray[np.bool_], Floats]:
    """Return which new dives an interval holds, and its half width for each."""
    ratios = known.errors / known.scales()[scale]
    found = conformal_interval(ratios, np.zeros_like(ratios), LEVEL)
    if found is None:
        raise UserError(f"{len(ratios)} dives are too few for an interval")
    widths = found.half_width_points * new.scales()[scale]
    return new.errors <= widths, widths


def _thirds(values: Floats) -> NDArray[np.int64]:
    """0, 1 or 2 for each dive: its third by rank."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return (ranks * 3 // max(1, math.ceil(len(values)))).astype(np.int64)


if __name__ == "__main__":
    raise SystemExit(main())
