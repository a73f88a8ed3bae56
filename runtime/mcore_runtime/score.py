"""Score dives in video files with an exported bundle; torch is not needed.

    mcore-score demo/bundle dive1.mp4 dive2.mp4 --dive 407C --report report.html
    mcore-score demo/bundle dive.mp4 --dive 407C --json > scores.json
    mcore-score demo/bundle --list dives.csv --split test --json scores.json

Exit code: 0 when every dive was scored; 1 when one was not, or is unlike the dives that the bundle knows and was not
accepted by --accept-unlike (the rest are scored); 2 for an error in the command.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.printable import printable_message
from mcore.data.manifest import Split
from mcore.diving import NEWEST_YEAR, EditionYear, edition_of
from mcore.video import native
from mcore_runtime.backends import BackendName
from mcore_runtime.bundle.records import Precision
from mcore_runtime.competition.entry import clean_difficulty
from mcore_runtime.report import write_report
from mcore_runtime.scoring.batch import DiveOutcome, DiveRequest, requests_from_list, score_all, scores_document
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.scoring.table import print_scores

STDOUT = "-"
_WIDTH_WITHOUT_TERMINAL = 160
"""Columns of the table in a log or pipe, where rich would assume 80 and fold every cell."""


@dataclass(frozen=True)
class ScoreArguments:
    """Score dives in video files with an exported bundle."""

    bundle: tyro.conf.Positional[Path]
    """Folder made by mcore-export."""
    videos: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Video files (anything FFmpeg reads) or folders of images."""
    dive: str | None = None
    """Dive number of all the videos, such as 407C."""
    difficulty: float | None = None
    """Degree of difficulty of all the videos; default: that of the exemplars, where they agree on one."""
    any_exemplar: bool = False
    """Where no dive number is given, compare with exemplars of what the dive looks like; where the bundle cannot say
    that, or has no exemplars of the given number, with all."""
    list_file: Annotated[Path | None, tyro.conf.arg(name="list")] = None
    """Instead of videos: a .csv or .jsonl list with path, dive_number and score of each dive."""
    split: Split | None = None
    """Only this part of the list."""
    start: float | None = None
    """Where the dive begins in the file, seconds; default: at its first frame."""
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
    """Compare with at most this many exemplars; default: all of the dive number."""

    def __post_init__(self) -> None:
        if bool(self.videos) == (self.list_file is not None):
            raise UserError("give either video files or --list FILE; see mcore-score --help")
        clean_difficulty(self.difficulty)
        if self.list_file is not None and (self.dive, self.difficulty, self.start, self.end) != (None,) * 4:
            raise UserError(
                "--list gives each dive its own number, difficulty, start and end: leave out --dive, --difficulty, "
                "--start, --end"
            )
        if self.list_file is None and self.split is not None:
            raise UserError("--split chooses a part of a list; it needs --list FILE")
        if self.list_file is None and self.dive is None and not self.any_exemplar:
            raise UserError("give the dive number with --dive, such as --dive 407C, or --any-exemplar if unknown")
        if self.json not in (None, STDOUT) and not str(self.json).endswith(".json"):
            raise UserError(f"--json writes to a file that ends in .json, or to {STDOUT}; got {self.json!r}")
        if self.report is not None and self.report.suffix not in (".html", ".htm"):
            raise UserError(f"--report writes to a file that ends in .html, got {str(self.report)!r}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _value_for_bare_json(sys.argv[1:] if argv is None else argv)
    return run_command_line(ScoreArguments, _run, prog="mcore-score", doc=__doc__, argv=arguments)


def _run(arguments: ScoreArguments) -> int:
    if arguments.list_file is not None:
        requests = requests_from_list(arguments.list_file, arguments.split)
    else:
        requests = [
            DiveRequest(video, arguments.dive, arguments.start, arguments.end, arguments.difficulty)
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
        _write_outputs(arguments, scorer, outcomes)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        video, error = str(outcome.request.video), str(outcome.error)
        print(printable_message(f"not scored: {error if video in error else f'{video}: {error}'}"), file=sys.stderr)
    return 0 if all(outcome.status == "scored" for outcome in outcomes) else 1


def _score_with_progress(
    scorer: Scorer, requests: Sequence[DiveRequest], arguments: ScoreArguments
) -> list[DiveOutcome]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    outcomes = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("scoring", total=len(requests))
        for outcome in score_all(
            scorer, requests, any_exemplar=arguments.any_exemplar, accept_unlike=arguments.accept_unlike
        ):
            outcomes.append(outcome)
            progress.advance(task)
    return outcomes


def _write_outputs(arguments: ScoreArguments, scorer: Scorer, outcomes: Sequence[DiveOutcome]) -> None:
    """Table, JSON and report; the table makes room on standard output when the JSON goes there."""
    json_on_stdout = arguments.json == STDOUT
    console = Console(stderr=json_on_stdout, highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_WITHOUT_TERMINAL
    print_scores(console, scorer, outcomes)
    if arguments.json is not None:
        text = json.dumps(scores_document(scorer, outcomes), indent=2, allow_nan=False) + "\n"
        if json_on_stdout:
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
