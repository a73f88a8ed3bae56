"""Write docs/benchmarks.md, a page and the README's table from results of mcore-bench; every figure is the file's.

mcore-bench bundle --checkpoint best.pt --threads 1 --json benchmarks/results/cpu.json
python tools/benchmarks_page.py benchmarks/results/cpu.json --write docs/benchmarks.md --readme README.md \
    --html docs/benchmarks.html --pareto benchmarks/results/accuracy/pareto.json
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mcore.cli_help import description
from mcore.errors import UserError, run_command
from mcore_bench.account import FLOPS_A_MAC, GIGA, Account, VariantCost
from mcore_bench.flops import variants as count_variants
from mcore_bench.limit import Limits
from mcore_bench.page import write_page
from mcore_bench.pareto import Pareto, markdown, read_pareto
from mcore_bench.result import Measured, Result, read_result
from mcore_bench.show import spread
from mcore_bench.timing import Group

HEADING = (
    "| | dive, times as fast as the published procedure | backbone, times as fast as the plain export on ONNX Runtime "
    "| mean score error, points, where no transition flipped | flipped transitions |"
)
"""First line of the README's table."""
SHOWN_LAYERS = 10
"""Groups of layers in each table; the largest gaps come first."""


_ABOUT = (
    "A dive is an input of 96 frames compared with 10 exemplars. The default network, trained at full size for three "
    "epochs of rendered twins on two cores ([accuracy.md](accuracy.md#the-default-network) says how, how good it is, "
    "and what int8 and bfloat16 cost it). The bundle was exported with `--int8 --for-cpu`."
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
    pareto: Path | None = None
    """pareto.json of mcore_bench.pareto, whose table the Markdown file gets."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/benchmarks_page.py``; returns 0, or 2 for a mistake."""
    options = tyro.cli(Options, args=argv, prog="benchmarks_page.py", description=description(__doc__))
    return run_command(lambda: _run(options))


def _run(options: Options) -> int:
    result = read_result(options.results)
    variants = count_variants()
    accuracy = None if options.pareto is None else read_pareto(options.pareto)
    text = "\n".join(describe(result, options.results.as_posix(), variants, accuracy)) + "\n"
    if options.write is not None:
        options.write.write_text(text, encoding="utf-8")
    if options.readme is not None:
        old = options.readme.read_text(encoding="utf-8")
        if HEADING not in old:
            raise UserError(f"{options.readme} has no table that begins with {HEADING!r}")
        before, rest = old.split(HEADING, 1)
        after = rest.partition("\n\n")[2]
        options.readme.write_text(before + "\n".join(summary(result)) + f"\n\n{after}", encoding="utf-8")
    if options.html is not None:
        write_page(options.html, result, variants)
    if options.write is None and options.readme is None and options.html is None:
        print(text)
    return 0


def summary(result: Result) -> Iterator[str]:
    """Yield the lines of the README's table: the first bundle against the published procedure and the plain export."""
    measured = result.bundles[0]
    dive, backbone = (_named(measured, title) for title in ("dive, from network input to score", "backbone and its"))
    errors = {accuracy.name: accuracy for accuracy in measured.accuracy}
    backbones = {row.name: spread(row.speedup) for row in backbone.rows}
    yield HEADING
    yield "| --- | ---: | ---: | ---: | ---: |"
    for row in dive.rows:
        error = errors.get(row.name)
        told = ("", "") if error is None else (f"{error.score_mean:.2g}", f"{error.flips:.0%}")
        yield f"| {row.name} | {spread(row.speedup)} | {backbones.get(row.name, '')} | {' | '.join(told)} |"


def _named(measured: Measured, title: str) -> Group:
    return next(group for group in measured.groups if group.title.startswith(title))


def describe(result: Result, source: str, variants: Sequence[VariantCost], accuracy: Pareto | None) -> Iterator[str]:
    """Yield the lines of the page."""
    e = result.environment
    versions = ", ".join(f"{name} {version}" for name, version in e.versions.items())
    yield "# Benchmarks"
    yield ""
    yield _ABOUT
    yield ""
    yield (
        f"{e.date[:10]}, {e.processor}, {e.cores} cores ({', '.join(e.instructions)}); "
        f"threads of every engine: {e.threads}; {e.gpu or 'no GPU'}. {versions}."
    )
    yield ""
    yield f"    {result.command}"
    yield ""
    yield (
        f"Written by `python tools/benchmarks_page.py` from [{source}](../{source}). Contenders of one table had their "
        "turns in the same rounds: **ratios** (median over rounds, quartiles) mean something, milliseconds only beside "
        "the others of their table. Nothing was dropped. PyTorch runs as glibc has it; with freed memory kept it is up "
        "to twice as fast, and ratios to it are half as large (README, `cpu_kept_memory.json`). `make bench` compares "
        "the ratios of the demo's network with benchmarks/baseline.json."
    )
    for measured in result.bundles:
        yield from _bundle(measured)
    if result.side_by_side is not None:
        yield from _group(result.side_by_side)
    yield from _table(
        "Variants, one thing changed at a time",
        ("backbone", "shift", "frames", "pixels", "M parameters", "GMAC a pass", "GMAC a dive"),
        [(v.backbone, v.shift, str(v.frames), str(v.pixels), f"{v.parameters / 1e6:.2f}", f"{v.pass_macs / GIGA:.2f}",
          f"{v.dive_macs / GIGA:.2f}") for v in variants],
    )  # fmt: skip
    if accuracy is not None:
        yield from ("", "## Accuracy against operations, where a variant was trained", "")
        yield (
            "Rendered twins of FineDiving's dives (`python -m mcore_bench.pareto`). Trainings differ in length and in "
            "what they began with ([accuracy.md](accuracy.md)), so a row is what was reached, not what its network can "
            "reach."
        )
        yield ""
        yield from markdown(accuracy)


def _bundle(measured: Measured) -> Iterator[str]:
    for line in measured.conditions.warnings:
        yield ""
        yield f"**Conditions:** {line}."
    for group in reversed(measured.groups):  # whole dives and peers first
        yield from _group(group)
    yield from _table(
        "Scores against PyTorch in float32, points",
        ("", "clips", "mean", "largest", "flipped transitions"),
        [(a.name, str(a.clips), f"{a.score_mean:.2g}", f"{a.score_largest:.2g}", f"{a.flips:.0%}")
         for a in measured.accuracy],
    )  # fmt: skip
    if measured.account is not None:
        yield from _account(measured.account)
    if measured.limits is not None:
        yield from _limits(measured.limits)
    yield from _table("Clips a second, one thread for each stream", ("", "streams", "clips a second"),
                      [(s.name, str(s.streams), f"{s.clips_per_s:.2f}") for s in measured.streams])  # fmt: skip
    yield ""
    memory = ", ".join(f"{name} {mb:.0f} MB" for name, mb in measured.peak_memory_mb.items()) or "not measured"
    yield f"Peak memory of a process that encodes clips: {memory}. Power: {measured.conditions.power_source}."
    yield ""
    yield "Not measured:"
    yield ""
    for line in (*measured.absent, *(f"transfers of {name}: {text}" for name, text in measured.transfers.items())):
        yield f"* {line}"


def _group(group: Group) -> Iterator[str]:
    rows = [
        (row.name, f"{row.timing.median_ms:.1f}", f"{row.timing.p95_ms:.1f}", str(row.timing.runs), spread(row.speedup))
        for row in group.rows
    ]
    title = group.title[:1].upper() + group.title[1:]
    yield from _table(title, ("", "median ms", "p95", "runs", f"times as fast as {group.baseline}"), rows)
    about = [row for row in group.rows if row.about]
    if about:
        yield ""
    yield from (f"* {row.name}: {row.about}" for row in about)


def _account(account: Account) -> Iterator[str]:
    parts = [
        (part.part, f"{part.macs / GIGA:.3f}", f"{FLOPS_A_MAC * part.macs / GIGA:.3f}", f"{part.parameters / 1e6:.2f}")
        for part in (account.backbone, account.segmenter, account.comparison)
    ]
    for name, macs in (
        ("**a dive as deployed**", account.deployed_macs),
        ("a dive as published", account.published_macs),
    ):
        figures = f"{macs / GIGA:.2f}", f"{FLOPS_A_MAC * macs / GIGA:.2f}", f"{account.parameters / 1e6:.2f}"
        parts.append((name, *figures))
    yield from _table("Operations and parameters", ("", "GMAC", "GFLOPs", "M parameters"), parts)
    yield ""
    yield (
        f"{account.exemplars} exemplars; as deployed is 1/{account.ratio:.1f} of as published. Counted by fvcore with "
        "handles for the GRU and fused attention; a test holds the total to a hand count."
    )


def _limits(limits: Limits) -> Iterator[str]:
    peaks = [(peak.arithmetic, f"{peak.gflops:.0f} GFLOP/s", peak.library) for peak in limits.peaks]
    peaks.append(("copying", f"{limits.copy_gb_s:.1f} GB/s", "read and written"))
    yield from _table("What the machine can do", ("", "best", "reached by"), peaks)
    parts = [
        (p.part, p.contender, p.arithmetic, f"{p.measured_ms:.1f}", f"{p.floor_ms:.1f}", f"{p.reached:.0%}")
        for p in limits.parts
    ]
    yield from _table(
        "Parts against their floor (best run against best rate)",
        ("part", "on", "peak of", "ms", "floor ms", "reached"),
        parts,
    )
    for report in limits.layers:
        rows = [(g.name, f"{g.ms:.1f}", f"{g.share:.0%}", f"{g.floor_ms:.1f}") for g in report.groups[:SHOWN_LAYERS]]
        yield from _table(f"Backbone on {report.contender}: largest gaps", ("layers", "ms", "share", "floor ms"), rows)


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield f"## {title}"
    yield ""
    yield f"| {' | '.join(headings)} |"
    yield f"| --- {'| ---: ' * (len(headings) - 1)}|"
    yield from (f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    raise SystemExit(main())
