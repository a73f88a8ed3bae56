"""Write docs/benchmarks.md, a page and the README's table from results of mcore-bench; every figure is a file's.

mcore-bench bundle --checkpoint best.pt --threads 1 --json benchmarks/results/cpu.json
mcore-bench bundle --checkpoint best.pt --threads 1 --keep-freed-memory --no-throughput --no-memory --no-limits \
    --dives 0 --json benchmarks/results/cpu_kept_memory.json
mcore-bench plain bundle --threads 1 --no-memory --no-limits --dives 0 --json benchmarks/results/for_cpu.json
python -m mcore_export.accuracy bundle --data dives.jsonl --backend openvino --bf16 --json accuracy.json
A=benchmarks/results/accuracy; python tools/benchmarks_page.py benchmarks/results/cpu.json --write docs/benchmarks.md \
    --readme README.md --html docs/benchmarks.html --kept-memory benchmarks/results/cpu_kept_memory.json \
    --with-plain benchmarks/results/for_cpu.json \
    --accuracy $A/twin_default_bundle.json --pareto $A/pareto.json --ablation $A/ablation.json \
    --variants benchmarks/results/variants.json

Counts of variants take half a minute and change with the networks only: remove their file to have them counted anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore_bench import budget, pareto
from mcore_bench.account import Counted, read_variants, write_variants
from mcore_bench.beside import ELSEWHERE_NOTE, GMAC, NETWORKS_NOTE, Beside, read_accuracy
from mcore_bench.budget import read_budget
from mcore_bench.contenders import BACKBONE_PEERS, DIVE_PEERS
from mcore_bench.page import write_page
from mcore_bench.pareto import REACHED_NOTE, read_pareto
from mcore_bench.result import Measured, Result, read_result
from mcore_bench.show import (
    account_table,
    accuracy_table,
    group_table,
    limit_tables,
    plain_cells,
    spread,
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
from mcore_export.accuracy import Row

HEADING = "| | dive, times as fast as the published procedure |"
"""Beginning of the README's table."""
_FASTER = "backbone, times as fast as the plain export on ONNX Runtime"
_ABOUT = (
    "A dive is an input of 96 frames compared with 10 exemplars. The default network, trained on two cores on rendered "
    "twins ([accuracy.md](accuracy.md#the-default-network) says how, how good it is, and what int8 and bfloat16 cost "
    "it). The bundle was exported with `--int8 --for-cpu`."
)


@dataclass(frozen=True)
class Options:
    """Which results, and where the page goes."""

    results: Annotated[Path, tyro.conf.Positional]
    """A .json file of mcore-bench."""
    write: Path | None = None
    """Markdown file of its own, written anew."""
    readme: Path | None = None
    """Markdown file whose table of ratios is replaced."""
    html: Path | None = None
    """Page with pictures that needs nothing else, as ``mcore-bench --html`` writes it."""
    variants: Path = Path("benchmarks/results/variants.json")
    """Operations of other networks; counted and written where there is no such file."""
    kept_memory: Path | None = None
    """Results of the same bundle with --keep-freed-memory, whose ratios stand beside."""
    with_plain: Path | None = None
    """Results of a bundle without --for-cpu and of the same bundle, side by side: batches."""
    accuracy: tuple[Path, ...] = ()
    """Files of mcore_export.accuracy of the same bundle, one for each engine: errors over a whole test set."""
    pareto: Path | None = None
    """pareto.json of mcore_bench.pareto: what trained networks reached."""
    ablation: Path | None = None
    """ablation.json of mcore.ablate, for the shifts at an equal budget."""


def main(argv: list[str] | None = None) -> int:
    """Run ``tools/benchmarks_page.py``; returns 0, or 2 for a mistake."""
    options = tyro.cli(Options, args=argv, prog="benchmarks_page.py", description=description(__doc__))
    return run_command(lambda: _run(options))


def _run(options: Options) -> int:
    result, beside = read_result(options.results), read_beside(options)
    beside.check(result)
    text = "\n".join(describe(result, options.results.as_posix(), beside)) + "\n"
    if options.write is not None:
        options.write.write_text(text, encoding="utf-8")
    if options.readme is not None:
        old = options.readme.read_text(encoding="utf-8")
        if HEADING not in old:
            raise UserError(f"{options.readme} has no table that begins with {HEADING!r}")
        before, rest = old.split(HEADING, 1)
        after = rest.partition("\n\n")[2]
        options.readme.write_text(before + "\n".join(summary(result, beside)) + f"\n\n{after}", encoding="utf-8")
    if options.html is not None:
        write_page(options.html, result, beside=beside)
    if options.write is None and options.readme is None and options.html is None:
        print(text)
    return 0


def read_beside(options: Options) -> Beside:
    """Read what belongs beside the run; counts variants where their file is missing.

    Raises:
        UserError: a file cannot be read or is of another kind.
    """
    if options.variants.is_file():
        counted = read_variants(options.variants)
    else:
        from mcore_bench.flops import count_networks, variants

        counted = Counted(variants(), count_networks())
        write_variants(options.variants, counted)
    return Beside(
        counted=counted,
        pareto=None if options.pareto is None else read_pareto(options.pareto),
        budget=None if options.ablation is None else read_budget(options.ablation),
        accuracy=tuple(map(read_accuracy, options.accuracy)),
        kept_memory=None if options.kept_memory is None else read_result(options.kept_memory),
        with_plain=None if options.with_plain is None else read_result(options.with_plain),
    )


