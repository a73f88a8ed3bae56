"""Results as Markdown: one renderer for the terminal, for the page of committed results, and for the README's table."""

from __future__ import annotations

import os
import sys
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
from mcore_bench.result import Result, Table, Value, read_result
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
    results = {file: read_result(file) for file in files if _is_result(file)}
    if arguments.readme_table:
        errors = [row for path in arguments.results if path.is_dir() for row in read_precision_errors(path)]
        text = "\n".join(readme_table(list(results.values()), errors))
    else:
        text = "\n".join(page(results, arguments.output))
    if arguments.output is None:
        print(text)
    else:
        write_text(arguments.output, text + "\n")
    return 0


def _is_result(path: Path) -> bool:
    """Leave out what else lies in a folder of results, and say so."""
    if (kind := decode(_Kind, path.read_bytes(), str(path)).format) is not None:
        return bool(kind)
    print(f"note: {path} is no result of mcore-bench; left out", file=sys.stderr)
    return False


@dataclass(frozen=True)
class _Kind:
    """Beginning of any JSON object."""

    format: str | int | None = None


def page(results: Mapping[Path, Result], output: Path | None = None) -> Iterator[str]:
    """Yield the lines of the page.

    Args:
        results: by their files; those of one bundle with malloc trimming on and off become one section.
        output: where the page goes, for links to the files.
    """
    start = Path.cwd() if output is None else output.parent
    names = {file: Path(os.path.relpath(file, start)).as_posix() for file in results}
    folder = Path(next(iter(names.values()), ".")).parent.as_posix()
    yield _INTRODUCTION.format(results=folder)
    merged = {id(other) for result in results.values() if (other := trimming_off(result, results.values())) is not None}
    for file, result in results.items():
        if id(result) in merged:
            continue
        other = trimming_off(result, results.values())
        yield from ("", f"## {result.title}", "", f"File: [{file.name}]({names[file]}).", "")
        yield from render(result, other, level=3)


def trimming_off(result: Result, others: Iterable[Result]) -> Result | None:
    """Find the run of the same bundle in which the C library kept freed memory."""
    return next((o for o in others if result.environment.malloc_trimming and _is_second_run(result, o)), None)


def _is_second_run(first: Result, second: Result) -> bool:
    same_work = first.bundles == second.bundles and first.environment.threads == second.environment.threads
    return bool(first.bundles) and same_work and not second.environment.malloc_trimming


def render(result: Result, with_trimming_off: Result | None = None, *, level: int = 2) -> Iterator[str]:
    """Yield a result's lines.

    Args:
        result: any benchmark's.
        with_trimming_off: a second run of the same bundle, whose ratios become a column.
        level: of the headings of its tables.
    """
    e = result.environment
    yield f"{e.date[:10]}, {format_environment(e)}."
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
    ratios = {row.name: format_ratio(row.speedup) for row in (second.rows if second is not None else ())}
    yield from _heading(f"{group.title} (ratios to: {group.baseline})", level)
    cells = [[*_timing_cells(row), *([ratios.get(row.name, "")] if ratios else [])] for row in group.rows]
    headings += [TRIMMING_OFF] if ratios else []
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
    percentiles = [
        _ms(value) if supports(t.runs, percentile) else DASH
        for percentile, value in ((90, t.p90_ms), (95, t.p95_ms), (99, t.p99_ms))
    ]
    rest = [_ms(t.mean_ms), _ms(t.min_ms), f"{t.variation:.0%}", f"{t.cpu_cores:.1f}", str(t.runs)]
    return [row.name, _ms(t.median_ms), *percentiles, *rest, format_ratio(row.speedup)]


def _ms(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def format_ratio(ratio: Ratio | None) -> str:
    """Return a ratio with its quartiles."""
    return "1" if ratio is None else f"x{ratio.median:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def _table(table: Table, level: int) -> Iterator[str]:
    if not table.rows:
        return
    yield from _heading(table.title, level)
    yield from format_table(table)
    if table.note:
        yield from ("", table.note)


def format_table(table: Table) -> Iterator[str]:
    """Yield a table's lines, without its title and note."""
    cells = [[_cell(v, c.format) for v, c in zip(row, table.columns, strict=True)] for row in table.rows]
    headings, numbers = ([c.heading for c in table.columns], [bool(c.format) for c in table.columns])
    yield from _markdown_table(headings, cells, numbers)


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


def read_precision_errors(folder: Path) -> list[tuple[str, str, PrecisionErrors]]:
    """Read the errors of precisions below a folder of results: bundle's hash, candidate, and row."""
    found = []
    for path in sorted(folder.glob(_ACCURACY_SUFFIX)):
        file = decode(_AccuracyFile, path.read_bytes(), str(path))
        for row in file.rows:
            engine = file.engines.get(row.precision, "").partition(",")[0]
            found.append((file.bundle_sha256, candidate_name(engine, row.precision), row))
    return found


def readme_table(results: Sequence[Result], errors: Sequence[tuple[str, str, PrecisionErrors]] = ()) -> Iterator[str]:
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
    default, kept, backbones = (
        {row.name: format_ratio(row.speedup) for row in find_group(result, title).rows}
        for result, title in ((first, DIVE_PEERS), (second, DIVE_PEERS), (first, BACKBONE_PEERS))
    )
    sha256 = first.bundles[0].sha256
    of_candidate = {name: row for sha, name, row in errors if sha == sha256 and row.same_number}
    yield (
        f"| | times as fast as the published procedure, {TRIMMING_OFF} | malloc trimming on, as glibc has it | "
        "backbone, times as fast as the plain export | mean score error against fp32, points | "
        "dives with another transition |"
    )
    yield f"| --- |{' ---: |' * 5}"
    for name, ratio in default.items():
        row = of_candidate.get(name)
        cells = [name, kept.get(name, ""), ratio, backbones.get(name, ""), *_errors(row)]
        if row is not None or name in _README_CANDIDATES:
            yield f"| {' | '.join(cells)} |"


def find_group(result: Result, title: str) -> TimingGroup:
    """Return a group by its title.

    Raises:
        UserError: the result has none.
    """
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
