"""Watch a camera, stream or file and score its dives as they happen; torch is not needed.

    mcore-run rtsp://user:password@camera/stream --bundle demo/bundle --dive 407C
    mcore-run camera://0?size=1280x720 --bundle demo/bundle --any-exemplar --out results.jsonl --record clips
    mcore-run "synthetic://meet?seed=1" --bundle demo/bundle --any-exemplar

Enter says that a dive has just ended, where the detector should have missed one, and with --mode manual. Addresses are
explained at mcore_runtime.sources.uri. With --json every dive is a line of JSON on standard output. Ctrl-C ends the run
after the last score. Exit code: 0 when every dive was scored, 1 when one was not, 2 for a mistake in the command.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from mcore.cli_help import description
from mcore.errors import UserError, run_command
from mcore_runtime.backends import BackendName
from mcore_runtime.live.dives import LiveDive, RunSummary
from mcore_runtime.live.engine import EngineThread
from mcore_runtime.live.journal import Journal
from mcore_runtime.live.pipeline import LivePipeline, LiveSettings, Mode
from mcore_runtime.records import Precision
from mcore_runtime.scorer import Scorer
from mcore_runtime.sources import SourceState, SourceStatus, open_source, parse_source


@dataclass(frozen=True)
class RunArguments:
    """Score the dives of a camera, stream or file as they happen."""

    source: tyro.conf.Positional[str]
    """A path, camera://0, csi://0, rtsp://HOST/PATH, http://HOST/PATH, gst://PIPELINE or synthetic://meet."""
    bundle: Path
    """Folder made by mcore-export."""
    dive: str | None = None
    """Dive number of all dives, such as 407C."""
    any_exemplar: bool = False
    """Where the bundle has no exemplars of the dive number, or none is given, compare with all exemplars."""
    mode: Mode = "auto"
    """What cuts the clips: auto: the detector; manual: Enter, after a dive; whole-file: the file is one dive."""
    out: Path | None = None
    """Append every dive to this .jsonl file, on the disk before the next one is scored."""
    record: Path | None = None
    """Keep the video of every dive in this folder."""
    json: bool = False
    """Every dive as a line of JSON on standard output."""
    backend: BackendName = "auto"
    """Inference engine; auto: the best that the bundle and this machine have."""
    precision: Precision | None = None
    """Arithmetic of the graphs, one that the bundle was exported with; default: that of the engine, else fp32."""
    threads: int | None = None
    """CPU threads; default: the engine's choice."""
    num_exemplars: int | None = None
    """Compare with at most this many exemplars; default: all of the dive number."""

    def __post_init__(self) -> None:
        parse_source(self.source)
        if self.dive is None and not self.any_exemplar:
            raise UserError("give the dive number with --dive, such as --dive 407C, or --any-exemplar if unknown")
        if self.out is not None and self.out.suffix != ".jsonl":
            raise UserError(f"--out writes to a file that ends in .jsonl, got {str(self.out)!r}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(
        lambda: _run(
            tyro.cli(
                RunArguments,
                prog="mcore-run",
                args=argv,
                config=(tyro.conf.FlagCreatePairsOff,),
                description=description(__doc__),
            )
        )
    )


def _run(arguments: RunArguments) -> int:
    console = Console(stderr=arguments.json, highlight=False, soft_wrap=True)
    settings = LiveSettings(
        mode=arguments.mode,
        dive_number=arguments.dive,
        any_exemplar=arguments.any_exemplar,
        record=arguments.record,
    )
    with EngineThread(lambda: _open_scorer(arguments)) as engine:
        scorer = engine.scorer
        scorer.select(arguments.dive, any_exemplar=arguments.any_exemplar)  # a wrong number is known before any dive
        console.print(
            f"{arguments.bundle}: {scorer.backend.name}, {scorer.backend.provider}, {scorer.precision}", markup=False
        )
        with _journal(arguments.out, console) as journal, open_source(arguments.source) as source:
            report = _Report(console, journal, arguments.json)
            pipeline = LivePipeline(source, engine, settings, report.dive, on_status=report.status)
            with _stopping(pipeline):
                summary = pipeline.run()
    console.print(summary_line(summary), markup=False)
    return 0 if summary.scored == summary.dives else 1


