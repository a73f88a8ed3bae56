"""``mcore-bench``: how fast, how big, against what else, and how far from what this machine could do.

mcore-bench bundle

mcore-bench bundle --checkpoint runs/first/best.pt --json results.json --html results.html

mcore-bench --variants (operations and parameters of other configurations; needs no bundle)

With the bundle's checkpoint it also counts operations and measures peers: the published procedure, PyTorch eager and
compiled, plain exports, other video backbones. Contenders have their turns in the same rounds, so that ratios hold on a
busy machine; milliseconds do not.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore.common.optional import require
from mcore.data.clip_files import check_folder
from mcore.devices.cpu import turn_malloc_trimming_off
from mcore_bench.account import VariantCost
from mcore_bench.environment import cores, read_environment
from mcore_bench.guard import Verdict, check, keep, read_baseline
from mcore_bench.history import Change, changes, differences
from mcore_bench.page import write_page
from mcore_bench.result import VERSION, Result, read_result, write_result
from mcore_bench.run import Plan, check_same_clips, measure_bundle, measure_side_by_side
from mcore_bench.show import show, variants_table
from mcore_bench.steadiness import warnings_of_groups
from mcore_bench.timing import Effort

_LEAST_DIVES = 4
_WIDTH = 140
"""Columns, also where the output is a file."""


@dataclass(frozen=True)
class BenchArguments:
    """Measure bundles on this machine."""

    bundles: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders made by mcore-export, with exemplars."""
    checkpoint: Path | None = None
    """The checkpoint of the first bundle: counts operations, and measures its peers and limits."""
    threads: int | None = None
    """CPU threads of every engine alike; default: one for each core."""
    effort: tyro.conf.OmitArgPrefixes[Effort] = field(default_factory=Effort)
    """How long parts are measured."""
    peer_runs: int = 50
    """Rounds of the peers; every fourth has a whole published procedure in it."""
    video: Path | None = None
    """Video of a dive; default: a rendered one."""
    width: int = 640
    """Of the rendered video, pixels."""
    height: int = 360
    """Of the rendered video, pixels."""
    keep_freed_memory: bool = False
    """Let the C library keep freed memory for the next tensor, as training does: PyTorch on a CPU, and with it the
    published procedure, is then about twice as fast, and exported graphs are as fast as before (glibc)."""
    no_compile: bool = False
    """Leave out torch.compile, which takes minutes to start."""
    no_throughput: bool = False
    """Leave out batches and streams."""
    no_memory: bool = False
    """Leave out peak memory, for which every engine starts once more."""
    dives: int = 100
    """Rendered dives, scored in each way alone and beside a stream, for the time to score; 0: leave it out."""
    no_limits: bool = False
    """Leave out the machine's limits and the profiles of layers."""
    gpu_only: bool = False
    """Leave out what runs on the processor: engines, peers and limits."""
    variants: bool = False
    """Count operations and parameters of other configurations."""
    json: Path | None = None
    """Write all figures to this .json file."""
    html: Path | None = None
    """Write a page with tables and pictures to this .html file."""
    compare: Path | None = None
    """An older .json file: compare the ratios of both."""
    guard: Path | None = None
    """Ratios to hold, such as benchmarks/baseline.json: exit code 1 where one is lost."""
    keep: Path | None = None
    """Write the ratios of this run to hold them from now on."""

    def __post_init__(self) -> None:
        if not self.bundles and not self.variants:
            raise UserError("nothing to measure: give a bundle, or --variants")
        names = [path.resolve().name for path in self.bundles]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(
                f"several bundles are called {doubled[0]}, and only names tell their figures apart: rename a folder"
            )
        if self.checkpoint is not None and not self.bundles:
            raise UserError("--checkpoint belongs to the first bundle; give one")
        if not self.bundles and any((self.json, self.html, self.compare, self.guard, self.keep)):
            raise UserError("--json, --html, --compare, --guard and --keep are about a bundle's figures: give one")
        if self.peer_runs < 4 or (self.threads is not None and self.threads < 1):
            raise UserError(f"{self.peer_runs} rounds of peers, {self.threads} threads; at least 4 and 1")
        if self.dives and self.dives < _LEAST_DIVES:
            raise UserError(f"{self.dives} dives; allowed: {_LEAST_DIVES} or more, or 0 to leave the time to score out")
        for path, ending in ((self.json, ".json"), (self.html, ".html")):
            if path is not None and path.suffix != ending:
                raise UserError(f"{path} does not end in {ending}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-bench``; returns 0, 1 where a guarded ratio was lost, or 2 for a mistake."""
    return run_command(
        lambda: _run(
            tyro.cli(
                BenchArguments, prog="mcore-bench", args=argv, description=description(__doc__),
                config=(tyro.conf.FlagCreatePairsOff,),
            ),
            sys.argv[1:] if argv is None else argv,
        )
    )  # fmt: skip


def _run(arguments: BenchArguments, argv: Sequence[str]) -> int:
    console, progress = Console(width=max(Console().width, _WIDTH), soft_wrap=True), Console(stderr=True)
    old = None if arguments.compare is None else read_result(arguments.compare)
    held = None if arguments.guard is None else read_baseline(arguments.guard)
    for path in (arguments.json, arguments.html, arguments.keep):
        if path is not None:
            check_folder(path.parent, "the folder of", f"choose another place for {path.name}")
    if arguments.variants or arguments.checkpoint is not None:
        for package in ("torch", "fvcore.nn"):
            require(package, "bench", "Counting operations and measuring peers")
    if arguments.html is not None:
        require("matplotlib", "bench", "Drawing the page")
    if len(arguments.bundles) > 1:
        check_same_clips(arguments.bundles)
    if arguments.keep_freed_memory and not turn_malloc_trimming_off():
        raise UserError("the C library here cannot be told to keep freed memory (glibc can); leave out the flag")
    variants: tuple[VariantCost, ...] = ()
    if arguments.variants:
        from mcore_bench.flops import variants as count_variants

        variants = count_variants()
        console.print(variants_table(variants))
    if not arguments.bundles:
        return 0
    plan = _plan(arguments)
    environment = read_environment(plan.threads)
    measured = tuple(
        measure_bundle(
            path,
            plan if number == 0 else replace(plan, checkpoint=None),
            lambda text: progress.print(text, style="dim"),
        )
        for number, path in enumerate(arguments.bundles)
    )
    together = measure_side_by_side(arguments.bundles, plan) if len(measured) > 1 else None
    result = Result(VERSION, shlex.join(["mcore-bench", *argv]), environment, measured, together)
    show(console, result)
    for line in _doubts(result):
        console.print(f"note: {line}", style="yellow", markup=False)
    if arguments.json is not None:
        write_result(arguments.json, result)
    if arguments.html is not None:
        write_page(arguments.html, result, variants)
    if old is not None:
        _compare(console, old, result)
    verdict = Verdict((), ()) if held is None else check(held, result)
    for line in verdict.notes:
        console.print(f"note: {line}", markup=False)
    for line in verdict.lost:
        console.print(f"lost ground: {line}", style="red", markup=False)
    if arguments.keep is not None:
        for line in keep(arguments.keep, result).warnings:
            console.print(f"note: the ratios to hold are doubtful: {line}", markup=False)
    return 1 if verdict.lost else 0


def _plan(arguments: BenchArguments) -> Plan:
    return Plan(
        threads=arguments.threads or cores(),
        effort=arguments.effort,
        peer_effort=replace(arguments.effort, runs=arguments.peer_runs),
        video=arguments.video,
        size=(arguments.width, arguments.height),
        checkpoint=arguments.checkpoint,
        throughput=not arguments.no_throughput,
        memory=not arguments.no_memory,
        limits=not arguments.no_limits,
        compiled=not arguments.no_compile,
        dives=arguments.dives,
        gpu_only=arguments.gpu_only,
    )


def _doubts(result: Result) -> Iterator[str]:
    """What makes figures of single groups doubtful."""
    for measured in result.bundles:
        where = f"{measured.bundle}: " if len(result.bundles) > 1 else ""
        yield from (f"{where}{line}" for line in warnings_of_groups(measured.groups))
    if result.side_by_side is not None:
        yield from warnings_of_groups((result.side_by_side,))


def _compare(console: Console, old: Result, new: Result) -> None:
    found = changes(old, new)
    if not found:
        names = (", ".join(each.bundle for each in run.bundles) for run in (old, new))
        console.print("note: no ratio is in both runs, of {} and of {}".format(*names), markup=False)
        return
    unlike = differences(old.environment, old.command, new.environment, new.command)
    for line in (*unlike.setting, *unlike.software):
        console.print(f"note: the runs differ: {line}", style="yellow", markup=False)
    console.print(changes_table(found, judged=not unlike.setting))


def changes_table(found: Sequence[Change], *, judged: bool = True) -> Table:
    """Ratios of two runs.

    Args:
        found: what both have.
        judged: say which lost ground; not where the runs were measured in different settings.
    """
    table = Table("ratio", title="against the older run")
    for heading in ("old", "new", "new / old", ""):
        table.add_column(heading, justify="right")
    for change in found:
        verdict = "" if change.same_work else "different work"
        if judged and change.lost:
            verdict = "lost ground"
        table.add_row(change.name, f"{change.old:.2f}", f"{change.new:.2f}", f"{change.relative:.2f}", verdict)
    return table


if __name__ == "__main__":
    raise SystemExit(main())
