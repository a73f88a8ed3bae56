"""The one format of every benchmark's result: where and when it was measured, candidates in turns, and other tables.

write_result(path, Result(...))
result = read_result(path)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.typed_json import decode, encode
from mcore_bench.machine import Conditions, Environment
from mcore_bench.timing import TimingGroup

FORMAT = "mcore-bench 2"
"""Version 1 had a record of its own for each kind of table."""

Value = str | int | float | None
"""Value of a cell; None: there is no figure."""


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
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""
    """Remark for readers of the table; may be empty."""


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


def write_result(path: Path, result: Result) -> None:
    """Write a result as JSON.

    Raises:
        UserError: the place cannot be written to.
    """
    write_text(path, encode(result, indent=1) + "\n")


def read_result(path: Path) -> Result:
    """Read a result.

    Raises:
        UserError: no such file, or it is not a result of this version.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read a result from {path}: {error}") from error
    result = decode(Result, text, f"{path} is no result of this mcore-bench, measure again")
    if result.format != FORMAT:
        raise UserError(f"{path} is a result of {result.format!r}; this mcore-bench reads {FORMAT!r}: measure again")
    return result
