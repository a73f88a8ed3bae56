"""Make a report of a session, and export it; also while it is going on.

    mcore-report sessions/final                                  # sessions/final/report.html
    mcore-report sessions/final --html final.html --csv final.csv --json final.json

The JSON document holds every dive with its history, the start list, the ranking and the events. Exit code: 0, 2 for a
mistake in the command.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.diving import EditionYear
from mcore_runtime.session.data import read_session
from mcore_runtime.session.export import write_csv, write_json
from mcore_runtime.session.overview import DiveView, Overview, overview
from mcore_runtime.session.report import write_session_report

_REPORT_FILE = "report.html"


@dataclass(frozen=True)
class ReportArguments:
    """Make a report of a session, and export it."""

    folder: tyro.conf.Positional[Path]
    """The session's folder."""
    html: Path | None = None
    """Write the report with pictures to this .html file; default, where nothing else is asked for: report.html in the
    session's folder."""
    csv: Path | None = None
    """Write a table with a line for each dive to this .csv file."""
    json: Path | None = None
    """Write all that is known to this .json file."""
    edition: EditionYear | None = None
    """Year of the diving rules with which difficulties are said; default: that of the session."""

    def __post_init__(self) -> None:
        for flag, path, endings in (
            ("--html", self.html, (".html", ".htm")),
            ("--csv", self.csv, (".csv",)),
            ("--json", self.json, (".json",)),
        ):
            if path is not None and path.suffix not in endings:
                raise UserError(f"{flag} writes to a file that ends in {endings[0]}, got {str(path)!r}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command_line(ReportArguments, _run, prog="mcore-report", doc=__doc__, argv=argv)


def _run(arguments: ReportArguments) -> int:
    console = Console(highlight=False, soft_wrap=True)
    session = overview(read_session(arguments.folder))
    html = arguments.html
    if arguments == ReportArguments(arguments.folder, edition=arguments.edition):
        html = arguments.folder / _REPORT_FILE
    if html is not None:
        _write(
            console, html, session, lambda path, of: write_session_report(path, of, _with_progress, arguments.edition)
        )
    if arguments.csv is not None:
        _write(console, arguments.csv, session, write_csv)
    if arguments.json is not None:
        _write(console, arguments.json, session, write_json)
    for problem in session.problems:
        print(f"not read: {problem}", file=sys.stderr)
    return 0


def _write(console: Console, path: Path, session: Overview, writer: Callable[[Path, Overview], int]) -> None:
    began = time.perf_counter()
    size = writer(path, session)
    seconds = time.perf_counter() - began
    console.print(f"{path}: {len(session.dives)} dives, {size / 1e3:.0f} kB, {seconds:.1f} s", markup=False)


def _with_progress(dives: Sequence[DiveView]) -> Iterable[DiveView]:
    console = Console(stderr=True)
    return track(dives, "drawing", console=console, transient=True, disable=not console.is_terminal)


if __name__ == "__main__":
    sys.exit(main())
