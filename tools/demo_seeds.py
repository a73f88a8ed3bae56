"""Repeat what ``make demo`` does (render, train ``tiny``, evaluate on held-out dives) with several seeds.

Run it with ``python tools/demo_seeds.py --seeds 0 1 2 --threads 2 --write docs/tiny_seeds.md``: each seed
renders other dives and trains from other weights. What an interrupted run finished is not done again.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from mcore.common.errors import UserError, run_command
from mcore.synthetic import DEMO_NUMBERS, RenderSettings, render_dataset


@dataclass(frozen=True)
class Options:
    """What to repeat."""

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
    threads: int | None = None
    """Threads of the training; None leaves the choice to torch."""
    write: Path | None = None
    """Markdown file for the table; it is always printed."""


@dataclass(frozen=True)
class Result:
    """A seed's figures and times."""

    seed: int
    render_s: float
    train_s: float
    metrics: dict[str, Any]
    num_dives: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    options = tyro.cli(Options, args=argv, prog="python tools/demo_seeds.py", description=__doc__)
    results = []
    for seed in options.seeds:
        results.append(run_seed(seed, options))
        print(_row(results[-1]), flush=True)
    command = shlex.join(["python", "tools/demo_seeds.py", *(sys.argv[1:] if argv is None else argv)])
    text = markdown(results, options, command)
    print(text)
    if options.write is not None:
        options.write.write_text(text, encoding="utf-8")
    return 0


def run_seed(seed: int, options: Options) -> Result:
    """Render, train and evaluate with one seed; finished steps are read back, not repeated."""
    folder = options.out / str(seed)
    settings = RenderSettings(options.dive_numbers, options.dives_per_number, seed)
    render_s = _timed(folder / "render_s.json", lambda: render_dataset(folder / "dives", settings))
    manifest = folder / "dives" / "manifest.jsonl"
    run = folder / "run"
    more = [] if options.epochs is None else ["--epochs", str(options.epochs)]
    flags = ["--data", manifest, "--out", run, "--preset", "tiny", "--seed", seed, "--device", "cpu", *more]
    train_s = _timed(folder / "train_s.json", lambda: _python("mcore.train", [*flags, "--overwrite"], options))
    test = ["--data", manifest, "--out", run / "test", "--device", "cpu"]
    _python("mcore.evaluate", [run / "best.pt", *test], options)
    summary = json.loads((run / "test" / "metrics.json").read_text(encoding="utf-8"))
    return Result(seed, render_s, train_s, summary["metrics"], summary["num_dives"])


def markdown(results: Sequence[Result], options: Options, command: str) -> str:
    """The table, with what is needed to read and to repeat it."""
    numbers = " ".join(options.dive_numbers)
    cpu = f"{os.cpu_count()}-core CPU ({platform.machine()}), {options.threads or torch.get_num_threads()} threads"
    srcc = [result.metrics["srcc"]["model"]["value"] for result in results]
    mean = [result.metrics["srcc"]["yardstick"]["value"] for result in results]
    return "\n".join(
        [
            "# What the `tiny` preset reaches, by seed",
            "",
            f"{options.dives_per_number} rendered dives of each of {numbers}; {results[0].num_dives} held-out test "
            "dives a seed. Each seed renders other dives and starts from other weights. The checkpoint is the one "
            "of the best validation SRCC. In brackets: bootstrap 95 % intervals over the test dives. Yardsticks: "
            "mean training score of the dive number; median training transitions. Boundaries are in sampled "
            "frames. Times include whatever else the machine was doing.",
            "",
            f"{datetime.date.today().isoformat()}, {cpu}, torch {torch.__version__}:",
            "",
            f"    {command}",
            "",
            "| seed | SRCC | yardstick | MAE, points | yardstick | MAE, judge points | AIoU@0.5 | AIoU@0.75 | "
            "boundaries, mean | yardstick | render, s | train, s |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
            *map(_row, results),
            "",
            f"SRCC {min(srcc):.3f} to {max(srcc):.3f} against {min(mean):.3f} to {max(mean):.3f}; the smallest "
            f"margin of a seed is {min(a - b for a, b in zip(srcc, mean, strict=True)):.3f}.",
            "",
        ]
    )


def _row(result: Result) -> str:
    def cell(name: str, who: str, digits: int = 3) -> str:
        figure = result.metrics[name][who]
        if figure["low"] is None:
            return "undefined" if figure["value"] is None else f"{figure['value']:.{digits}f}"
        return f"{figure['value']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"

    cells = [
        str(result.seed),
        cell("srcc", "model"),
        cell("srcc", "yardstick"),
        cell("mae_points", "model", 1),
        cell("mae_points", "yardstick", 1),
        cell("mae_judge_points", "model", 2),
        cell("aiou_50", "model", 2),
        cell("aiou_75", "model", 2),
        cell("boundary_error_mean_frames", "model", 2),
        cell("boundary_error_mean_frames", "yardstick", 2),
        f"{result.render_s:.0f}",
        f"{result.train_s:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _timed(marker: Path, step: Any) -> float:
    """Seconds a step takes; a marker beside its output says that it went through, and how long it took."""
    if marker.exists():
        return float(json.loads(marker.read_text(encoding="utf-8")))
    started = time.monotonic()
    step()
    seconds = time.monotonic() - started
    marker.write_text(json.dumps(seconds), encoding="utf-8")
    return seconds


def _python(module: str, arguments: Sequence[object], options: Options) -> None:
    environment = dict(os.environ)
    if options.threads is not None:
        environment["OMP_NUM_THREADS"] = str(options.threads)
    command = [sys.executable, "-m", module, *map(str, arguments)]
    code = subprocess.run(command, env=environment, check=False).returncode
    if code:
        raise UserError(f"{shlex.join(command)} failed with exit code {code}")


if __name__ == "__main__":
    sys.exit(main())
