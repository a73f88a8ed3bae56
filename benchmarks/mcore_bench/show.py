"""A run as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from mcore_bench.account import FLOPS_A_MAC, GIGA, Account, VariantCost
from mcore_bench.accuracy import Accuracy
from mcore_bench.kernels import KernelReport
from mcore_bench.limit import KINDS, LayerGroup, LayerReport, Limits
from mcore_bench.result import Measured, Result
from mcore_bench.timing import Group, Ratio

_SMALL_MS = 1.0
"""Times below it get three decimals."""
_LAYERS = 12
"""Groups of layers that are shown; the largest gaps come first."""


def show(console: Console, result: Result) -> None:
    """Print a run."""
    e = result.environment
    console.print(f"{e.processor}, {e.cores} cores ({', '.join(e.instructions)}), {e.memory_gb:.0f} GB, {e.system}")
    console.print(f"{e.gpu or 'no GPU'}; {e.threads} threads; " + ", ".join(f"{n} {v}" for n, v in e.versions.items()))
    for measured in result.bundles:
        _show_bundle(console, measured)
    if result.side_by_side is not None:
        console.print(group_table(result.side_by_side))


def _show_bundle(console: Console, measured: Measured) -> None:
    console.rule(f"{measured.bundle} ({measured.bundle_sha256[:12]})", align="left")
    for group in measured.groups:
        console.print(group_table(group))
    if measured.streams:
        table = Table("clips at once, one thread each", "streams", "clips a second", title="streams")
        for each in measured.streams:
            table.add_row(each.name, str(each.streams), f"{each.clips_per_s:.1f}")
        console.print(table)
    console.print(accuracy_table(measured.accuracy))
    if measured.peak_memory_mb:
        memory = ", ".join(f"{name} {mb:.0f} MB" for name, mb in measured.peak_memory_mb.items())
        console.print(f"peak memory of a process that encodes clips: {memory}")
    for name, text in measured.transfers.items():
        console.print(f"transfers of {name}: {text}")
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
    c = measured.conditions
    power = f"{c.power_w:.1f} W" if c.power_w is not None else "not measured"
    console.print(f"power: {power} ({c.power_source}); load {c.load[0]:.1f}; own {c.own_cores:.1f} cores")
    for line in (*measured.absent, *c.warnings):
        console.print(f"note: {line}", style="yellow", markup=False)


def group_table(group: Group) -> Table:
    """One group of contenders."""
    table = Table(title=f"{group.title} (ratios to: {group.baseline})", title_justify="left")
    table.add_column("")
    for heading in ("median ms", "p90", "p95", "p99", "mean", "variation", "cores", "runs", "times as fast"):
        table.add_column(heading, justify="right")
    for row in group.rows:
        t = row.timing
        times = (
            f"{ms:.1f}" if ms >= _SMALL_MS else f"{ms:.3f}"
            for ms in (t.median_ms, t.p90_ms, t.p95_ms, t.p99_ms, t.mean_ms)
        )
        table.add_row(row.name, *times, f"{t.variation:.0%}", f"{t.cpu_cores:.1f}", str(t.runs), spread(row.speedup))
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


def variants_table(rows: Sequence[VariantCost]) -> Table:
    """Operations and parameters of other configurations."""
    table = Table(title="variants, one thing changed at a time", title_justify="left")
    for heading in ("backbone", "shift", "frames", "pixels", "M parameters", "GMAC a pass", "GMAC a dive"):
        table.add_column(heading, justify="left" if heading in ("backbone", "shift") else "right")
    for row in rows:
        table.add_row(row.backbone, row.shift, str(row.frames), str(row.pixels), f"{row.parameters / 1e6:.2f}",
                      f"{row.pass_macs / GIGA:.2f}", f"{row.dive_macs / GIGA:.2f}")  # fmt: skip
    return table


def limit_tables(limits: Limits) -> list[Table]:
    """The machine's limits, parts against their floors, and where the backbone's time goes."""
    of = f"this machine, {limits.threads} threads" if limits.threads else "the GPU"
    peaks = Table(title=f"limits of {of}", title_justify="left")
    for heading in ("arithmetic", "best", "reached by"):
        peaks.add_column(heading)
    for peak in limits.peaks:
        peaks.add_row(peak.arithmetic, peak.rate, f"{peak.library}, {peak.size} x {peak.size}")
    peaks.add_row("copying", f"{limits.copy_gb_s:.1f} GB/s", "read and written")
    parts = Table("part", "on", "arithmetic", title="parts against their floor", title_justify="left")
    for heading in ("measured ms", "floor ms", "set by", "reached"):
        parts.add_column(heading, justify="right")
    for each in limits.parts:
        by = "operations" if each.compute_floor_ms >= each.memory_floor_ms else "memory"
        ms = f"{each.measured_ms:.3g}", f"{each.floor_ms:.2g}"
        parts.add_row(each.part, each.contender, each.arithmetic, *ms, by, f"{each.reached:.0%}")  # fmt: skip
    tables = [peaks, parts]
    for report in limits.layers:
        tables += [kinds_table(report), groups_table(report)]
    return tables


def kinds_table(report: LayerReport) -> Table:
    """The whole of a backbone's time by kind of layer, and why each kind is above its floor."""
    table = Table("layers", title=f"backbone on {report.contender}: all of its time", title_justify="left")
    for heading in ("ms", "floor ms", "gap ms", "reached"):
        table.add_column(heading, justify="right")
    table.add_column("why above the floor")
    for name, *figures, reason in kinds_rows(report):
        table.add_row(name, *figures, reason)
    table.caption = profile_note(report)
    return table


def kinds_rows(report: LayerReport) -> list[tuple[str, str, str, str, str, str]]:
    """Kind, ms, floor, gap, share reached and reason; the total last."""
    named = [(kind, kind.name, KINDS[kind.name]) for kind in report.kinds]
    return [
        (name, f"{each.ms:.1f}", f"{each.floor_ms:.1f}", f"{each.ms - each.floor_ms:.1f}", _reached(each), reason)
        for each, name, reason in [*named, (report.total, "all", "")]
    ]


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
        table.add_row(*group_cells(group))
    return table


def group_cells(group: LayerGroup) -> tuple[str, str, str, str, str]:
    """Name, ms, share of all, floor and share reached."""
    return group.name, f"{group.ms:.1f}", f"{group.share:.0%}", f"{group.floor_ms:.1f}", _reached(group)


def _reached(group: LayerGroup) -> str:
    return f"{group.reached:.0%}" if group.floor_ms else "—"


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
