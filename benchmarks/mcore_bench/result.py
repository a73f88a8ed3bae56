"""The one format of every benchmark's result: where and when it was measured, candidates in turns, and other tables.

result = begin_result("Reading of videos")
write_result(path, replace(result, groups=groups))
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.typed_json import decode, encode
from mcore.data.cache_folder import check_folder
from mcore_bench.machine import Conditions, Environment, read_environment
from mcore_bench.timing import TimingGroup

FORMAT = "mcore-bench 2"
"""Version 1 had a record of its own for each kind of table."""

Value = str | int | float | None
"""Value of a cell; None: there is no figure."""
Row = tuple[Value, ...]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    heading: str
    """Heading with the unit."""
    format: str = ""
    """Format of its numbers, as ``format`` takes it, such as ``.2f``."""


@dataclass(frozen=True)
class Table:
    """Figures that are not candidates in turns."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    """Remark for readers of the table; may be empty."""


def make_table(title: str, columns: Mapping[str, str], rows: Iterable[Row], note: str = "") -> Table:
    """Return a table; ``columns`` are headings with the formats of their numbers, empty for text."""
    return Table(title, tuple(Column(heading, form) for heading, form in columns.items()), tuple(rows), note)


@dataclass(frozen=True)
class MeasuredBundle:
    """Bundle that was measured."""

    name: str
    """Name of its folder."""
    sha256: str
    checkpoint: str = ""
    """From which it was exported."""


@dataclass(frozen=True)
class Result:
    """One run of one benchmark."""

    format: str
    title: str
    command: str
    """The command as it was typed."""
    environment: Environment
    bundles: tuple[MeasuredBundle, ...] = ()
    groups: tuple[TimingGroup, ...] = ()
    tables: tuple[Table, ...] = ()
    absent: tuple[str, ...] = ()
    """Candidates that were not measured, with reasons."""
    conditions: Conditions | None = None
    """Conditions of the whole run; None: each group has its own, or no time was measured."""
    note: str = ""
    """Remark for readers of all of it; may be empty."""


@dataclass(frozen=True, kw_only=True)
class JsonFile:
    """The flag that every benchmark has."""

    json: Path | None = None
    """Write all figures to this .json file, which mcore-bench report reads."""

    def __post_init__(self) -> None:
        if self.json is not None:
            if self.json.suffix != ".json":
                raise UserError(f"--json writes to a file that ends in .json, got {str(self.json)!r}")
            check_folder(self.json.parent, "the folder of --json", f"choose another place for {self.json.name}")


def begin_result(title: str, *, threads: int = 0, malloc_trimming: bool = True, program: str = "mcore-bench") -> Result:
    """Return a result without figures; the date is now.

    Args:
        title: may contain ``{processor}``.
        threads: that engines get; 0: their own choice.
        malloc_trimming: whether the C library was left as it is.
        program: how the command begins.
    """
    environment = read_environment(threads, malloc_trimming=malloc_trimming)
    command = f"{program} {shlex.join(sys.argv[1:])}".strip()
    return Result(FORMAT, title.format(processor=environment.processor), command, environment)


def write_result(path: Path, result: Result) -> None:
    """Write a result as JSON; a UserError says where that is not possible."""
    write_text(path, encode(result, indent=1) + "\n")


def read_result(path: Path) -> Result:
    """Read a result; a UserError says where there is none, or one of another version."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read a result from {path}: {error}") from error
    result = decode(Result, text, f"{path} is no result of this mcore-bench, measure again")
    if result.format != FORMAT:
        raise UserError(f"{path} is a result of {result.format!r}; this mcore-bench reads {FORMAT!r}: measure again")
    return result
