"""Start lists as CSV files, forgiving in form and strict in content: every bad line is named, and none is half-read.

A spreadsheet's export is taken as it comes: commas, semicolons or tabs, any order and case of the columns, a byte order
mark, decimal commas, empty lines. ``python -m mcore_runtime.competition`` prints a template, and checks a list.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore_runtime.competition.entry import (
    Entry,
    clean_difficulty,
    clean_number,
    clean_text,
    difficulty_warning,
)

TEMPLATE = """\
order,round,athlete,club,dive_number,difficulty
1,1,Ada Example,Springfield DC,107B,3.1
2,1,Bo Sample,Shelbyville,407C,3.4
3,2,Ada Example,Springfield DC,5253B,3.2
4,2,Bo Sample,Shelbyville,205B,
"""
_NAMES: Mapping[str, tuple[str, ...]] = {
    "order": ("order", "no", "nr", "number", "start", "position", "#"),
    "athlete": ("athlete", "name", "diver", "competitor"),
    "club": ("club", "team", "nation", "noc", "country"),
    "dive_number": ("divenumber", "dive", "diveno", "divenr", "divecode"),
    "difficulty": ("difficulty", "dd", "degreeofdifficulty", "tariff"),
    "round": ("round", "rd"),
}
_REQUIRED = ("athlete", "dive_number")
_MAX_BYTES = 2_000_000
_MAX_NAMED = 20
"""Bad lines that an error names; it says how many more there are."""
_HELP = "Print a template with: python -m mcore_runtime.competition"


@dataclass(frozen=True)
class StartList:
    """A start list that was read in full."""

    entries: tuple[Entry, ...]
    """In diving order."""
    warnings: tuple[str, ...] = ()
    """What a person should look at; each names its line."""


def read_start_list(path: str | Path) -> StartList:
    """Read a start list.

    Args:
        path: a CSV file with a line of column names; ``athlete`` and ``dive_number`` are needed, ``order``, ``club``,
            ``difficulty`` and ``round`` may be there. An order that begins anew in each round is numbered on.

    Raises:
        UserError: it cannot be read, or has bad lines; all of them are named with their numbers.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"the start list {path} cannot be read: {error.strerror or error}. {_HELP}") from error
    if len(data) > _MAX_BYTES:
        raise UserError(f"{path} has {len(data)} bytes; a start list has at most {_MAX_BYTES}. {_HELP}")
    try:
        text, warnings = _decode(data)
        read = parse_start_list(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return replace(read, warnings=(*warnings, *read.warnings))


def parse_start_list(text: str) -> StartList:
    """Read a start list from its text; see ``read_start_list``."""
    rows = _rows(text)
    if not rows:
        raise UserError(f"the start list is empty. {_HELP}")
    (_, header), *lines = rows
    columns, unknown = _columns(header)
    warnings = [f"line 1: the column {name!r} is not used" for name in unknown]
    entries: list[Entry] = []
    numbers: list[int] = []
    faults: list[str] = []
    for number, cells in lines:
        try:
            entry = _entry(columns, cells, len(header), len(entries) + 1)
        except UserError as error:
            faults.append(f"line {number}: {error}")
            continue
        entries.append(entry)
        numbers.append(number)
        if (warning := difficulty_warning(entry.dive_number, entry.difficulty, entry.round)) is not None:
            warnings.append(f"line {number}: {warning}")
    if not faults and not entries:
        raise UserError(f"the start list has no line below its column names. {_HELP}")
    ordered = _in_order(entries, numbers, faults, warnings)
    if faults:
        more = f"\n  and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
        listed = "\n  ".join(faults[:_MAX_NAMED])
        raise UserError(f"nothing was read, because of {len(faults)} mistake(s):\n  {listed}{more}")
    return StartList(tuple(ordered), tuple(warnings))


def _decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace"), ()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # What spreadsheets of western Windows call CSV; a wrong guess shows in names only.
        return data.decode("cp1252", errors="replace"), (
            "the file is not UTF-8: read as Windows-1252; check the names",
        )
    if "\0" in text:
        raise UserError("it is not a text file; export the list as CSV")
    return text, ()


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Split into cells; each row with the number of its line, without empty rows."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                rows.append((reader.line_num, stripped))
    except csv.Error as error:
        raise UserError(f"line {reader.line_num}: not CSV ({error}); is a quotation mark left open?") from error
    return rows


def _columns(header: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Find the columns by their names; also return the names that mean nothing here."""
    columns: dict[str, int] = {}
    unknown = []
    for index, name in enumerate(header):
        key = "".join(c for c in name.lower() if c.isalnum() or c == "#")
        field = next((field for field, names in _NAMES.items() if key in names), None)
        if field is None:
            unknown += [name] if name else []
        elif field in columns:
            raise UserError(f"line 1: two columns are the {field}: {header[columns[field]]!r} and {name!r}; keep one")
        else:
            columns[field] = index
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise UserError(
            f"line 1: there is no column {' and no column '.join(missing)}; got {', '.join(map(repr, header))}. "
            f"Allowed: {', '.join(_NAMES)}. {_HELP}"
        )
    return columns, unknown


def _entry(columns: Mapping[str, int], cells: Sequence[str], width: int, position: int) -> Entry:
    """Read one line; all of its mistakes are in the error."""
    if extra := [cell for cell in cells[width:] if cell]:
        raise UserError(f"{extra[0]!r} is beyond the last column; put a name that holds a separator in quotation marks")
    readers: Mapping[str, Callable[[str], Any]] = {
        "order": lambda text: _whole(text, "order"),
        "athlete": lambda text: clean_text(text, "athlete", required=True),
        "club": lambda text: clean_text(text, "club"),
        "dive_number": clean_number,
        "difficulty": clean_difficulty,
        "round": lambda text: _whole(text, "round") if text else None,
    }
    values: dict[str, Any] = {"order": position}
    faults = []
    for field, index in columns.items():
        value, fault = _attempt(readers[field], cells[index] if index < len(cells) else "")
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
    if not (text.isascii() and text.rstrip(".").isdigit() and 1 <= int(text.rstrip(".")) <= 100_000):
        raise UserError(f"{name} is {text!r}; give a whole number from 1")
    return int(text.rstrip("."))


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
