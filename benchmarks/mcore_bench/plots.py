"""Pictures of a run, as SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from mcore.common.optional import require
from mcore_bench.account import GIGA, VariantCost
from mcore_bench.limit import LayerReport
from mcore_bench.timing import Group, supports

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
    return as_svg(figure)


def milliseconds(group: Group) -> str:
    """Median, and the 95th percentile where there are runs enough for it."""
    rows = group.rows[::-1]
    figure, axes = _figure(len(rows))
    names = [row.name for row in rows]
    if all(supports(row.timing.runs, 95) for row in rows):
        axes.barh(names, [row.timing.p95_ms for row in rows], color="#d9e1e8", label="95th percentile")
    axes.barh(names, [row.timing.median_ms for row in rows], color="#0b8574", label="median")
    axes.set_xlabel("milliseconds")
    axes.legend(fontsize=8, loc="lower right")
    return as_svg(figure)


def layers(report: LayerReport) -> str:
    """Time of groups of layers, and the floor of each."""
    groups = report.groups[:_SHOWN][::-1]
    figure, axes = _figure(len(groups))
    names = [group.name for group in groups]
    axes.barh(names, [group.ms for group in groups], color="#f2a531", label="measured")
    axes.barh(names, [group.floor_ms for group in groups], color="#14202c", label="floor")
    axes.set_xlabel("milliseconds of one clip")
    axes.legend(fontsize=8, loc="lower right")
    return as_svg(figure)


def variants(rows: Sequence[VariantCost]) -> str:
    """Operations of a pass, and parameters beside each bar."""
    figure, axes = _figure(len(rows))
    names = [f"{row.backbone}, {row.shift}, {row.frames} frames, {row.pixels} px" for row in rows][::-1]
    bars = axes.barh(names, [row.pass_macs / GIGA for row in rows][::-1], color="#1769c4")
    axes.bar_label(bars, [f"{row.parameters / 1e6:.2f} M" for row in rows][::-1], fontsize=8, padding=3)
    axes.set_xscale("log")
    axes.set_xlim(right=2 * max(row.pass_macs for row in rows) / GIGA)  # room for the last label
    axes.set_xlabel("GMAC of one pass over a clip; beside it the network's parameters")
    return as_svg(figure)


def _figure(bars: int) -> tuple[Any, Any]:
    figure_module = require("matplotlib.figure", "bench", "Drawing the page")
    figure = figure_module.Figure(figsize=(8.2, 1.0 + _BAR_INCHES * bars), layout="constrained")
    return figure, figure.add_subplot()


def as_svg(figure: Any) -> str:
    """Return matplotlib's figure as SVG."""
    text = io.StringIO()
    with require("matplotlib", "bench", "Drawing the page").rc_context(_SVG):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
