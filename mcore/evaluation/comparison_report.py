"""Report of a comparison of runs: tables on the terminal, comparison.json, comparison.md, comparison.png."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from mcore.common.files import write_text
from mcore.common.typed_json import encode
from mcore.evaluation.assessment import TRANSITION_METRICS, Figure
from mcore.evaluation.comparison import RunComparison
from mcore.evaluation.plots import comparison_plot
from mcore.evaluation.tables import TitledTable, markdown_sections, rich_table, with_arrow, with_interval

JSON, MARKDOWN, PICTURE = "comparison.json", "comparison.md", "comparison.png"


def report_comparison(comparison: RunComparison, out: Path, settings: dict[str, Any]) -> None:
    """Print the tables, and write them, the figures and a picture.

    Args:
        comparison: what was found.
        out: folder, made where it is missing.
        settings: what else comparison.json says: ``split``, ``num_resamples``, ``seed``.
    """
    tables = _tables(comparison, settings["split"])
    console = Console()
    for table in tables:
        console.print(rich_table(*table))
    if TRANSITION_METRICS[0].name not in comparison.metrics:
        print("transitions are not compared: they are not labelled, or the runs sample other frames")
    write_text(out / JSON, encode(_as_json(comparison, settings), indent=2) + "\n")
    write_text(out / MARKDOWN, "\n".join(markdown_sections(tables)))
    metrics = [each for each in comparison.metrics.values() if all(f.value is not None for f in each.figures)]
    panels = [(with_arrow(each.title, each.higher_is_better), each.figures) for each in metrics]
    comparison_plot(out / PICTURE, [run.name for run in comparison.runs], panels)
    for name in (JSON, MARKDOWN, PICTURE):
        print(out / name)


def _tables(comparison: RunComparison, split: str) -> list[TitledTable]:
    names = [run.name for run in comparison.runs]
    dives = f"{comparison.num_dives} {split} dives that all runs scored"
    if any(len(run.dives) > comparison.num_dives for run in comparison.runs):
        only = [f"{len(run.dives) - comparison.num_dives} in {run.name}" for run in comparison.runs]
        dives += f" (left out: {', '.join(only)})"
    settings = [[name, *map(_setting, values)] for name, values in comparison.settings.items()]
    figures, differences = [], []
    for metric in comparison.metrics.values():
        title = with_arrow(metric.title, metric.higher_is_better)
        figures.append([title, *map(with_interval, metric.figures)])
        differences.append([title, *map(_difference, metric.differences)])
    return [
        ("Settings that differ", ["setting", *names], settings or [["none", *([""] * len(names))]]),
        (f"{dives} [95 %]", ["↑ higher, ↓ lower is better", *names], figures),
        (f"less {names[0]}, on the same resamples [95 %]; * without 0", ["difference", *names[1:]], differences),
    ]


def _difference(figure: Figure) -> str:
    clear = figure.low is not None and figure.high is not None and (figure.low > 0 or figure.high < 0)
    return f"{with_interval(figure)}{' *' if clear else ''}"


def _setting(value: Any) -> str:
    """A setting as JSON writes it, without quotes; empty where a run does not say."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _as_json(comparison: RunComparison, settings: dict[str, Any]) -> dict[str, Any]:
    names = [run.name for run in comparison.runs]
    return {
        "runs": {run.name: {"folder": str(run.folder), "num_dives": len(run.dives)} for run in comparison.runs},
        "reference": names[0],
        **settings,
        "num_common_dives": comparison.num_dives,
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
