"""Repeat what ``make demo`` does (render, train ``tiny``, evaluate on held-out dives) with several seeds.

    python tools/demo_seeds.py --seeds 0 1 2 --write docs/results/tiny_seeds.md

Each seed renders other dives and trains from other weights. What an interrupted run finished is not done again.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.data.rendered_dives import RenderSettings, render_dataset
from mcore.evaluation.report import METRICS, EvaluationSummary, read_summary
from mcore.evaluation.tables import markdown_table, with_interval
from mcore.synthetic import DEMO_NUMBERS

COLUMNS = {
    "srcc": "SRCC",
    "mae_points": "MAE, points",
    "mae_award": "MAE, award",
    "aiou_50": "AIoU@0.5",
    "aiou_75": "AIoU@0.75",
    "boundary_error_mean_frames": "boundaries, mean frames",
}
WITH_BASELINE = ("srcc", "mae_points", "boundary_error_mean_frames")
"""Metrics whose baseline has a column of its own."""


@dataclass(frozen=True)
class Options:
    """Options of the repetitions."""

    out: Path = Path("demo/seeds")
    """Folder of dives and runs."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds, each for the dives and for the training."""
    dive_numbers: tuple[str, ...] = DEMO_NUMBERS
    """Dive numbers to render."""
    dives_per_number: int = 60
    """Dives of each number."""
    epochs: int | None = None
    """Epochs instead of the preset's."""
    write: Path | None = None
    """Markdown file for the table; it is always printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = sys.argv[1:] if argv is None else list(argv)
    prog = "python tools/demo_seeds.py"
    command = shlex.join([*prog.split(), *given])
    return run_command_line(Options, lambda options: run(options, command), prog=prog, doc=__doc__, argv=given)


def run(options: Options, command: str) -> int:
    """Repeat, print the table and write it; ``command`` stands above it."""
    summaries = {seed: run_seed(seed, options) for seed in options.seeds}
    text = markdown(summaries, options, command)
    print(text)
    if options.write is not None:
        write_text(options.write, text)
    return 0


def run_seed(seed: int, options: Options) -> EvaluationSummary:
    """Render, train and evaluate with one seed; finished steps are read back, not repeated."""
    folder = options.out / str(seed)
    manifest, run_dir = folder / "dives" / "manifest.jsonl", folder / "run"
    if not manifest.exists():
        settings = RenderSettings(options.dive_numbers, options.dives_per_number, seed, width=180, height=180)
        render_dataset(folder / "dives", settings)
    if not (run_dir / "test" / METRICS).exists():
        epochs = [] if options.epochs is None else ["--epochs", options.epochs]
        recipe = [
            "--preset",
            "tiny",
            "--pretrained",
            "poses",
            "--seed",
            seed,
            "--device",
            "cpu",
            "--overwrite",
            *epochs,
        ]
        _python("mcore.train", "--data", manifest, "--out", run_dir, *recipe)
        _python("mcore.evaluate", run_dir / "best.pt", "--data", manifest, "--device", "cpu")
    return read_summary(run_dir / "test" / METRICS)


def markdown(summaries: dict[int, EvaluationSummary], options: Options, command: str) -> str:
    """The table, with what is needed to read and to repeat it."""
    head = ["seed"]
    for name, title in COLUMNS.items():
        head += [title, "baseline"] if name in WITH_BASELINE else [title]
    rows = [[str(seed), *_cells(summary)] for seed, summary in summaries.items()]
    dives = next(iter(summaries.values())).num_dives
    cpu = f"{os.cpu_count()}-core CPU ({platform.machine()}), torch {torch.__version__}"
    paragraphs = [
        "# The `tiny` preset by seed",
        f"{options.dives_per_number} rendered dives of each of {' '.join(options.dive_numbers)}; {dives} held-out test "
        "dives a seed. Each seed renders other dives. Backbones start from the same weights of poses, all else from "
        "others. The checkpoint is the one of the best validation SRCC. In brackets: bootstrap 95 % intervals over the "
        "test dives. Baselines: mean training "
        "score of the dive number; median training transitions. Boundaries are in sampled frames.",
        f"{date.today().isoformat()}, {cpu}:",
        f"    {command}",
        "\n".join(markdown_table(head, rows)),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _cells(summary: EvaluationSummary) -> list[str]:
    cells = []
    for name in COLUMNS:
        row = summary.metrics[name]
        figures = [row.model, row.baseline] if name in WITH_BASELINE else [row.model]
        cells += [with_interval(figure) for figure in figures]
    return cells


def _python(module: str, *arguments: object) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise UserError(f"{shlex.join(command)} failed with exit code {code}")


if __name__ == "__main__":
    sys.exit(main())
