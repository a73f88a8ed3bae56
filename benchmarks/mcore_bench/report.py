"""Results as Markdown: one renderer for the terminal, for the page of committed results, and for the README's table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.typed_json import decode
from mcore_bench.candidates import BACKBONE_PEERS, DIVE_PEERS, PLAIN, PUBLISHED, candidate_name
from mcore_bench.machine import format_conditions, format_environment
from mcore_bench.result import Result, Table, Value, read_result, write_result
from mcore_bench.timing import Ratio, TimingGroup, TimingRow, supports

DASH = "\N{EM DASH}"
"""Stands where there is no figure."""
TRIMMING_OFF = "malloc trimming off"
"""Heading of ratios of a second run, in which PyTorch keeps freed memory."""
_INTRODUCTION = """\
# Benchmarks

Written by `mcore-bench report benchmarks/results -o docs/results/benchmarks.md` from the files in
[benchmarks/results]({results}): every figure is a file's, and every section names its machine, day and command.

Candidates of one table had their turns in the same rounds. Their **ratios** (median over the rounds, quartiles in
brackets) mean something; milliseconds only beside the others of the same table. Every run counts. A dash stands for a
percentile that the runs are too few for."""
_README_CANDIDATES = (PUBLISHED, PLAIN, "onnxruntime fp32")
"""Rows of the README's table, beside those whose errors were measured."""
_ACCURACY_SUFFIX = "accuracy/*_bundle.json"
"""Files of ``mcore_export.accuracy`` below a folder of results."""


@dataclass(frozen=True)
class ReportArguments:
    """Write results as a page of Markdown.

        mcore-bench report benchmarks/results -o docs/results/benchmarks.md
        mcore-bench report benchmarks/results --readme-table

    Two results of one bundle, with and without --keep-freed-memory, become one section.
    """

    results: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Result files, or folders of them."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Markdown file; default: standard output."""
    readme_table: bool = False
    """Write the README's small table instead of the page."""


def report(arguments: ReportArguments) -> int:
    """Write the page, or the README's table."""
    files = [file for path in arguments.results for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    results = {file: read_result(file) for file in files}
    if arguments.readme_table:
        lines = readme_table(list(results.values()), read_precision_errors(arguments.results))
    else:
        lines = page(results, arguments.output)
    text = "\n".join(lines)
    if arguments.output is None:
        print(text)
    else:
        write_text(arguments.output, text + "\n")
    return 0


def page(results: Mapping[Path, Result], output: Path | None = None) -> Iterator[str]:
    """Yield the lines of the page.

    Args:
        results: by their files; those of one bundle with malloc trimming on and off become one section.
        output: where the page goes, for links to the files.
    """
    start = Path.cwd() if output is None else output.parent
    names = {file: Path(os.path.relpath(file, start)).as_posix() for file in results}
    yield _INTRODUCTION.format(results=Path(next(iter(names.values()), ".")).parent.as_posix())
    second = {file: trimming_off(result, results.values()) for file, result in results.items()}
    merged = [id(other) for other in second.values() if other is not None]
    for file, result in results.items():
        if id(result) not in merged:
            yield from ("", f"## {result.title}", "", f"File: [{file.name}]({names[file]}).", "")
            yield from render(result, second[file], level=3)


def trimming_off(result: Result, others: Iterable[Result]) -> Result | None:
    """Find the run of the same bundle in which the C library kept freed memory."""
    if not result.bundles or not result.environment.malloc_trimming:
        return None
    work = result.bundles, result.environment.threads, False
    return next((o for o in others if (o.bundles, o.environment.threads, o.environment.malloc_trimming) == work), None)


def finish_result(result: Result, path: Path | None) -> None:
    """Print a result, and write it where that was asked for."""
    print("\n".join([f"# {result.title}", "", *render(result)]))
    if path is not None:
        write_result(path, result)


def render(result: Result, with_trimming_off: Result | None = None, *, level: int = 2) -> Iterator[str]:
    """Yield a result's lines.

    Args:
        result: any benchmark's.
        with_trimming_off: a second run of the same bundle, whose ratios become a column.
        level: of the headings of its tables.
    """
    yield f"{result.environment.date[:10]}, {format_environment(result.environment)}."
    yield from ("", f"    {result.command}")
    if with_trimming_off is not None:
        yield from ("", f"Column *{TRIMMING_OFF}*: a second run, {with_trimming_off.environment.date[:10]}:")
        yield from ("", f"    {with_trimming_off.command}")
    if result.note:
        yield from ("", result.note)
    second = {} if with_trimming_off is None else {group.title: group for group in with_trimming_off.groups}
    described: set[tuple[str, str]] = set()
    for group in result.groups:
        yield from _group(group, second.get(group.title), level, described)
    for table in result.tables:
        yield from _table(table, level)
    if result.conditions is not None:
        yield from ("", f"Conditions: {format_conditions(result.conditions)}.")
        yield from _warnings(result.conditions.warnings)
    if result.absent:
        yield from ("", "Not measured:", "", *(f"* {line}" for line in result.absent))


def _group(
    group: TimingGroup, second: TimingGroup | None, level: int, described: set[tuple[str, str]]
) -> Iterator[str]:
    """Render a group; ``described`` holds candidates that were explained before, and gets those of this one."""
    headings = ["", "median ms", "p90", "p95", "p99", "mean", "min", "variation", "cores", "runs", "times as fast"]
    cells = [_timing_cells(row) for row in group.rows]
    if second is not None:
        headings.append(TRIMMING_OFF)
        ratios = _ratios(second)
        cells = [[*row, ratios.get(row[0], "")] for row in cells]
    yield from _heading(f"{group.title} (ratios to: {group.baseline})", level)
    yield from _markdown_table(headings, cells, [False] + [True] * (len(headings) - 1))
    explained: dict[str, list[str]] = {}
    for row in group.rows:
        if row.about and (row.name, row.about) not in described:
            described.add((row.name, row.about))
            explained.setdefault(row.about, []).append(row.name)
    if explained:
        yield from ("", *(f"* {', '.join(names)}: {about}" for about, names in explained.items()))
    if group.conditions is not None:
        yield from _warnings(group.conditions.warnings)


def _timing_cells(row: TimingRow) -> list[str]:
    t = row.timing
    percentiles = ((90, t.p90_ms), (95, t.p95_ms), (99, t.p99_ms))
    known = [_ms(value) if supports(t.runs, percentile) else DASH for percentile, value in percentiles]
    rest = [_ms(t.mean_ms), _ms(t.min_ms), f"{t.variation:.0%}", f"{t.cpu_cores:.1f}", str(t.runs)]
    return [row.name, _ms(t.median_ms), *known, *rest, format_ratio(row.speedup)]


def _ms(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def format_ratio(ratio: Ratio | None) -> str:
    """Return a ratio with its quartiles."""
    return "1" if ratio is None else f"x{ratio.median:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def _ratios(group: TimingGroup) -> dict[str, str]:
    return {row.name: format_ratio(row.speedup) for row in group.rows}


def _table(table: Table, level: int) -> Iterator[str]:
    if not table.rows:
        return
    yield from _heading(table.title, level)
    cells = [[_cell(v, c.format) for v, c in zip(row, table.columns, strict=True)] for row in table.rows]
    yield from _markdown_table([c.heading for c in table.columns], cells, [bool(c.format) for c in table.columns])
    if table.note:
        yield from ("", table.note)


def _cell(value: Value, form: str) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else format(value, form)


def _heading(title: str, level: int) -> tuple[str, ...]:
    return ("", f"{'#' * level} {title[:1].upper()}{title[1:]}", "")


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool]) -> Iterator[str]:
    """Yield a table; columns of numbers are flush right."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{''.join(' ---: |' if number else ' --- |' for number in numbers)}"
    yield from (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _warnings(warnings: Sequence[str]) -> Iterator[str]:
    for line in warnings:
        yield from ("", f"**Doubtful:** {line}.")


@dataclass(frozen=True)
class PrecisionErrors:
    """Differences of one candidate from its own float32 over a test set; a row of ``mcore_export.accuracy``."""

    precision: str
    same_number: bool
    """Whether dives were compared with exemplars of their own dive number."""
    dives: int
    from_fp32_mean_points: float | None = None
    other_transitions: int | None = None
    """Dives with another transition than in float32."""


@dataclass(frozen=True)
class _AccuracyFile:
    bundle_sha256: str
    engines: Mapping[str, str]
    """Backend, device and compute dtype by precision; each begins with the backend's name."""
    rows: tuple[PrecisionErrors, ...]


