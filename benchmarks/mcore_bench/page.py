"""A run as one HTML page that needs nothing else: its tables as the terminal shows them, with pictures.

Beyond the terminal's it has the conditions of each group, operations layer by layer, and what was measured elsewhere.
The JSON file also holds what no table shows, such as least times and the groups of layers behind the largest.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from rich.table import Table

from mcore.common.files import write_text
from mcore_bench import budget, pareto, plots
from mcore_bench.account import Account, Counted, VariantCost
from mcore_bench.beside import ELSEWHERE_NOTE, GMAC, NETWORKS_NOTE, Beside
from mcore_bench.pareto import REACHED_NOTE
from mcore_bench.result import Measured, Result
from mcore_bench.show import (
    account_table,
    accuracy_table,
    group_table,
    kernel_tables,
    layers_table,
    limit_tables,
    plain_cells,
    streams_table,
    variants_table,
)
from mcore_bench.steadiness import warnings_of_groups
from mcore_bench.timing import Group
from mcore_bench.words import (
    abouts,
    absent_told,
    conditions_told,
    doubts_told,
    machine_told,
    memory_told,
    software_told,
)

_STYLE = """
body { margin: 0 auto; padding: 24px 16px; max-width: 1480px; background: #eef2f6; color: #14202c;
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
section { background: #fff; border: 1px solid #d9e1e8; border-radius: 14px; padding: 20px; margin-top: 20px;
  overflow-x: auto; }
h1, h2, h3 { margin: 0 0 8px; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; border-bottom: 1px solid #d9e1e8; text-align: right; white-space: nowrap; }
.text { text-align: left; white-space: normal; min-width: 5em; }
caption { text-align: left; font-weight: 600; padding: 8px 0; }
.note { background: #fff3d6; color: #6b4700; padding: 6px 12px; border-radius: 8px; margin: 6px 0; }
.soft { color: #5b6b7a; } summary { cursor: pointer; padding: 6px 0; } img { max-width: 100%; }
"""


def write_page(path: Path, result: Result, variants: Sequence[VariantCost] = (), beside: Beside | None = None) -> None:
    """Write a run's page.

    Args:
        path: of the page.
        result: the run.
        variants: counted, where nothing else belongs beside the run.
        beside: what was counted and measured elsewhere.

    Raises:
        UserError: the place cannot be written to.
    """
    write_text(path, render_page(result, beside or Beside(Counted(tuple(variants), ()))))


def render_page(result: Result, beside: Beside) -> str:
    """Return a run's page as HTML."""
    e = result.environment
    body = [
        f"<h1>Benchmarks</h1><p class=soft>{escape(e.date[:16])} UTC, {escape(machine_told(e))}<br>"
        f"{escape(software_told(e))}<br><code>{escape(result.command)}</code></p>"
        "<p>Contenders of one table had their turns in the same rounds. "
        "Ratios within a round mean something; milliseconds only beside the others of the same table. A dash stands "
        "for a percentile that the runs are too few for.</p>"
    ]
    if (kept := beside.kept_range(result)) is not None:
        body.append(f"<p>PyTorch runs as glibc has it; {escape(kept)}.</p>")
    for measured in result.bundles:
        body += _bundle(measured, beside)
    if result.side_by_side is not None:
        group = result.side_by_side
        body.append(_section(group.title, [*_doubts(group), _table(group_table(group)), _image(plots.speedups(group))]))
    told: set[tuple[str, str]] = set()
    for number, group in enumerate(beside.elsewhere()):
        note = [_paragraph(ELSEWHERE_NOTE)] if number == 0 else []
        body.append(_group(group, beside, told, [*note, *_doubts(group)]))
    body += _networks(beside)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        f'img-src data:"><title>Benchmarks</title><style>{_STYLE}</style></head><body>{"".join(body)}</body></html>\n'
    )


def _networks(beside: Beside) -> Iterator[str]:
    """Other configurations, and how good trained ones are."""
    variants, found = beside.counted.variants, beside.pareto
    if variants:
        yield _section("Variants", [_table(variants_table(variants, found)), _image(plots.variants(variants))])
    if found is not None:
        picture = _image(plots.as_svg(pareto.figure(found)))
        yield _section("Accuracy against operations", [_paragraph(REACHED_NOTE), _table(pareto.table(found)), picture])
    if beside.budget is not None:
        parts = [_paragraph(budget.told(beside.budget)), _table(budget.table(beside.budget, variants))]
        yield _section("Shifts at an equal budget", parts)


def _bundle(measured: Measured, beside: Beside) -> Iterator[str]:
    notes = map(_note, doubts_told(measured))
    lines = [f"Checkpoint {measured.checkpoint}; bundle {measured.bundle_sha256[:12]}.",
             f"Conditions of the whole run: {conditions_told(measured.conditions)}."]  # fmt: skip
    if measured.peak_memory_mb:
        lines.append(f"Peak memory of a process that encodes clips: {memory_told(measured.peak_memory_mb)}.")
    yield _section(measured.bundle, [*notes, *map(_paragraph, lines)])
    told: set[tuple[str, str]] = set()
    for group in reversed(measured.groups):  # whole dives and peers first
        yield _group(group, beside, told)
    if measured.streams:
        yield _section("Streams", [_table(streams_table(measured.streams))])
    yield _section("Scores", [_table(accuracy_table(measured.accuracy))])
    if measured.account is not None:
        yield _account(measured.account)
    if measured.limits is not None:
        tables = [_table(table) for table in limit_tables(measured.limits)]
        pictures = [f"<h3>{escape(r.contender)}</h3>{_image(plots.layers(r))}" for r in measured.limits.layers]
        yield _section("The machine's limits", [*tables, *pictures])
    if measured.gpu_limits is not None:
        yield _section("The GPU's limits", [_table(table) for table in limit_tables(measured.gpu_limits)])
    if measured.kernels:
        yield _section("Kernels", [_table(table) for table in kernel_tables(measured.kernels)])
    if missing := absent_told(measured):
        yield _section("Not measured", [f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in missing)}</ul>"])


def _doubts(group: Group) -> Iterator[str]:
    """Of a group that is of no one bundle; a bundle's stand together."""
    return map(_note, warnings_of_groups((group,)))


def _group(group: Group, beside: Beside, told: set[tuple[str, str]], before: Sequence[str] = ()) -> str:
    columns = beside.columns(group)
    image = plots.milliseconds(group) if len(group.rows) < 3 else plots.speedups(group)
    about = "".join(f"<li><b>{escape(names)}</b>: {escape(text)}</li>" for names, text in abouts(group, told))
    parts = [*before, _table(group_table(group, columns)), _image(image), f"<ul>{about}</ul>" if about else ""]
    if GMAC in columns:
        parts.append(_paragraph(NETWORKS_NOTE))
    if group.conditions is not None:
        parts.append(f'<p class="soft">Meanwhile: {escape(conditions_told(group.conditions))}</p>')
    return _section(group.title, parts)


def _account(account: Account) -> str:
    layers = [
        f"<details><summary>{escape(part.part)}: {len(part.layers)} layers</summary>{_table(layers_table(part))}"
        "</details>"
        for part in (account.backbone, account.segmenter, account.comparison)
    ]
    return _section("Operations and parameters", [_table(account_table(account)), *layers])


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _section(title: str, parts: Iterable[str]) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _image(svg: str) -> str:
    return f'<img alt="" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'


def _table(table: Table) -> str:
    """A terminal's table as HTML."""
    headings, *rows = plain_cells(table)
    kinds = ["" if column.justify == "right" else ' class="text"' for column in table.columns]
    head = "".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(kinds, headings, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in rows
    )
    caption = "" if table.caption is None else f'<p class="soft">{escape(str(table.caption))}</p>'
    return f"<table><caption>{escape(str(table.title))}</caption><tr>{head}</tr>{body}</table>{caption}"
