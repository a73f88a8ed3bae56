"""Compare runs on the dives that all of them scored: settings, metrics, and differences to the first run.

    python -m mcore.compare runs/first runs/second --out runs/comparison

A run is the folder of a training with its evaluation in it, or an evaluation alone. All runs are resampled alike, so
that a difference has an interval of its own, which says more than two intervals side by side.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.data.cache_folder import check_folder
from mcore.evaluation.comparison import compare_runs
from mcore.evaluation.comparison_report import report_comparison
from mcore.evaluation.run_folders import read_runs


@dataclass(frozen=True)
class Options:
    """Options of a comparison of runs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs, at least two; the others are compared with the first."""
    out: Path
    """Folder for comparison.json, comparison.md and comparison.png."""
    split: Literal["val", "test"] = "test"
    """Dives whose evaluation is compared."""
    num_resamples: int = 1000
    """Resamples of each interval."""
    seed: int = 0
    """Seed of the resampling."""

    def __post_init__(self) -> None:
        if self.num_resamples < 1:
            raise UserError(f"--num-resamples {self.num_resamples}; at least 1")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command_line(Options, _run, prog="python -m mcore.compare", doc=__doc__, argv=argv)


def _run(options: Options) -> int:
    check_folder(options.out, "--out", "choose another --out DIR")
    runs = read_runs(list(options.runs), options.split)
    comparison = compare_runs(runs, num_resamples=options.num_resamples, seed=options.seed)
    settings = {"split": options.split, "num_resamples": options.num_resamples, "seed": options.seed}
    report_comparison(comparison, options.out, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