def _open_scorer(arguments: RunArguments) -> Scorer:
    return Scorer(
        arguments.bundle,
        arguments.backend,
        precision=arguments.precision,
        threads=arguments.threads,
        num_exemplars=arguments.num_exemplars,
    )


@dataclass(frozen=True)
class _Report:
    """Tells of dives and of the source, in the terminal and in the journal."""

    console: Console
    journal: Journal | None
    json: bool

    def dive(self, dive: LiveDive) -> None:
        record = dive.to_json()
        problem = None if self.journal is None else self.journal.write(record)
        if self.json:
            sys.stdout.write(json.dumps(record, allow_nan=False) + "\n")
            sys.stdout.flush()
        else:
            self.console.print(dive_line(dive), markup=False)
        if problem is not None:
            self.console.print(f"not written yet, tried again with the next dive: {problem}", markup=False)

    def status(self, status: SourceStatus) -> None:
        text = f"{status.name}: {status.state.value}"
        if status.state is SourceState.STREAMING and status.size is not None:
            text += " {}x{}".format(*status.size) + (f", connection {status.connections}" if status.is_live else "")
        elif status.error is not None:
            text += f", {status.error}"
        self.console.print(text, markup=False)


def dive_line(dive: LiveDive) -> str:
    """Say in one line what became of a dive."""
    head = f"#{dive.number} {dive.dive_number or 'unknown dive'}"
    if dive.result is None:
        return f"{head}: {dive.status}: {'; '.join(dive.reasons)}"
    result = dive.result
    spread = "" if result.low is None or result.high is None else f" ({result.low:.1f} to {result.high:.1f})"
    flight_s, entry_s = result.transitions_s
    waited = "" if dive.time_to_score_ms is None else f"; {dive.time_to_score_ms:.0f} ms after its last frame"
    stages = f"flight from {flight_s:.2f} s, entry at {entry_s:.2f} s"
    return f"{head}: {result.score:.1f}{spread}; {stages}; seen by {dive.found_by}{waited}"


def summary_line(summary: RunSummary) -> str:
    """Say in one line how a run went."""
    times = ", ".join(f"{name} {value:.0f}" for name, value in summary.time_to_score_ms.items())
    return (
        f"{summary.dives} dives: {summary.scored} scored, {summary.invalid} invalid, {summary.failed} failed; "
        f"{'time to score in ms: ' + times + '; ' if times else ''}{summary.frames} frames, {summary.dropped} dropped, "
        f"{summary.connections} connections"
    )


@contextmanager
def _journal(path: Path | None, console: Console) -> Iterator[Journal | None]:
    if path is None:
        yield None
        return
    with Journal(path) as journal:
        if journal.torn:
            console.print(f"{path}: removed {len(journal.torn)} bytes of a line that was never finished", markup=False)
        yield journal
        problem = journal.close()
        if problem is not None:
            raise UserError(f"results are missing in {problem}; they were printed above")


@contextmanager
def _stopping(pipeline: LivePipeline) -> Iterator[None]:
    """End on Ctrl-C and SIGTERM after the last score, and take Enter for a dive; a second Ctrl-C ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}

    def stop(number: int, _: object) -> None:
        pipeline.stop()
        signal.signal(number, before[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    if sys.stdin is not None and sys.stdin.isatty():
        threading.Thread(target=_take_keys, args=(pipeline,), name="keys", daemon=True).start()
    try:
        yield
    finally:
        for stopped, handler in before.items():
            signal.signal(stopped, handler)


def _take_keys(pipeline: LivePipeline) -> None:
    for _ in sys.stdin:
        pipeline.trigger()


if __name__ == "__main__":
    sys.exit(main())
