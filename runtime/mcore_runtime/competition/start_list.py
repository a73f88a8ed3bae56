"""Start lists as CSV files, forgiving in form and strict in content: every bad line is named, and none is half-read.

A spreadsheet's export is taken as it comes: commas, semicolons or tabs, any order and case of the columns, a byte order
mark, decimal commas, empty lines. ``python -m mcore_runtime.competition`` prints a template, and checks a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.common.tables import Table, find_columns, listed, read_table, read_text, read_whole
from mcore.diving import NEWEST, Edition
from mcore_runtime.competition.entry import (
    Entry,
    clean_difficulty,
    clean_height,
    clean_number,
    clean_text,
    difficulty_warning,
    with_difficulty,
)

TEMPLATE = """\
order,round,athlete,club,dive_number,height,difficulty
1,1,Ada Example,Springfield DC,107B,3,3.1
2,1,Bo Sample,Shelbyville,407C,3,3.4
3,2,Ada Example,Springfield DC,5253B,10,3.2
4,2,Bo Sample,Shelbyville,205B,,
"""
_NAMES: Mapping[str, tuple[str, ...]] = {
    "order": ("order", "no", "nr", "number", "start", "position", "#"),
    "athlete": ("athlete", "name", "diver", "competitor"),
    "club": ("club", "team", "nation", "noc", "country"),
    "dive_number": ("divenumber", "dive", "diveno", "divenr", "divecode"),
    "difficulty": ("difficulty", "dd", "degreeofdifficulty", "tariff"),
    "round": ("round", "rd"),
    "height_m": ("height", "heightm", "board", "boardheight"),
}
_REQUIRED = ("athlete", "dive_number")
_MAX_BYTES = 2_000_000
_MAX_ORDER = 100_000
_HELP = "Print a template with: python -m mcore_runtime.competition"


@dataclass(frozen=True)
class StartList:
    """A start list that was read in full."""

    entries: tuple[Entry, ...]
    """Entries in diving order."""
    warnings: tuple[str, ...] = ()
    """Oddities for a person to look at; each names its line."""


def read_start_list(path: str | Path, edition: Edition = NEWEST) -> StartList:
    """Read a start list.

    Args:
        path: a CSV file with a line of column names; ``athlete`` and ``dive_number`` are needed, ``order``, ``club``,
            ``difficulty``, ``height`` and ``round`` may be there. An order that begins anew in each round is numbered
            on.
        edition: of the rules, which give a dive from a height its difficulty where the list does not.

    Raises:
        UserError: it cannot be read, or has bad lines; all of them are named with their numbers.
    """
    path = Path(path)
    try:
        text, warnings = read_text(path, max_bytes=_MAX_BYTES, legacy=True)
        read = parse_start_list(text, edition)
    except OSError as error:
        raise UserError(f"the start list {path} cannot be read: {error.strerror or error}. {_HELP}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return replace(read, warnings=(*warnings, *read.warnings))


def parse_start_list(text: str, edition: Edition = NEWEST) -> StartList:
    """Read a start list from its text; see ``read_start_list``."""
    table = read_table(text)
    if table is None:
        raise UserError(f"the start list is empty. {_HELP}")
    columns, unknown = _columns(table)
    warnings = [f"line {table.header_line}: the column {name!r} is not used" for name in unknown]
    entries: list[Entry] = []
    numbers: list[int] = []
    faults: list[str] = []
    for number, cells in table.rows:
        try:
            if isinstance(cells, UserError):
                raise cells
            entry = _entry(columns, cells, len(entries) + 1)
        except UserError as error:
            faults.append(f"line {number}: {error}")
            continue
        entries.append(with_difficulty(entry, edition))
        numbers.append(number)
        warning = difficulty_warning(entry.dive_number, entry.difficulty, entry.round, entry.height_m, edition)
        if warning is not None:
            warnings.append(f"line {number}: {warning}")
    if not faults and not entries:
        raise UserError(f"the start list has no line below its column names. {_HELP}")
    ordered = _in_order(entries, numbers, faults, warnings)
    if faults:
        raise UserError(f"nothing was read, because of {len(faults)} mistake(s):\n  {listed(faults)}")
    return StartList(tuple(ordered), tuple(warnings))


def _columns(table: Table) -> tuple[dict[str, int], list[str]]:
    try:
        return find_columns(table, _NAMES, _REQUIRED)
    except UserError as error:
        raise UserError(f"{error}. {_HELP}") from None


def _entry(columns: Mapping[str, int], cells: Sequence[str], position: int) -> Entry:
    """Read one line; all of its mistakes are in the error."""
    readers: Mapping[str, Callable[[str], Any]] = {
        "order": lambda text: _whole(text, "order"),
        "athlete": lambda text: clean_text(text, "athlete", required=True),
        "club": lambda text: clean_text(text, "club"),
        "dive_number": clean_number,
        "difficulty": clean_difficulty,
        "height_m": clean_height,
        "round": lambda text: _whole(text, "round") if text else None,
    }
    values: dict[str, Any] = {"order": position}
    faults = []
    for field, index in columns.items():
        value, fault = _attempt(readers[field], cells[index])
        values[field] = value
        faults += [] if fault is None else [fault]
    if faults:
        raise UserError("; ".join(faults))
    return Entry(**values)


def _attempt(reader: Callable[[str], Any], text: str) -> tuple[Any, str | None]:
    """Read a cell; returns its value, and what is wrong with it."""
    try:
        return reader(text), None
    except UserError as error:
        return None, str(error)


def _whole(text: str, name: str) -> int:
    return read_whole(text.rstrip("."), name, 1, _MAX_ORDER)  # "1." is how some number the lines


def _in_order(entries: Sequence[Entry], numbers: Sequence[int], faults: list[str], warnings: list[str]) -> list[Entry]:
    """Sort by order; by round first where the order begins anew in each round."""
    lines = dict(zip(map(id, entries), numbers, strict=True))
    by_round = len({entry.order for entry in entries}) < len(entries) and all(e.round is not None for e in entries)
    seen: dict[tuple[int | None, int], int] = {}
    for entry in entries:
        key = (entry.round if by_round else None, entry.order)
        if key in seen:
            where = f" in round {entry.round}" if by_round else ""
            faults.append(f"line {lines[id(entry)]}: order {entry.order}{where} is already on line {seen[key]}")
        seen.setdefault(key, lines[id(entry)])
    if not by_round:
        return sorted(entries, key=lambda entry: entry.order)
    warnings.append("the order begins anew in each round: entries are numbered on through all rounds")
    ordered = sorted(entries, key=lambda entry: (entry.round or 0, entry.order))
    return [replace(entry, order=order) for order, entry in enumerate(ordered, 1)]