def summary(result: Result, beside: Beside) -> Iterator[str]:
    """Yield the lines of the README's table: the first bundle against the published procedure and the plain export."""
    measured = result.bundles[0]
    dive, backbone = (_named(measured, title) for title in (DIVE_PEERS, BACKBONE_PEERS))
    backbones = {row.name: spread(row.speedup) for row in backbone.rows}
    kept = beside.columns(dive)
    rows = {row.name: beside.test_row(row.name) for row in dive.rows}
    counts = sorted({row.dives for row in rows.values() if row is not None})
    dives = f" over {' and '.join(map(str, counts))} test dives" if counts else ""
    yield (
        f"{HEADING} {' | '.join([*kept, _FASTER])} | mean score error against fp32{dives}, points | dives with another "
        "transition |"
    )
    yield f"| --- |{' ---: |' * (4 + len(kept))}"
    for row in dive.rows:
        more = [cells.get(row.name, "") for cells in kept.values()]
        cells = [spread(row.speedup), *more, backbones.get(row.name, ""), *_errors(rows[row.name])]
        yield f"| {row.name} | {' | '.join(cells)} |"


def _errors(row: Row | None) -> tuple[str, str]:
    """Of the whole test set only: eight clips of a bundle are too few to say more than that it works."""
    if row is None:
        return "", ""
    if row.precision == "fp32":
        return "reference", ""
    return f"{row.from_fp32_mean_points:#.2g}", str(row.other_transitions)


def _named(measured: Measured, title: str) -> Group:
    found = next((group for group in measured.groups if group.title == title), None)
    if found is None:
        raise UserError(f"these results have no group {title!r}; measure with --checkpoint and without --gpu-only")
    return found


def describe(result: Result, source: str, beside: Beside) -> Iterator[str]:
    """Yield the lines of the page."""
    kept = beside.kept_range(result)
    yield "# Benchmarks"
    yield ""
    yield _ABOUT
    yield ""
    e = result.environment
    yield f"{e.date[:10]}, {machine_told(e)}; {software_told(e)}."
    yield ""
    yield f"    {result.command}"
    yield ""
    yield (
        f"Written by `python tools/benchmarks_page.py` from [{source}](../{source}). Contenders of one table had their "
        "turns in the same rounds: **ratios** (median over rounds, quartiles) mean something, milliseconds only beside "
        "the others of their table. Nothing was dropped; a dash stands for a percentile that the runs are too few for. "
        f"PyTorch runs as glibc has it{f'; {kept}' if kept else ''}. `make bench` compares the ratios of the demo's "
        "network with benchmarks/baseline.json."
    )
    for measured in result.bundles:
        yield from _bundle(measured, beside)
    if result.side_by_side is not None:
        yield from _alone(result.side_by_side)
    for number, group in enumerate(beside.elsewhere()):
        yield from _alone(group, ELSEWHERE_NOTE if number == 0 else "")
    yield from _networks(beside)


def _alone(group: Group, before: str = "") -> Iterator[str]:
    """A group that is of no one bundle, with its own doubts."""
    yield from _table(group_table(group), before)
    yield from _doubtful(warnings_of_groups((group,)))


def _doubtful(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield from ("", f"**Doubtful:** {line}.")


def _networks(beside: Beside) -> Iterator[str]:
    if beside.counted.variants:
        yield from _table(variants_table(beside.counted.variants, beside.pareto))
    if beside.pareto is not None:
        yield from ("", "## Accuracy against operations, where a network was trained", "")
        yield f"{REACHED_NOTE} `python -m mcore_bench.pareto`; [accuracy.md](accuracy.md) says how each was trained."
        yield ""
        yield from pareto.markdown(beside.pareto)
    if beside.budget is not None:
        yield from _table(budget.table(beside.budget, beside.counted.variants), budget.told(beside.budget))


def _bundle(measured: Measured, beside: Beside) -> Iterator[str]:
    yield from _doubtful(doubts_told(measured))
    told: set[tuple[str, str]] = set()
    for group in reversed(measured.groups):  # whole dives and peers first
        columns = beside.columns(group)
        yield from _table(group_table(group, columns))
        for number, (names, about) in enumerate(abouts(group, told)):
            yield from ("", f"* {names}: {about}") if number == 0 else (f"* {names}: {about}",)
        if GMAC in columns:
            yield from ("", NETWORKS_NOTE)
    yield from _table(
        accuracy_table(measured.accuracy),
        "The clips that the bundle carries to be verified with, too few for an accuracy: the README's column and "
        "[accuracy.md](accuracy.md#what-int8-and-bfloat16-cost) are of the whole test set.",
    )
    if measured.account is not None:
        yield from _table(account_table(measured.account))
    for limits in (measured.limits, measured.gpu_limits):
        for table in () if limits is None else limit_tables(limits):
            yield from _table(table)
    yield from _table(streams_table(measured.streams))
    yield ""
    yield f"Peak memory of a process that encodes clips: {memory_told(measured.peak_memory_mb) or 'not measured'}."
    yield ""
    yield f"Conditions of the whole run: {conditions_told(measured.conditions)}."
    yield ""
    yield "Not measured:"
    yield ""
    yield from (f"* {line}" for line in absent_told(measured))


def _table(table: Table, before: str = "") -> Iterator[str]:
    """A terminal's table as Markdown, with its heading, and its caption below."""
    headings, *rows = plain_cells(table)
    if not rows:
        return
    title = str(table.title)
    yield from ("", f"## {title[:1].upper()}{title[1:]}", "")
    if before:
        yield from (before, "")
    yield f"| {' | '.join(headings)} |"
    yield f"|{''.join(' ---: |' if column.justify == 'right' else ' --- |' for column in table.columns)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    if table.caption is not None:
        yield from ("", str(table.caption))


if __name__ == "__main__":
    raise SystemExit(main())
