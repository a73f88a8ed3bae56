"""A run as one HTML page that needs nothing else: every figure of the JSON file, with pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mcore.files import write_text
from mcore_bench import plots
from mcore_bench.account import GIGA, VariantCost
from mcore_bench.result import Measured, Result
from mcore_bench.show import account_table, accuracy_table, group_table, kernel_tables, limit_tables, variants_table

_STYLE = """
body { margin: 0 auto; padding: 24px 16px; max-width: 1040px; background: #eef2f6; color: #14202c;
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
section { background: #fff; border: 1px solid #d9e1e8; border-radius: 14px; padding: 20px; margin-top: 20px;
  overflow-x: auto; }
h1, h2, h3 { margin: 0 0 8px; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; border-bottom: 1px solid #d9e1e8; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } caption { text-align: left; font-weight: 600; padding: 8px 0; }
.note { background: #fff3d6; color: #6b4700; padding: 6px 12px; border-radius: 8px; margin: 6px 0; }
.soft { color: #5b6b7a; } img { max-width: 100%; }
"""


def write_page(path: Path, result: Result, variants: Sequence[VariantCost] = ()) -> None:
    """Write a run's page.

    Raises:
        UserError: the place cannot be written to.
    """
    write_text(path, render_page(result, variants))


def render_page(result: Result, variants: Sequence[VariantCost] = ()) -> str:
    """Return a run's page as HTML."""
    e = result.environment
    versions = ", ".join(f"{name} {version}" for name, version in e.versions.items())
    body = [
        f"<h1>Benchmarks</h1><p class=soft>{escape(e.date[:16])} UTC, {escape(e.processor)}, {e.cores} cores, "
        f"{e.threads} threads for every engine, {escape(e.gpu or 'no GPU')}, {escape(e.system)}<br>{escape(versions)}"
        f"<br><code>{escape(result.command)}</code></p><p>Contenders of one table had their turns in the same rounds. "
        "Ratios within a round mean something; milliseconds only beside the others of the same table.</p>"
    ]
    for measured in result.bundles:
        body += _bundle(measured)
    if result.side_by_side is not None:
        group = result.side_by_side
        body.append(_section(group.title, [_table(group_table(group)), _image(plots.speedups(group))]))
    if variants:
        points = [(f"{v.backbone} {v.shift} {v.frames}f {v.pixels}px", v.pass_macs / GIGA, v.parameters / 1e6)
                  for v in variants]  # fmt: skip
        body.append(_section("Variants", [_table(variants_table(variants)), _image(plots.pareto(points))]))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        f'img-src data:"><title>Benchmarks</title><style>{_STYLE}</style></head><body>{"".join(body)}</body></html>\n'
    )


def _bundle(measured: Measured) -> Iterable[str]:
    c = measured.conditions
    power = "not measured" if c.power_w is None else f"{c.power_w:.1f} W"
    notes = [f'<p class="note">{escape(line)}</p>' for line in (*c.warnings, *measured.absent)]
    told = [f"Checkpoint {measured.checkpoint}; bundle {measured.bundle_sha256[:12]}; power: {power} "
            f"({c.power_source}); load {c.load[0]:.1f}."]  # fmt: skip
    told += [f"Peak memory of {name}: {mb:.0f} MB." for name, mb in measured.peak_memory_mb.items()]
    told += [f"{s.name}, {s.streams} streams of one thread: {s.clips_per_s:.1f} clips/s." for s in measured.streams]
    told += [f"Transfers of {name}: {text}." for name, text in measured.transfers.items()]
    yield _section(measured.bundle, [*notes, *(f"<p>{escape(line)}</p>" for line in told)])
    for group in measured.groups:
        about = "".join(f"<li><b>{escape(r.name)}</b>: {escape(r.about)}</li>" for r in group.rows if r.about)
        images = [plots.milliseconds(group)] if len(group.rows) < 3 else [plots.speedups(group)]
        yield _section(group.title, [_table(group_table(group)), *map(_image, images), f"<ul>{about}</ul>"])
    yield _section("Scores", [_table(accuracy_table(measured.accuracy))])
    if measured.account is not None:
        yield _section("Operations and parameters", [_table(account_table(measured.account))])
    if measured.limits is not None:
        tables = [_table(table) for table in limit_tables(measured.limits)]
        pictures = [f"<h3>{escape(r.contender)}</h3>{_image(plots.layers(r))}" for r in measured.limits.layers]
        yield _section("The machine's limits", [*tables, *pictures])
    if measured.gpu_limits is not None:
        yield _section("The GPU's limits", [_table(table) for table in limit_tables(measured.gpu_limits)])
    if measured.kernels:
        yield _section("Kernels", [_table(table) for table in kernel_tables(measured.kernels)])


def _section(title: str, parts: Iterable[str]) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _image(svg: str) -> str:
    return f'<img alt="" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'


def _table(table: Table) -> str:
    """A terminal's table as HTML: the same cells, so that both say the same."""
    console = Console(file=io.StringIO(), width=400)
    head = "".join(f"<th>{escape(str(column.header))}</th>" for column in table.columns)
    columns = [[console.render_str(str(cell)).plain for cell in column.cells] for column in table.columns]
    rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in zip(*columns, strict=True)]
    caption = "" if table.caption is None else f'<p class="soft">{escape(str(table.caption))}</p>'
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><caption>{escape(str(table.title))}</caption><tr>{head}</tr>{body}</table>{caption}"
