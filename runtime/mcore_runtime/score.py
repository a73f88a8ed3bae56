"""Score dives in video files with an exported bundle; torch is not needed.

    mcore-score demo/bundle dive1.mp4 dive2.mp4 --dive 407C --report report.html
    mcore-score demo/bundle training.mp4 --any-exemplar --json > scores.json
    mcore-score demo/bundle --list dives.csv --split test --json scores.json
    mcore-score demo/bundle --list dives.csv --out scores.jsonl --workers 8 --resume

The dives of a video are found and cut, as mcore-run does it; a file that is cut to one dive is scored whole.

Exit code: 0 when every dive was scored; 1 when one was not, or is unlike the dives that the bundle knows and was not
accepted by --accept-unlike (the rest are scored); 2 for an error in the command.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.data.manifest import Split
from mcore.diving import NEWEST_YEAR, EditionYear, edition_of
from mcore.video import native
from mcore_runtime.backends import BackendName
from mcore_runtime.bundle.records import Precision
from mcore_runtime.competition.entry import clean_difficulty
from mcore_runtime.report import write_report
from mcore_runtime.scoring.archive import score_archive
from mcore_runtime.scoring.batch import (
    DiveOutcome,
    DiveRequest,
    requests_from_list,
    score_all,
    scores_document,
    search,
)
from mcore_runtime.scoring.cluster import score_on_cluster
from mcore_runtime.scoring.parallel import TIME_LIMIT_S, WorkerSetup
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.scoring.table import print_scores

STDOUT = "-"
INTERRUPTED = 130
"""Exit code after Ctrl-C, as of every command."""
_WIDTH_WITHOUT_TERMINAL = 160
"""Columns of the table in a log or pipe, where rich would assume 80 and fold every cell."""


@dataclass(frozen=True)
class ScoreArguments:
    """Score dives in video files with an exported bundle."""

    bundle: tyro.conf.Positional[Path]
    """Folder made by mcore-export."""
    videos: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Video files (anything FFmpeg reads) or folders of images; each may hold several dives."""
    dive: str | None = None
    """Dive number of all the videos, such as 407C."""
    difficulty: float | None = None
    """Degree of difficulty of all the videos; default: that of the exemplars, where they agree on one."""
    any_exemplar: bool = False
    """Where no dive number is given, compare with exemplars of what the dive looks like; where the bundle cannot say
    that, or has no exemplars of the given number, with all."""
    list_file: Annotated[Path | None, tyro.conf.arg(name="list")] = None
    """Instead of videos: a .csv or .jsonl list with path, dive_number and score of each dive. Its dives are not
    searched for: they are from start_s to end_s, where the list has them, else whole files."""
    split: Split | None = None
    """Only this part of the list."""
    whole_clip: bool = False
    """Take each video as one dive that is cut already, and look for none."""
    start: float | None = None
    """Where the dive begins in the file, seconds. Then no dive is looked for; default: at its first frame."""
    end: float | None = None
    """Where the dive ends in the file, seconds; default: at its end."""
    accept_unlike: bool = False
    """Count the score of a clip also where it is unlike the dives that the bundle knows, such as one without a dive."""
    json: str | None = None
    """Write the scores as JSON to this .json file, or to standard output: - or no value."""
    report: Path | None = None
    """Write a report with pictures to this .html file."""
    edition: EditionYear = NEWEST_YEAR
    """Year of the diving rules with which the report says difficulties."""
    backend: BackendName = "auto"
    """Inference backend; auto: the best that the bundle and this machine have."""
    precision: Precision | None = None
    """Precision of the graphs, one that the bundle was exported with; default: that of the engine built for this
    machine, else fp32."""
    threads: int | None = None
    """CPU threads; default: the backend's choice."""
    num_exemplars: int | None = None
    """Compare with this many exemplars, which look most like the dive; default: as the bundle says, mostly 10."""
    out: Path | None = None
    """With --list: add each dive to this .jsonl file as soon as it is scored; with --ray: folder of Parquet files."""
    resume: bool = False
    """With --out: go on with the file, where a run was interrupted."""
    workers: int | None = None
    """With --out: score in so many processes, of one thread each if --threads does not say otherwise; default: 1."""
    ray: str | None = None
    """With --out: score on the Ray cluster at this address, --workers processes a task; local: start one here."""
    time_limit: float | None = None
    """With --out: seconds that a dive may take before it is given up, tried twice; default: 300."""

    def __post_init__(self) -> None:
        if bool(self.videos) == (self.list_file is not None):
            raise UserError("give either video files or --list FILE; see mcore-score --help")
        clean_difficulty(self.difficulty)
        if self.list_file is not None and (self.dive, self.difficulty, self.start, self.end) != (None,) * 4:
            raise UserError(
                "--list gives each dive its own number, difficulty, start and end: leave out --dive, --difficulty, "
                "--start, --end"
            )
        if self.whole_clip and (self.list_file is not None or (self.start, self.end) != (None, None)):
            raise UserError("--whole-clip is for videos, without --list, --start and --end")
        if self.list_file is None and self.split is not None:
            raise UserError("--split chooses a part of a list; it needs --list FILE")
        if self.list_file is None and self.dive is None and not self.any_exemplar:
            raise UserError("give the dive number with --dive, such as --dive 407C, or --any-exemplar if unknown")
        if self.json not in (None, STDOUT) and not str(self.json).endswith(".json"):
            raise UserError(f"--json writes to a file that ends in .json, or to {STDOUT}; got {self.json!r}")
        if self.out is None and (self.resume, self.workers, self.time_limit, self.ray) != (False, None, None, None):
            raise UserError("--resume, --workers, --time-limit and --ray need a file of scores: give --out FILE.jsonl")
        if self.ray is not None and (self.list_file is None or self.json is not None or self.report is not None):
            raise UserError("--ray scores a --list into a folder of Parquet files; it writes no --json and no --report")
        if self.out is not None and self.ray is None and (self.list_file is None or self.out.suffix != ".jsonl"):
            raise UserError(f"--out writes the dives of a --list to a file that ends in .jsonl, got {str(self.out)!r}")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"--workers {self.workers}; at least 1")
        if self.time_limit is not None and not self.time_limit > 0:
            raise UserError(f"--time-limit {self.time_limit:g}; more than 0 seconds")
        if self.report is not None and self.report.suffix not in (".html", ".htm"):
            raise UserError(f"--report writes to a file that ends in .html, got {str(self.report)!r}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _value_for_bare_json(sys.argv[1:] if argv is None else argv)
    return run_command_line(ScoreArguments, _run, prog="mcore-score", doc=__doc__, argv=arguments)


def _run(arguments: ScoreArguments) -> int:
    if arguments.out is not None:
        return _run_archive(arguments, arguments.out)
    if arguments.list_file is not None:
        requests = requests_from_list(arguments.list_file, arguments.split)
    else:
        start, end = arguments.start, arguments.end
        untrimmed = not arguments.whole_clip and start is None and end is None
        requests = [
            DiveRequest(video, arguments.dive, start, end, arguments.difficulty, search=untrimmed)
            for video in arguments.videos
        ]
    with Scorer(
        arguments.bundle,
        arguments.backend,
        precision=arguments.precision,
        threads=arguments.threads,
        num_exemplars=arguments.num_exemplars,
    ) as scorer:
        if arguments.list_file is None:  # a wrong number is an error in the command, not in each video
            scorer.select(arguments.dive, any_exemplar=arguments.any_exemplar)
        if (slow := native.warning()) is not None:
            print(f"warning: {slow}", file=sys.stderr)
        outcomes = _score_with_progress(scorer, requests, arguments)
        print_scores(_console(arguments), scorer, outcomes)
        _write_files(arguments, scorer, outcomes)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        print(outcome.why_not_scored, file=sys.stderr)
    return 0 if all(outcome.status == "scored" for outcome in outcomes) else 1


def _run_archive(arguments: ScoreArguments, out: Path) -> int:
    """Score a list into a file that grows; JSON and report follow once the list is complete."""
    requests = requests_from_list(Path(str(arguments.list_file)), arguments.split)
    setup = WorkerSetup(
        arguments.bundle,
        arguments.backend,
        arguments.precision,
        1 if arguments.threads is None else arguments.threads,
        arguments.num_exemplars,
        arguments.any_exemplar,
        arguments.accept_unlike,
    )
    with setup.open() as scorer:  # closed again: the processes have engines of their own
        pass
    if (slow := native.warning()) is not None:
        print(f"warning: {slow}", file=sys.stderr)
    workers, outcomes = arguments.workers or 1, list[DiveOutcome]()
    time_limit_s = TIME_LIMIT_S if arguments.time_limit is None else arguments.time_limit
    how: dict[str, Any] = {"resume": arguments.resume, "workers": workers, "time_limit_s": time_limit_s}
    if arguments.ray is not None:
        run = score_on_cluster(scorer, setup, requests, out, address=arguments.ray, **how)
    else:
        want_outcomes = arguments.json is not None or arguments.report is not None
        run, outcomes = score_archive(scorer, setup, requests, out, want_outcomes=want_outcomes, **how)
    counts = ", ".join(f"{run.counts[status]} {status}" for status in ("scored", "unlike", "failed"))
    console = _console(arguments)
    console.print(
        f"{out}: {run.counts.total()} of {run.num_dives} dives: {counts}; {run.num_new} of them now, by {workers} "
        f"process{'es' if workers > 1 else ''}, {run.dives_per_hour:,.0f} an hour",
        markup=False,
    )
    if not run.is_complete:
        print("interrupted; the same command with --resume goes on", file=sys.stderr)
        return INTERRUPTED
    _write_files(arguments, scorer, outcomes)
    return 0 if run.counts["scored"] == run.num_dives else 1


def _score_with_progress(
    scorer: Scorer, requests: Sequence[DiveRequest], arguments: ScoreArguments
) -> list[DiveOutcome]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("scoring", total=len(requests))
        dives = _dives(requests, scorer.bundle.spotter, progress, task)
        settings = {"any_exemplar": arguments.any_exemplar, "accept_unlike": arguments.accept_unlike}
        return list(score_all(scorer, dives, **settings))


def _dives(requests: Sequence[DiveRequest], spotter: Path, progress: Progress, task: TaskID) -> Iterator[DiveRequest]:
    """Look for the dives of each file when its turn comes, and say how far that is."""

    def looked(until_s: float, of_s: float) -> None:
        progress.update(task, description=f"looking for dives, {until_s:.0f} of {of_s:.0f} s")

    for request in requests:
        found = search(request, spotter, looked) if request.search else [request]
        progress.update(task, description="scoring")
        yield from found
        progress.advance(task)  # its last dive is scored when the next one is asked for


def _console(arguments: ScoreArguments) -> Console:
    """Where people read: the table makes room on standard output when the JSON goes there."""
    console = Console(stderr=arguments.json == STDOUT, highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_WITHOUT_TERMINAL
    return console


def _write_files(arguments: ScoreArguments, scorer: Scorer, outcomes: Sequence[DiveOutcome]) -> None:
    """Write JSON and report, where they are asked for."""
    console = _console(arguments)
    if arguments.json is not None:
        text = json.dumps(scores_document(scorer, outcomes), indent=2, allow_nan=False) + "\n"
        if arguments.json == STDOUT:
            sys.stdout.write(text)
        else:
            size = write_text(str(arguments.json), text)
            console.print(f"{arguments.json}: {len(outcomes)} dives, {size / 1e3:.0f} kB", markup=False)
    if arguments.report is not None:
        began = time.perf_counter()
        size = write_report(arguments.report, scorer.bundle, outcomes, edition_of(arguments.edition))
        seconds = time.perf_counter() - began
        console.print(f"{arguments.report}: {len(outcomes)} dives, {size / 1e3:.0f} kB, {seconds:.1f} s", markup=False)


def _value_for_bare_json(argv: Sequence[str]) -> list[str]:
    """Give ``--json`` its value ``-`` where what follows is neither a .json file nor ``-`` itself."""
    arguments: list[str] = []
    for position, argument in enumerate(argv):
        arguments.append(argument)
        following = argv[position + 1] if position + 1 < len(argv) else ""
        if argument == "--json" and following != STDOUT and not following.endswith(".json"):
            arguments.append(STDOUT)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
