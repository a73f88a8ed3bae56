"""The whole path on rendered dives: render, train, evaluate, export, score, report. Run it with ``make demo``.

Every step is a command that a user would type, printed before it runs. Videos are kept between runs; the rest
is made anew. All of it lies in demo/.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mcore.common.command_line import run_command_line
from mcore.common.typed_json import decode
from mcore.config import STAGES
from mcore.data.manifest import read_manifest, select_split
from mcore.evaluation.assessment import Figure
from mcore.evaluation.report import read_summary

DIVE_NUMBERS = ("107B", "407C", "5253B")
DIVES_PER_NUMBER = 100
SIDE = 180
"""Width and height of a drawn frame, pixels: square, as what the tiny network sees of it."""
SCORED = 4
"""Unseen videos that are scored one by one in the report."""


@dataclass(frozen=True)
class _Video:
    source: str


@dataclass(frozen=True)
class _Dive:
    video: _Video
    stage_deltas: dict[str, float]
    stage_shares: dict[str, float | None]


@dataclass(frozen=True)
class _Scores:
    """What the demo reads of ``mcore-score --json``."""

    dives: tuple[_Dive, ...]


@dataclass(frozen=True)
class Options:
    """Options of the demo."""

    out: Path = Path("demo")
    """Folder for everything the demo makes."""
    seed: int = 0
    """Seed of dives and training."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns 0, or the exit code of the first command that failed."""
    prog = "python tools/demo.py"
    return run_command_line(Options, lambda o: run(o.out, o.seed), prog=prog, doc=__doc__, argv=argv)


def run(out: Path, seed: int) -> int:
    """Run all steps, one after the other.

    Args:
        out: folder for everything.
        seed: decides the dives and the training.

    Returns:
        0, or the exit code of the first command that failed.
    """
    began = time.perf_counter()
    dives, training, test, bundle = out / "dives", out / "run", out / "evaluation", out / "bundle"
    manifest, report, scores = dives / "manifest.jsonl", out / "report.html", out / "scores.json"
    best = training / "best.pt"
    python = [sys.executable, "-m"]
    render = [*_command("mcore-data"), "render", "--out", dives, "--dives-per-number", DIVES_PER_NUMBER]
    render += ["--width", SIDE, "--height", SIDE]
    train = [*python, "mcore.train", "--data", manifest, "--out", training, "--preset", "tiny", "--pretrained", "poses"]
    steps: list[tuple[str, list[object]]] = [
        (
            f"Render {DIVES_PER_NUMBER} dives of each of {len(DIVE_NUMBERS)} dive numbers to MP4 files",
            [*render, "--dive-numbers", *DIVE_NUMBERS, "--seed", seed],
        ),
        ("Train the tiny network on the training dives", [*train, "--seed", seed, "--overwrite"]),
        (
            "Evaluate it on test dives, which it has never seen",
            [*python, "mcore.evaluate", best, "--data", manifest, "--split", "test", "--out", test],
        ),
        (
            "Export it to ONNX, prove it against PyTorch, store exemplars",
            [*_command("mcore-export"), best, "--out", bundle, "--exemplars", manifest, "--force"],
        ),
    ]
    for number, (title, command) in enumerate(steps, start=1):
        if code := step(number, title, command):
            return code
    if code := step(5, "Score unseen videos without PyTorch, with a report", scoring(bundle, manifest, report, scores)):
        return code
    deductions(manifest, scores)
    summary(out, time.perf_counter() - began)
    return 0


def scoring(bundle: Path, manifest: Path, report: Path, scores: Path) -> list[object]:
    """Build the command that scores test dives of one number, the first in the list."""
    test = select_split(read_manifest(manifest), "test")
    number = test[0].dive_number
    videos = [record.path for record in test if record.dive_number == number][:SCORED]
    return [*_command("mcore-score"), bundle, *videos, "--dive", number, "--report", report, "--json", scores]


def deductions(manifest: Path, scores: Path) -> None:
    """Print what the first scored dive lost by stage, drawn and found, both against an average exemplar."""
    records = read_manifest(manifest)
    dive = decode(_Scores, scores.read_bytes(), str(scores)).dives[0]
    video = Path(dive.video.source)
    scored = next(record for record in records if record.path.resolve() == video.resolve())
    own, alike = scored.stage_points, [r for r in select_split(records, "train") if r.dive_number == scored.dive_number]
    others = [record.stage_points for record in alike if record.stage_points is not None]
    if own is None or not others:
        return
    table = Table(title=f"{video.name} against an average exemplar, points", title_justify="left")
    for column in ("stage", "drawn", "found"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, mine, theirs in zip(STAGES, own, zip(*others, strict=True), strict=True):
        found = f"{dive.stage_deltas[stage]:+.1f}"
        is_shown = dive.stage_shares[stage] is not None
        table.add_row(stage, f"{mine - sum(theirs) / len(theirs):+.1f}", found if is_shown else f"({found})")
    Console().print(table)
    print("In brackets: shares that no result shows, because validation dives did not follow what was drawn there.")


def step(number: int, title: str, command: Sequence[object]) -> int:
    """Print a step and run its command; returns its exit code."""
    words = [str(word) for word in command]
    shown = [Path(words[0]).name, *words[1:]]
    console = Console()
    console.rule(f"[bold]{number}. {title}", align="left")
    console.print(f"$ {shlex.join(shown)}", style="dim", soft_wrap=True, highlight=False)
    began = time.perf_counter()
    code = subprocess.run(words, check=False, env={**os.environ, "PYTHONUNBUFFERED": "1"}).returncode
    if code:
        console.print(f"step {number} failed with exit code {code}", style="red")
    else:
        console.print(f"({time.perf_counter() - began:.0f} s)\n", style="dim", highlight=False)
    return code


def summary(out: Path, seconds: float) -> None:
    """Print what came out, from the evaluation's own figures."""
    found = read_summary(out / "evaluation" / "metrics.json")
    srcc, boundaries = found.metrics["srcc"], found.metrics["boundary_error_mean_frames"]
    ahead = srcc.difference.low
    verdict = "clearly better" if ahead is not None and ahead > 0 else "NOT clearly better"
    console = Console(highlight=False)
    console.rule("[bold]Done", align="left")
    console.print(
        f"SRCC on {found.num_dives} unseen dives: network {_figure(srcc.model)}, mean score of the dive number "
        f"{_figure(srcc.baseline)}: {verdict}.\n"
        f"Stage boundaries: off by {_figure(boundaries.model)} sampled frames on average.\n"
        f"Everything took {seconds:.0f} s and lies in {out}/. Open these:"
    )
    for name in ("report.html", "evaluation/scatter.png"):
        console.print(f"  {out / name}", soft_wrap=True)


def _figure(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "undefined"
    return f"{figure.value:.2f} (95 %: {figure.low:.2f} to {figure.high:.2f})"


def _command(name: str) -> list[str]:
    """A command of this project, from the environment that runs the demo."""
    return [str(Path(sys.executable).with_name(name))]


if __name__ == "__main__":
    raise SystemExit(main())
