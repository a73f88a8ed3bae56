"""Lists that people write: text of any usual encoding, tables of any usual separator, and numbers as they are meant.

Start lists and lists of dives are read by this. It is forgiving in form and strict in content: what could be meant in
two ways is refused, with its line.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcore.common.errors import UserError

MAX_NAMED = 20
"""Bad lines that an error names; it says how many more there are."""
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_SHOWN = 60
"""Letters of a wrong value that a message repeats."""


@dataclass(frozen=True)
class Table:
    """A CSV file's cells, without what surrounds them."""

    header: tuple[str, ...]
    header_line: int
    rows: tuple[tuple[int, tuple[str, ...] | UserError], ...]
    """The number of each line that is not empty, with as many cells as the header, or what is wrong with it."""


def read_text(path: Path, *, max_bytes: int, legacy: bool = False) -> tuple[str, tuple[str, ...]]:
    """Read a text file as UTF-8 or, where its mark says so, UTF-16.

    Args:
        path: the file.
        max_bytes: larger files are refused before they are read.
        legacy: what is neither is read as Windows-1252, with a warning; for text in which a wrong letter harms nobody.

    Returns:
        The text without a byte order mark, and warnings.

    Raises:
        UserError: another encoding, not text, or too large.
        OSError: it cannot be read.
    """
    if (size := path.stat().st_size) > max_bytes:
        raise UserError(f"it has {size} bytes; such a list has at most {max_bytes}")
    data = path.read_bytes()
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    warnings: tuple[str, ...] = ()
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        if is_utf16 or not legacy:
            found = "damaged UTF-16" if is_utf16 else "not UTF-8"
            raise UserError(f"it is {found} text ({error.reason} at byte {error.start}); save it as UTF-8") from None
        text = data.decode("cp1252", errors="replace")
        warnings = ("the file is not UTF-8: read as Windows-1252; check the names",)
    if "\0" in text:  # also UTF-16 without its mark
        raise UserError("it is not a text file: it holds NUL characters; save it as UTF-8 text")
    return text, warnings


def read_table(text: str) -> Table | None:
    """Split a CSV file with commas, semicolons or tabs into cells, without spaces around them and empty lines.

    Returns:
        None where there is nothing but empty lines.

    Raises:
        UserError: not CSV.
    """
    head = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    lines: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                lines.append((reader.line_num, stripped))
    except csv.Error as error:
        raise UserError(f"line {reader.line_num}: not CSV ({error}); is a quotation mark left open?") from error
    if not lines:
        return None
    (header_line, header), *rows = lines
    fitted = tuple((line, _fit(cells, len(header), separator)) for line, cells in rows)
    return Table(tuple(header), header_line, fitted)


def _fit(cells: Sequence[str], width: int, separator: str) -> tuple[str, ...] | UserError:
    """Give a row as many cells as the header, or say why it has others.

    A decimal comma in a list with commas makes a cell more. It would go unseen where the last cells are left out, so
    such rows must be whole; and where they are empty, so a comma too many is no end of a line.
    """
    if len(cells) > width and (separator == "," or any(cells[width:])):
        extra = next((cell for cell in cells[width:] if cell), "")
        what = f"{_shown(extra)} is beyond the last column" if extra else "it has a cell beyond the last column"
    elif len(cells) < width and separator == ",":
        what = f"it has {len(cells)} cells, the columns are {width}"
    else:
        return tuple(cells[:width]) + ("",) * (width - len(cells))
    advice = "a name or a number that holds a comma needs quotation marks, or separate columns by semicolons"
    if separator != ",":
        advice = "put a name that holds a separator in quotation marks"
    return UserError(f"{what}; {advice}")


def find_columns(
    table: Table, names: Mapping[str, Sequence[str]], required: Sequence[str]
) -> tuple[dict[str, int], list[str]]:
    """Find the columns that have a meaning, whatever the case, spaces and punctuation of their names.

    Args:
        table: the list.
        names: by field, the ways to name its column, small letters and digits (and #) only.
        required: fields that must be there.

    Returns:
        By field the position of its column; and the names that mean nothing.

    Raises:
        UserError: two columns are the same field, or a required one is not there.
    """
    columns: dict[str, int] = {}
    unknown = []
    for index, name in enumerate(table.header):
        key = "".join(letter for letter in name.casefold() if letter.isalnum() or letter == "#")
        field = next((field for field, keys in names.items() if key in keys), None)
        if field is None:
            unknown += [name] if name else []
        elif field in columns:
            first = table.header[columns[field]]
            raise UserError(
                f"line {table.header_line}: two columns are the {field}: {_shown(first)} and {_shown(name)}; keep one"
            )
        else:
            columns[field] = index
    if missing := [name for name in required if name not in columns]:
        raise UserError(
            f"line {table.header_line}: there is no column {' and no column '.join(missing)}; "
            f"got {', '.join(map(_shown, table.header[:MAX_NAMED]))}. Allowed: {', '.join(names)}"
        )
    return columns, unknown


def read_number(text: str, name: str) -> float:
    """Read a number with a decimal point or comma.

    Raises:
        UserError: not a number, or not a finite one.
    """
    value = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise UserError(f"{name} is {_shown(text)}; give a number, such as 3.2, without separators of thousands")
    return value


def read_whole(text: str, name: str, least: int = 0, most: int = 2**53) -> int:
    """Read a whole number; ``17.0``, as spreadsheets write it, is one.

    Args:
        text: the cell.
        name: of its column.
        least: smallest number allowed.
        most: largest; above the default spreadsheets' numbers are not exact.

    Raises:
        UserError: not a whole number, or not within the limits.
    """
    value = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan
    if not (least <= value <= most and value == int(value)):
        raise UserError(f"{name} is {_shown(text)}; give a whole number from {least}")
    return int(value)


def listed(faults: Sequence[str]) -> str:
    """Lines of an error that names faults, the first of them where there are many."""
    more = f"\n  and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
    return "\n  ".join(faults[:MAX_NAMED]) + more


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")
