"""Pictures of a run, as SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from mcore._optional import require
from mcore_bench.limit import LayerReport
from mcore_bench.timing import Group

_SVG = {"svg.fonttype": "none", "svg.hashsalt": "mcore"}
"""Text, not outlines; and names of clips and markers that are the same each time."""
_BAR_INCHES = 0.32
_SHOWN = 14
_FAR = 20.0
"""Ratios beyond this are drawn on a logarithmic axis."""


def speedups(group: Group) -> str:
    """Times as fast as the baseline, with quartiles."""
    rows = group.rows[::-1]
    values = [1.0 if row.speedup is None else row.speedup.median for row in rows]
    low = [0.0 if row.speedup is None else row.speedup.median - row.speedup.low for row in rows]
    high = [0.0 if row.speedup is None else row.speedup.high - row.speedup.median for row in rows]
    figure, axes = _figure(len(rows))
    axes.barh([row.name for row in rows], values, xerr=[low, high], color="#1769c4", ecolor="#14202c", capsize=3)
    if max(values) > _FAR * min(values):
        axes.set_xscale("log")
    axes.axvline(1, color="0.4", linewidth=1)
    axes.set_xlabel(f"times as fast as {group.baseline}, median and quartiles")
    return _svg(figure)


def milliseconds(group: Group) -> str:
    """Median and 95th percentile."""
    rows = group.rows[::-1]
    figure, axes = _figure(len(rows))
    names = [row.name for row in rows]
    axes.barh(names, [row.timing.p95_ms for row in rows], color="#d9e1e8", label="95th percentile")
    axes.barh(names, [row.timing.median_ms for row in rows], color="#0b8574", label="median")
    axes.set_xlabel("milliseconds")
    axes.legend(fontsize=8, loc="lower right")
    return _svg(figure)


def layers(report: LayerReport) -> str:
    """Time of groups of layers, and the floor of each."""
    groups = report.groups[:_SHOWN][::-1]
    figure, axes = _figure(len(groups))
    names = [group.name for group in groups]
    axes.barh(names, [group.ms for group in groups], color="#f2a531", label="measured")
    axes.barh(names, [group.floor_ms for group in groups], color="#14202c", label="floor")
    axes.set_xlabel("milliseconds of one clip")
    axes.legend(fontsize=8, loc="lower right")
    return _svg(figure)


def pareto(points: Sequence[tuple[str, float, float]]) -> str:
    """Variants by GMAC and parameters: name, GMAC of a pass, millions of parameters."""
    figure, axes = _figure(12)
    for name, gmac, parameters in points:
        axes.plot(gmac, parameters, "o", color="#1769c4")
        axes.annotate(name, (gmac, parameters), fontsize=7, xytext=(4, 2), textcoords="offset points")
    axes.set_xscale("log")
    axes.set(xlabel="GMAC of one pass over a clip", ylabel="millions of parameters")
    return _svg(figure)


def _figure(bars: int) -> tuple[Any, Any]:
    figure_module = require("matplotlib.figure", "bench", "Drawing the page")
    figure = figure_module.Figure(figsize=(8.2, 1.0 + _BAR_INCHES * bars), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Any) -> str:
    text = io.StringIO()
    with require("matplotlib", "bench", "Drawing the page").rc_context(_SVG):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
