"""A run as tables for a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from mcore_bench.account import FLOPS_A_MAC, GIGA, MEGA, Account, PartCost, VariantCost
from mcore_bench.accuracy import Accuracy
from mcore_bench.kernels import KernelReport
from mcore_bench.limit import KINDS, LayerGroup, LayerReport, Limits
from mcore_bench.pareto import Pareto, run_of
from mcore_bench.result import Measured, Result
from mcore_bench.throughput import Streams
from mcore_bench.timing import Group, Ratio, supports
from mcore_bench.words import absent_told, conditions_told, machine_told, memory_told, software_told

DASH = "\N{EM DASH}"
"""Stands where there is no figure."""
_SMALL_MS = 1.0
"""Times below it get three decimals."""
_LAYERS = 12
"""Groups of layers that are shown; the largest gaps come first."""


def show(console: Console, result: Result) -> None:
    """Print a run."""
    console.print(machine_told(result.environment), markup=False)
    console.print(software_told(result.environment), markup=False)
    for measured in result.bundles:
        _show_bundle(console, measured)
    if result.side_by_side is not None:
        console.print(group_table(result.side_by_side))


def _show_bundle(console: Console, measured: Measured) -> None:
    console.rule(f"{measured.bundle} ({measured.bundle_sha256[:12]})", align="left")
    for group in measured.groups:
        console.print(group_table(group))
    if measured.streams:
        console.print(streams_table(measured.streams))
    console.print(accuracy_table(measured.accuracy))
    if measured.peak_memory_mb:
        console.print(f"peak memory of a process that encodes clips: {memory_told(measured.peak_memory_mb)}")
    if measured.account is not None:
        console.print(account_table(measured.account))
    if measured.limits is not None:
        for limit_table in limit_tables(measured.limits):
            console.print(limit_table)
    if measured.gpu_limits is not None:
        for limit_table in limit_tables(measured.gpu_limits):
            console.print(limit_table)
    for kernel_table in kernel_tables(measured.kernels):
        console.print(kernel_table)
    console.print(f"conditions: {conditions_told(measured.conditions)}", markup=False)
    for line in (*absent_told(measured), *measured.conditions.warnings):
        console.print(f"note: {line}", style="yellow", markup=False)


def group_table(group: Group, more: Mapping[str, Mapping[str, str]] | None = None) -> Table:
    """One group of contenders.

    Args:
        group: measured in turns.
        more: further columns: heading, and cells by the name of the row.
    """
    table = Table(title=f"{group.title} (ratios to: {group.baseline})", title_justify="left")
    table.add_column("")
    headings = ("median ms", "p90", "p95", "p99", "mean", "variation", "cores", "runs", "times as fast")
    for heading in (*headings, *(more or {})):
        table.add_column(heading, justify="right")
    for row in group.rows:
        t = row.timing
        percentiles = [
            _ms(ms) if supports(t.runs, percentile) else DASH
            for percentile, ms in ((90, t.p90_ms), (95, t.p95_ms), (99, t.p99_ms))
        ]
        cells = [_ms(t.median_ms), *percentiles, _ms(t.mean_ms), f"{t.variation:.0%}", f"{t.cpu_cores:.1f}"]
        added = [column.get(row.name, "") for column in (more or {}).values()]
        table.add_row(row.name, *cells, str(t.runs), _told(spread(row.speedup)), *map(_told, added))
    return table


def _ms(ms: float) -> str:
    return f"{ms:.1f}" if ms >= _SMALL_MS else f"{ms:.3f}"


def _told(cell: str) -> str:
    return cell.replace("[", r"\[")  # no markup of rich's


def streams_table(streams: Sequence[Streams]) -> Table:
    """Clips a second of several streams at once."""
    table = Table("", title="clips a second, one thread for each stream", title_justify="left")
    for heading in ("streams", "clips a second"):
        table.add_column(heading, justify="right")
    for each in streams:
        table.add_row(each.name, str(each.streams), f"{each.clips_per_s:.2f}")
    return table


def accuracy_table(rows: Sequence[Accuracy]) -> Table:
    """Scores against PyTorch in float32."""
    table = Table("", title="rendered dives against each other, points from PyTorch in float32", title_justify="left")
    for heading in ("clips", "mean", "largest", "flipped transitions"):
        table.add_column(heading, justify="right")
    for row in rows:
        figures = f"{row.score_mean:.2g}", f"{row.score_largest:.2g}", f"{row.flips:.0%}"
        table.add_row(row.name, str(row.clips), *figures)
    return table


def spread(ratio: Ratio | None) -> str:
    """A ratio with its quartiles."""
    return "1" if ratio is None else f"x{ratio.median:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def account_table(account: Account) -> Table:
    """Operations and parameters."""
    table = Table(title=f"a dive with {account.exemplars} exemplars", title_justify="left")
    table.add_column("part")
    for heading in ("GMAC", "GFLOPs", "M parameters", "times deployed", "times published"):
        table.add_column(heading, justify="right")
    e = account.exemplars
    for part, deployed, published in (
        (account.backbone, 1, 2 * e),
        (account.segmenter, 1, 2 * e),
        (account.comparison, e, 2 * e),
    ):
        giga = part.macs / GIGA
        table.add_row(part.part, f"{giga:.3f}", f"{FLOPS_A_MAC * giga:.3f}", f"{part.parameters / 1e6:.2f}",
                      str(deployed), str(published))  # fmt: skip
    for name, macs in (("dive, deployed", account.deployed_macs), ("dive, published", account.published_macs)):
        table.add_row(name, f"{macs / GIGA:.2f}", f"{FLOPS_A_MAC * macs / GIGA:.2f}", f"{account.parameters / 1e6:.2f}",
                      "", "")  # fmt: skip
    table.caption = f"deployed is 1/{account.ratio:.1f} of published; counted as nothing: " + (
        ", ".join(account.uncounted) or "elementwise operators only"
    )
    return table


def layers_table(part: PartCost) -> Table:
    """Every layer of a part with its share of the operations."""
    table = Table(title=f"{part.part}, layer by layer", title_justify="left")
    table.add_column("layer")
    for heading in ("MMAC", "share", "parameters"):
        table.add_column(heading, justify="right")
    for layer in part.layers:
        table.add_row(layer.name, f"{layer.macs / MEGA:.3f}", f"{layer.macs / part.macs:.1%}", str(layer.parameters))
    rest = part.parameters - sum(layer.parameters for layer in part.layers)
    if rest:
        table.add_row("without products: normalisation", "0", "0%", str(rest))
    table.add_row("all", f"{part.macs / MEGA:.3f}", "100%", str(part.parameters))
    return table


def variants_table(rows: Sequence[VariantCost], found: Pareto | None = None) -> Table:
    """Operations and parameters of other configurations, and what a trained run of one reached."""
    table = Table(title="variants, one thing changed at a time", title_justify="left")
    for heading in ("backbone", "shift", "frames", "pixels", "M parameters", "GMAC a pass", "GMAC a dive"):
        table.add_column(heading, justify="left" if heading in ("backbone", "shift") else "right")
    if found is not None:
        table.add_column("SRCC of a trained run", justify="right")
    for row in rows:
        cells = [row.backbone, row.shift, str(row.frames), str(row.pixels), f"{row.parameters / 1e6:.2f}",
                 f"{row.pass_macs / GIGA:.3f}", f"{row.dive_macs / GIGA:.3f}"]  # fmt: skip
        if found is not None:
            run = run_of(row, found)
            cells.append("not trained" if run is None else f"{run.srcc.value:.3f} ({run.run})")
        table.add_row(*cells)
    return table


def limit_tables(limits: Limits) -> list[Table]:
    """The machine's limits, parts against their floors, and where the backbone's time goes."""
    of = f"this machine, threads: {limits.threads}" if limits.threads else "the GPU"
    peaks = Table(title=f"limits of {of}", title_justify="left")
    for heading in ("arithmetic", "best", "reached by"):
        peaks.add_column(heading)
    for peak in limits.peaks:
        peaks.add_row(peak.arithmetic, peak.rate, f"{peak.library}, {peak.size} x {peak.size}")
    peaks.add_row("copying", f"{limits.copy_gb_s:.1f} GB/s", "read and written")
    title = "parts against their floor" + ("" if limits.threads else " on the GPU")
    parts = Table("part", "on", "arithmetic", title=title, title_justify="left")
    for heading in ("measured ms", "floor ms", "set by", "reached"):
        parts.add_column(heading, justify="right")
    for each in limits.parts:
        by = "operations" if each.compute_floor_ms >= each.memory_floor_ms else "memory"
        ms = f"{each.measured_ms:.3g}", f"{each.floor_ms:.2g}"
        parts.add_row(each.part, each.contender, each.arithmetic, *ms, by, f"{each.reached:.0%}")  # fmt: skip
    tables = [peaks, parts]
    if limits.layers:
        reasons = Table("layers", "why above the floor", title="the backbone's layers by kind", title_justify="left")
        for kind in KINDS:
            if any(kind == each.name for report in limits.layers for each in report.kinds):
                reasons.add_row(kind, KINDS[kind])
        tables.append(reasons)
    for report in limits.layers:
        tables += [kinds_table(report), groups_table(report)]
    return tables


def kinds_table(report: LayerReport) -> Table:
    """The whole of a backbone's time by kind of layer."""
    table = Table("layers", title=f"backbone on {report.contender}: all of its time", title_justify="left")
    for heading in ("ms", "floor ms", "gap ms", "reached"):
        table.add_column(heading, justify="right")
    for each in (*report.kinds, report.total):
        figures = f"{each.ms:.1f}", f"{each.floor_ms:.1f}", f"{each.ms - each.floor_ms:.1f}", _reached(each)
        table.add_row(each.name, *figures)
    table.caption = profile_note(report)
    return table


