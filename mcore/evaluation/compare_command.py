"""Compare runs on the dives that all of them scored: settings, metrics, and differences to the first run.

Run it with ``python -m mcore.compare runs/first runs/second --out runs/comparison``. A run is the folder of a
training with its evaluation in it, or an evaluation alone. All runs are resampled alike, so that a difference has an
interval of its own, which says more than two intervals side by side.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.data.clip_files import check_folder
from mcore.evaluation.assessment import TRANSITION_METRICS, Figure
from mcore.evaluation.files import with_interval
from mcore.evaluation.plots import comparison_plot
from mcore.evaluation.run_comparison import Metric, RunComparison, compare_runs
from mcore.evaluation.run_folders import read_runs

JSON, MARKDOWN, PICTURE = "comparison.json", "comparison.md", "comparison.png"


@dataclass(frozen=True)
class Options:
    """What to compare."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs, at least two; the others are compared with the first."""
    out: Path
    """Folder for comparison.json, comparison.md and comparison.png."""
    split: Literal["val", "test"] = "test"
    """Dives whose evaluation is compared."""
    num_resamples: int = 1000
    """Resamples of each interval."""
    seed: int = 0
    """Of the resampling."""


def run_arguments(arguments: list[str]) -> int:
    """Compare as the command line says; returns the exit code."""
    options = tyro.cli(
        Options,
        args=arguments,
        prog="python -m mcore.compare",
        description=__doc__,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    if options.num_resamples < 1:
        raise UserError(f"--num-resamples {options.num_resamples}; at least 1")
    check_folder(options.out, "--out", "choose another --out DIR")
    runs = read_runs(list(options.runs), options.split)
    comparison = compare_runs(runs, num_resamples=options.num_resamples, seed=options.seed)
    tables = _tables(comparison, options.split)
    console = Console()
    for title, head, rows in tables:
        console.print(_rich_table(title, head, rows))
    if TRANSITION_METRICS[0].name not in comparison.metrics:
        print("transitions are not compared: they are not labelled, or the runs sample other frames")
    write_text(options.out / JSON, json.dumps(_as_json(comparison, options), indent=2) + "\n")
    write_text(options.out / MARKDOWN, "\n".join(_markdown(*table) for table in tables))
    comparison_plot(options.out / PICTURE, [run.name for run in runs], _panels(comparison))
    for name in (JSON, MARKDOWN, PICTURE):
        print(options.out / name)
    return 0


_Rows = list[list[str]]


def _tables(comparison: RunComparison, split: str) -> list[tuple[str, list[str], _Rows]]:
    """Title, head and rows of each table."""
    names = [run.name for run in comparison.runs]
    metrics = comparison.metrics.values()
    dives = f"{comparison.num_dives} {split} dives that all runs scored"
    only = [f"{len(run.dives) - comparison.num_dives} in {run.name}" for run in comparison.runs]
    if any(len(run.dives) > comparison.num_dives for run in comparison.runs):
        dives += f" (left out: {', '.join(only)})"
    settings = [[name, *map(_setting, values)] for name, values in comparison.settings.items()]
    return [
        ("Settings that differ", ["setting", *names], settings or [["none", *([""] * len(names))]]),
        (
            f"{dives} [95 %]",
            ["↑ higher, ↓ lower is better", *names],
            [[_title(metric), *map(with_interval, metric.figures)] for metric in metrics],
        ),
        (
            f"less {names[0]}, on the same resamples [95 %]; * without 0",
            ["difference", *names[1:]],
            [[_title(metric), *map(_difference, metric.differences)] for metric in metrics],
        ),
    ]


def _title(metric: Metric) -> str:
    return f"{metric.title} {'↑' if metric.higher_is_better else '↓'}"


def _difference(figure: Figure) -> str:
    clear = figure.low is not None and figure.high is not None and (figure.low > 0 or figure.high < 0)
    return f"{with_interval(figure)}{' *' if clear else ''}"


def _setting(value: Any) -> str:
    """A setting as JSON writes it, without quotes; empty where a run does not say."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _rich_table(title: str, head: list[str], rows: _Rows) -> Table:
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(head):
        table.add_column(name, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _markdown(title: str, head: list[str], rows: _Rows) -> str:
    lines = [f"**{title}**", "", f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _panels(comparison: RunComparison) -> list[tuple[str, list[Figure]]]:
    """Metrics that every run has a figure of."""
    metrics = comparison.metrics.values()
    known = [metric for metric in metrics if all(figure.value is not None for figure in metric.figures)]
    return [(_title(metric), list(metric.figures)) for metric in known]


def _as_json(comparison: RunComparison, options: Options) -> dict[str, Any]:
    names = [run.name for run in comparison.runs]
    return {
        "runs": {run.name: {"folder": str(run.folder), "num_dives": len(run.dives)} for run in comparison.runs},
        "reference": names[0],
        "split": options.split,
        "num_common_dives": comparison.num_dives,
        "num_resamples": options.num_resamples,
        "seed": options.seed,
        "interval_level": 0.95,
        "settings": {name: dict(zip(names, values, strict=True)) for name, values in comparison.settings.items()},
        "metrics": {
            name: {
                "higher_is_better": metric.higher_is_better,
                "figures": {n: asdict(f) for n, f in zip(names, metric.figures, strict=True)},
                "differences": {n: asdict(f) for n, f in zip(names[1:], metric.differences, strict=True)},
            }
            for name, metric in comparison.metrics.items()
        },
    }
