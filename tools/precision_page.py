"""Write docs/precision.md from bundles: how far each precision is from PyTorch on each engine, and what engines cost.

All figures were measured by the exports that made the bundles and are read from their manifests:

mcore-export best.pt --out half --fp16 --engine tensorrt-rtx --target sm75 sm80 sm86 sm89 sm120
mcore-export half --engine tensorrt-rtx --target sm80 sm86 sm89 sm120 --precision fp32
mcore-export best.pt --out int8 --int8 --keep-slower
python tools/precision_page.py half int8 --write docs/precision.md
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mcore.cli_help import description
from mcore.errors import run_command
from mcore_export.engine_table import engine_table
from mcore_runtime.bundle import Bundle
from mcore_runtime.records import GateRow, Precision, VariantRecord

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
    """Which bundles, and where the page goes."""

    bundles: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Bundles of the same checkpoint."""
    write: Path | None = None
    """Markdown file; the text is always printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/precision_page.py``; returns 0, or 2 for a mistake."""
    options = tyro.cli(Options, args=argv, prog="precision_page.py", description=description(__doc__))
    return run_command(lambda: _run(options))


def _run(options: Options) -> int:
    text = "\n".join(describe([Bundle.open(path) for path in options.bundles])) + "\n"
    if options.write is not None:
        options.write.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


def describe(bundles: Sequence[Bundle]) -> Iterator[str]:
    """Yield the lines of the page."""
    first = bundles[0]
    manifest, backbone = first.manifest, first.model.backbone
    variants = {name: variant for bundle in bundles for name, variant in bundle.manifest.variants.items()}
    tools = ", ".join(f"{name} {version}" for name, version in manifest.tools.items() if name != "mcore-edge")
    yield "# Precisions: how far each is from PyTorch, and what to use where"
    yield ""
    yield (
        f"Network with widths {', '.join(map(str, backbone.widths))}, {first.model.clip.num_frames} frames of "
        f"{first.model.clip.crop_size} x {first.model.clip.crop_size}; exported {manifest.created[:10]} with {tools}; "
        f"{platform.machine()}, 2 CPU cores shared with other work. Written by `python tools/precision_page.py`, whose "
        "first lines have the commands."
    )
    yield ""
    yield from _gate_table(variants)
    for name, variant in variants.items():
        if variant.kept:
            yield from ("", f"Left in float32 by the {name} export:", "")
            yield from (f"* {line}" for line in variant.kept)
    for name, variant in variants.items():
        if variant.speed:
            yield from ("", f"Speed of {name} (median of the ratio, quartiles):", "")
            yield from (f"* `{' '.join(line.split())}`" for line in variant.speed)
    for bundle in bundles:
        if bundle.manifest.engines:
            yield from ("", "Engines, built on this machine's CPU for GPUs that it does not have:", "")
            yield engine_table(bundle.path, bundle.manifest.engines)


def _gate_table(variants: dict[Precision, VariantRecord]) -> Iterator[str]:
    headings = [heading for _, heading in COLUMNS.values()]
    yield f"| precision | engine | {' | '.join(headings)} | flipped transitions |"
    yield f"|---|---|{'---:|' * (len(headings) + 1)}"
    for name, variant in variants.items():
        for engine in dict.fromkeys(row.backend for row in variant.gate):
            rows = [row for row in variant.gate if row.backend == engine]
            figures = [_figure(rows, part, measure) for measure, (part, _) in COLUMNS.items()]
            flips = next(row for row in rows if (row.part, row.measure) == ("whole chain", "flips"))
            yield f"| {name} | {engine} | {' | '.join(figures)} | {flips.case.rpartition(', ')[2]} |"
    for name, variant in variants.items():
        limits = variant.limits
        shares, points = f"{limits.relative:g} | " * 3, f"{limits.points:g} | " * 2
        yield f"| *limit, {name}* | | {shares}{points}| at least {limits.srcc:g} | {limits.flips:.0%} |"


def _figure(rows: Sequence[GateRow], part: str, measure: str) -> str:
    found = [row.figure for row in rows if (row.part, row.measure) == (part, measure)]
    return f"{found[0]:.6f}" if measure == "srcc" else f"{max(found):.1e}"


if __name__ == "__main__":
    raise SystemExit(main())
