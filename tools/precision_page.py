"""Page about precisions from bundles: how far each is from PyTorch on each backend, and what engines cost.

All figures were measured by the exports that made the bundles and are read from their manifests:

    mcore-export best.pt --out half --fp16 --validate dives.jsonl --engine tensorrt-rtx --target sm75 sm80 sm86 sm89
    mcore-bundle engine half --kind tensorrt-rtx --target sm80 sm86 sm89 --precision fp32
    mcore-export best.pt --out int8 --int8 --validate dives.jsonl --keep-slower
    python tools/precision_page.py half int8 --write docs/results/precision.md
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mcore.common.command_line import run_command_line
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, ParityRow, Precision, VariantRecord

SHOWN = 8
"""Lines about what stayed in float32; the costliest come first."""
COLUMNS = {
    "features": ("backbone", "features"),
    "logits": ("segmenter", "logits"),
    "tokens": ("segmenter", "tokens"),
    "delta": ("regressor", "delta, points"),
    "score_max": ("whole chain", "score, largest, points"),
    "score_mean": ("whole chain", "score, mean, points"),
    "srcc": ("whole chain", "SRCC"),
}
"""Measures of the table: part, and heading. Flips have a column of their own."""


@dataclass(frozen=True)
class Options:
    """Options: the bundles, and the file of the page."""

    bundles: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Bundles, of one checkpoint or of several."""
    about: str = ""
    """What to say of the checkpoints, such as how they were trained."""
    write: Path | None = None
    """Markdown file; the text is always printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/precision_page.py``; returns 0, or 2 for a mistake."""
    return run_command_line(Options, _run, prog="precision_page.py", doc=__doc__, argv=argv)


def _run(options: Options) -> int:
    text = "\n".join(describe([Bundle.open(path) for path in options.bundles], options.about)) + "\n"
    if options.write is not None:
        options.write.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


def describe(bundles: Sequence[Bundle], about: str = "") -> Iterator[str]:
    """Yield the lines of the page, one section for each checkpoint."""
    yield "# Precisions: how far each is from PyTorch, and what engines cost"
    yield ""
    yield (
        "Measured by the exports themselves, each backend against PyTorch in float32 "
        f"({platform.machine()}, 2 CPU cores shared with other work); written by `python tools/precision_page.py`, "
        "whose first lines have the commands. Features, logits and tokens: largest difference as a share of the "
        "largest value. Scores: every clip against all others; a flip at a near-tie is one between frames that PyTorch "
        "hardly tells apart."
    )
    if about:
        yield from ("", about)
    for checkpoint in dict.fromkeys(bundle.manifest.checkpoint.sha256 for bundle in bundles):
        yield from _section([bundle for bundle in bundles if bundle.manifest.checkpoint.sha256 == checkpoint])


def _section(bundles: Sequence[Bundle]) -> Iterator[str]:
    manifest, model = bundles[0].manifest, bundles[0].model
    variants = {name: variant for bundle in bundles for name, variant in bundle.manifest.variants.items()}
    tools = ", ".join(f"{name} {version}" for name, version in manifest.tools.items() if name != "mcore-edge")
    widths, side = ", ".join(map(str, model.backbone.widths)), model.clip.crop_size
    yield from ("", f"## RegNetY of widths {widths}; {model.clip.num_frames} frames of {side} x {side}", "")
    yield f"Exported {manifest.created[:10]} with {tools}."
    yield ""
    yield from _parity_table(variants)
    for name, variant in variants.items():
        if variant.kept:
            yield from ("", f"In float32, though the rest is {name}:", "")
            yield from (f"* {line}" for line in variant.kept[:SHOWN])
            if len(variant.kept) > SHOWN:
                yield f"* ... and {len(variant.kept) - SHOWN} more, all in the manifest"
    for name, variant in variants.items():
        if variant.speed:
            yield from ("", f"Speed of {name} (median of the ratio, quartiles):", "")
            yield from (f"* {line}" for line in variant.speed)
    for bundle in bundles:
        if bundle.manifest.engines:
            yield from ("", "Engines, built on this machine's CPU for GPUs that it does not have:", "")
            yield from _engine_table(bundle)


def _parity_table(variants: dict[Precision, VariantRecord]) -> Iterator[str]:
    headings = [heading for _, heading in COLUMNS.values()]
    yield f"| precision | backend | {' | '.join(headings)} | flipped transitions | at near-ties |"
    yield f"|---|---|{'---:|' * (len(headings) + 2)}"
    for name, variant in variants.items():
        for engine in dict.fromkeys(row.backend for row in variant.parity):
            rows = [row for row in variant.parity if row.backend == engine]
            figures = [_figure(rows, part, measure) for measure, (part, _) in COLUMNS.items()]
            clear, tied = (_count(rows, measure) for measure in ("flips", "ties"))
            yield f"| {name} | {engine} | {' | '.join(figures)} | {clear} | {tied or '0'} |"
    for name, variant in variants.items():
        limits = variant.limits
        shares, points = f"{limits.relative:g} | " * 3, f"{limits.points:g} | " * 2
        yield f"| *limit, {name}* | | {shares}{points}| at least {limits.srcc:g} | {limits.flips:.0%} | |"


def _engine_table(bundle: Bundle) -> Iterator[str]:
    """Megabytes and seconds of each engine's parts, and of all."""
    yield f"| engine | {' | '.join(PARTS)} | all three |"
    yield f"|---|{'---:|' * (len(PARTS) + 1)}"
    for engine in bundle.manifest.engines:
        megabytes = [bundle.manifest.files[engine.files[part]].bytes / 1e6 for part in PARTS]
        seconds = [engine.build_s[part] for part in PARTS]
        both = zip((*megabytes, sum(megabytes)), (*seconds, sum(seconds)), strict=True)
        yield f"| {engine.name} | {' | '.join(f'{size:.1f} MB, {took:.1f} s' for size, took in both)} |"


def _count(rows: Sequence[ParityRow], measure: str) -> str:
    found = [row.case.rpartition(", ")[2] for row in rows if (row.part, row.measure) == ("whole chain", measure)]
    return found[0] if found else ""


def _figure(rows: Sequence[ParityRow], part: str, measure: str) -> str:
    found = [row.figure for row in rows if (row.part, row.measure) == (part, measure)]
    if measure == "srcc":
        return f"{found[0]:.6f}"
    return f"{max(found):.1e}" if max(found) else "0"


if __name__ == "__main__":
    raise SystemExit(main())
