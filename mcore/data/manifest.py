"""Lists of labelled dives: one line for each dive, JSON lines or CSV, paths relative to the list itself.

Columns: path, dive_number, score; and optionally difficulty, split, num_frames, transition_frames (in CSV two
columns, flight_frame and entry_frame), start_s, end_s.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.splits import SPLITS as SPLITS
from mcore.common.splits import Split as Split
from mcore.common.typed_json import convert, decode

MANIFEST = "manifest.jsonl"
"""Name of the list in the folder of a data set."""
_EXPECTED = (
    "a dive has path, dive_number and score, and optionally difficulty, split (train, val, test), num_frames, "
    "transition_frames (in CSV flight_frame and entry_frame, both or neither), start_s and end_s"
)


@dataclass(frozen=True)
class DiveRecord:
    """One labelled dive."""

    path: Path
    """Video file or folder of images."""
    dive_number: str
    """Dive number of the diving rules, such as ``407C``."""
    score: float
    """Points: difficulty x sum of the counted awards."""
    difficulty: float | None = None
    """Degree of difficulty."""
    split: Split | None = None
    """Part of the data set; validation chooses checkpoints, test is only reported."""
    num_frames: int | None = None
    """Frames of the clip at its source rate."""
    transition_frames: tuple[int, int] | None = None
    """First source frame of the flight and of the entry, counted from the clip's first frame."""
    start_s: float | None = None
    """Clip start in the file, seconds of presentation time; None: the file's first frame."""
    end_s: float | None = None
    """Clip end (exclusive) in the file, seconds; None: the file's end."""


def read_manifest(path: str | Path) -> list[DiveRecord]:
    """Read a list of dives.

    Args:
        path: a ``.jsonl`` or ``.csv`` file.

    Returns:
        The dives in the file's order, their paths resolved against the file's folder.

    Raises:
        UserError: no such file, another ending, or a line that is not a dive (named by its number).
    """
    path = Path(path)
    records = []
    for _, found in scan_manifest(path):
        if isinstance(found, UserError):
            raise found
        records.append(found)
    if not records:
        raise UserError(f"{path} lists no dives")
    return records


def scan_manifest(path: str | Path) -> Iterator[tuple[int, DiveRecord | UserError]]:
    """Read a list of dives line by line, and go on after a bad line.

    Args:
        path: a ``.jsonl`` or ``.csv`` file.

    Yields:
        The number of a line with its dive, or with what is wrong with it.

    Raises:
        UserError: no such file, or another ending.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the list of dives in it, such as {path / MANIFEST}")
    if not path.is_file():
        raise UserError(f"no list of dives at {path}; make one with: mcore-data render --out {path.parent}")
    if path.suffix not in (".jsonl", ".csv"):
        raise UserError(f"{path}: a list of dives ends in .jsonl or .csv, got {path.suffix or 'no ending'!r}")
    rows: Iterator[tuple[int, str | Mapping[str, Any]]]
    rows = _jsonl_rows(path) if path.suffix == ".jsonl" else _csv_rows(path)
    try:
        for line, row in rows:
            yield line, _record_or_error(row, path, line)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error})") from error


def write_manifest(path: str | Path, records: Iterable[DiveRecord]) -> None:
    """Write dives as JSON lines, atomically, with paths relative to the list where they lie below it."""
    folder = Path(path).parent
    write_text(path, "".join(json.dumps(_row(record, folder)) + "\n" for record in records))


def select_split(records: Iterable[DiveRecord], split: Split) -> list[DiveRecord]:
    """Dives of one split, in order.

    Raises:
        UserError: none has it.
    """
    records = list(records)
    chosen = [record for record in records if record.split == split]
    if not chosen:
        found = sorted({str(record.split) for record in records})
        raise UserError(f"no dive of split {split!r} among {len(records)} dives; splits found: {', '.join(found)}")
    return chosen


def _row(record: DiveRecord, folder: Path) -> dict[str, Any]:
    row = {name: value for name, value in vars(record).items() if value is not None}
    resolved, base = record.path.resolve(), folder.resolve()
    row["path"] = str(resolved.relative_to(base)) if resolved.is_relative_to(base) else str(resolved)
    return row


def _jsonl_rows(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, start=1):
            if text.strip():
                yield line, text


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin with a byte order mark
        reader = csv.DictReader(file)
        for row in reader:
            values: dict[str, Any] = {k: v for k, v in row.items() if k is not None and v not in (None, "")}
            flight, entry = values.pop("flight_frame", None), values.pop("entry_frame", None)
            if flight is not None or entry is not None:
                values["transition_frames"] = (flight, entry)
            yield reader.line_num, values


def _record_or_error(row: str | Mapping[str, Any], path: Path, line: int) -> DiveRecord | UserError:
    where = f"{path}, line {line}"
    try:
        values = decode(dict[str, Any], row, where) if isinstance(row, str) else row
        record = convert(DiveRecord, values, where, strict=False)  # CSV holds text only
    except UserError as error:
        return UserError(f"{error}; {_EXPECTED}")
    if not math.isfinite(record.score):
        return UserError(f"{where}: the score is {record.score}; give points")
    return replace(record, path=path.parent / record.path)


def dive_names(records: Sequence[DiveRecord], listing: Path) -> list[str]:
    """Name dives, no two alike, by what does not change with the machine or the spelling of a path.

    Args:
        records: dives of one list.
        listing: the list.

    Returns:
        The path below the list's folder, else the file's name; of a file that holds several dives with the place in it;
        numbered where that is not enough.
    """
    seen: Counter[str] = Counter()
    names = []
    for record in records:
        name = _name(record, listing.parent.resolve())
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return names


def _name(record: DiveRecord, base: Path) -> str:
    path = record.path.resolve()
    name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name
    if record.start_s is None and record.end_s is None:
        return name
    return f"{name} {record.start_s or 0:g}-{'' if record.end_s is None else f'{record.end_s:g}'} s"
