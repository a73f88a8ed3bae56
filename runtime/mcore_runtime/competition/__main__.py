"""Print a template of a start list, or check one: what is read of it, and what a person should look at.

    python -m mcore_runtime.competition > start-list.csv
    python -m mcore_runtime.competition start-list.csv

Exit code: 0; 2 for a list with mistakes, all of which are named.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mcore.common.command_line import run_command_line
from mcore.diving import NEWEST_YEAR, EditionYear, edition_of
from mcore_runtime.competition.start_list import TEMPLATE, StartList, read_start_list


@dataclass(frozen=True)
class StartListArguments:
    """Print a template of a start list, or check one."""

    start_list: tyro.conf.Positional[Path | None] = None
    """CSV file to be checked; none: print a template."""
    edition: EditionYear = NEWEST_YEAR
    """Year of the diving rules with which difficulties are compared."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command_line(
        StartListArguments, _run, prog="python -m mcore_runtime.competition", doc=__doc__, argv=argv
    )


def _run(arguments: StartListArguments) -> int:
    if arguments.start_list is None:
        sys.stdout.write(TEMPLATE)
        return 0
    edition = edition_of(arguments.edition)
    start_list = read_start_list(arguments.start_list, edition)
    console = Console(highlight=False)
    console.print(_table(start_list))
    if any(entry.difficulty is not None for entry in start_list.entries):
        console.print(f"difficulties compared with the rules of {edition}")
    for warning in start_list.warnings:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    return 0


def _table(start_list: StartList) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("order", "round", "athlete", "club", "dive", "height m", "difficulty"):
        table.add_column(name, justify="right" if name in ("order", "round", "height m", "difficulty") else "left")
    for entry in start_list.entries:
        table.add_row(
            str(entry.order),
            "" if entry.round is None else str(entry.round),
            escape(entry.athlete),
            escape(entry.club),
            entry.dive_number or "not announced",
            "" if entry.height_m is None else f"{entry.height_m:g}",
            "" if entry.difficulty is None else f"{entry.difficulty:g}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