def read_precision_errors(folders: Iterable[Path]) -> dict[tuple[str, str], PrecisionErrors]:
    """Read the errors of precisions below folders of results, by bundle's hash and candidate."""
    found = {}
    for path in (path for folder in folders for path in sorted(folder.glob(_ACCURACY_SUFFIX))):
        file = decode(_AccuracyFile, path.read_bytes(), str(path))
        for row in file.rows:
            if row.same_number:
                engine = file.engines.get(row.precision, "").partition(",")[0]
                found[file.bundle_sha256, candidate_name(engine, row.precision)] = row
    return found


def readme_table(
    results: Sequence[Result], errors: Mapping[tuple[str, str], PrecisionErrors] | None = None
) -> Iterator[str]:
    """Yield the README's table: a dive by each candidate, with the more modest of two honest ratios first.

    Args:
        results: one of them with peers and malloc trimming on, one of the same bundle with it off.
        errors: from ``read_precision_errors``.

    Raises:
        UserError: there are no such two results.
    """
    pairs = ((r, second) for r in results if (second := trimming_off(r, results)) is not None)
    first, second = next(pairs, (None, None))
    if first is None or second is None:
        raise UserError("the README's table needs results of one bundle with and without --keep-freed-memory")
    default, kept = _ratios(find_group(first, DIVE_PEERS)), _ratios(find_group(second, DIVE_PEERS))
    backbones = _ratios(find_group(first, BACKBONE_PEERS))
    headings = [
        "", f"times as fast as the published procedure, {TRIMMING_OFF}", "malloc trimming on, as glibc has it",
        "backbone, times as fast as the plain export", "mean score error against fp32, points",
        "dives with another transition",
    ]  # fmt: skip
    rows = []
    for name, ratio in default.items():
        row = (errors or {}).get((first.bundles[0].sha256, name))
        if row is not None or name in _README_CANDIDATES:
            rows.append([name, kept.get(name, ""), ratio, backbones.get(name, ""), *_errors(row)])
    yield from _markdown_table(headings, rows, [False] + [True] * 5)


def find_group(result: Result, title: str) -> TimingGroup:
    """Return a group by its title; a UserError says where the result has none."""
    found = next((group for group in result.groups if group.title == title), None)
    if found is None:
        raise UserError(f"{result.title!r} has no group {title!r}; measure with --checkpoint and without --gpu-only")
    return found


def _errors(row: PrecisionErrors | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    if row.precision == "fp32" or row.from_fp32_mean_points is None:
        return "reference", ""
    return f"{row.from_fp32_mean_points:#.2g}", f"{row.other_transitions} of {row.dives}"