def profile_note(report: LayerReport) -> str:
    """What the profile is of, and how it differs from the timed runs."""
    told = f"Floors of {report.arithmetic}. The profiler's nodes sum to {report.total.ms:.1f} ms"
    if report.timed_ms is not None:
        told += (
            f"; the same part takes {report.timed_ms:.1f} ms without it, in turns with the others (other runs, and "
            "what is between nodes)"
        )
    return f"{told}. {report.elsewise}." if report.elsewise else f"{told}."


def groups_table(report: LayerReport) -> Table:
    """Layers of one kind and size, the largest gaps first."""
    table = Table(title=f"backbone on {report.contender}: largest gaps first", title_justify="left")
    table.add_column("layers")
    for heading in ("ms", "share", "floor ms", "reached"):
        table.add_column(heading, justify="right")
    for group in report.groups[:_LAYERS]:
        figures = f"{group.ms:.1f}", f"{group.share:.0%}", f"{group.floor_ms:.1f}", _reached(group)
        table.add_row(group.name, *figures)
    return table


def _reached(group: LayerGroup) -> str:
    return f"{group.reached:.0%}" if group.floor_ms else DASH


def plain_cells(table: Table) -> list[list[str]]:
    """A table's rows without markup, its headings first, so that pages say what the terminal says."""
    console = Console(file=io.StringIO(), width=400)
    columns = [[str(c.header), *(console.render_str(str(cell)).plain for cell in c.cells)] for c in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def kernel_tables(reports: Sequence[KernelReport]) -> list[Table]:
    """What the GPU did during a call, and what its kernels were."""
    if not reports:
        return []
    table = Table(title="the GPU's time, copies included", title_justify="left")
    table.add_column("")
    for heading in ("kernels", "ms", "busy", "waiting", "longest wait us"):
        table.add_column(heading, justify="right")
    tables = [table]
    for report in reports:
        table.add_row(report.contender, str(report.kernels), f"{report.span_ms:.2f}", f"{report.busy_ms:.2f}",
                      f"{report.waiting:.1%}", f"{report.largest_gap_us:.0f}")  # fmt: skip
        longest = Table("kernel", title=f"kernels of: {report.contender}", title_justify="left")
        for heading in ("launches", "ms", "share"):
            longest.add_column(heading, justify="right")
        total_ms = sum(group.ms for group in report.groups)
        for group in report.groups:
            longest.add_row(group.name, str(group.launches), f"{group.ms:.3f}", f"{group.ms / total_ms:.0%}")
        tables.append(longest)
    return tables
