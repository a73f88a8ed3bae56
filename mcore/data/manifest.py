"""Lists of labelled dives: one line for each dive, JSON lines or CSV, paths relative to the list itself.

Columns: path, dive_number, score; and optionally difficulty, split, num_frames, transition_frames (in CSV two columns,
flight_frame and entry_frame), stage_points (in CSV three columns, take_off_points, flight_points and entry_points),
faults (not in CSV), start_s, end_s, origin, event. A line is read in full or refused with the reason.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from mcore.common.errors import UserError
from mcore.common.files import as_spelled, write_text
from mcore.common.splits import SPLITS as SPLITS
from mcore.common.splits import Split as Split
from mcore.common.tables import find_columns, listed, read_number, read_table, read_text, read_whole
from mcore.common.typed_json import convert, decode_object
from mcore.diving import DiveNumber

Origin = Literal["real", "rendered"]
"""Whether a video shows a person, or was drawn by a program."""
MANIFEST = "manifest.jsonl"
"""Name of the list in the folder of a data set."""
MAX_BYTES = 200_000_000
"""Size of a list; a line has some 150 bytes."""
MAX_FRAMES = 100_000_000
"""Frames of a file: years of video."""
_MAX_NAME_BYTES = 255
"""Of a file, on the file systems in use."""
_MAX_PATH_BYTES = 4095
_NOTE = "note"
"""Beginning of the names of columns that are the user's own."""
_EXPECTED = (
    "a dive has path, dive_number and score, and optionally difficulty, split (train, val, test), num_frames, "
    "transition_frames (in CSV flight_frame and entry_frame, both or neither), stage_points (in CSV take_off_points, "
    "flight_points and entry_points, all or none), faults (not in CSV), start_s, end_s, origin (real, rendered) and "
    "event"
)


@dataclass(frozen=True)
class DiveRecord:
    """One labelled dive."""

    path: Path
    """Video file or folder of images."""
    dive_number: str
    """Dive number of the diving rules, such as ``407C``, in the spelling of ``DiveNumber.text``."""
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
    origin: Origin | None = None
    """Of the video, as its list states it; None: not stated. Nothing guesses it."""
    event: str | None = None
    """Competition of a real dive; None: not stated."""
    stage_points: tuple[float, float, float] | None = None
    """Points that the faults of take-off, flight and entry cost, at most 0 each; None: not known."""
    faults: dict[str, float] | None = field(default=None, hash=False)
    """How bad each fault is, by names of the list's own: 0 none, 1 gross; None: not known."""
    listed_at: str = field(default="", compare=False)
    """Where it is listed, such as ``dives.csv, line 7``, for messages; empty: nowhere."""


_NAMES = tuple(each.name for each in fields(DiveRecord) if each.name != "listed_at")
"""What a line of JSON may say."""
_READ_CELL: Mapping[str, Callable[[str, str], Any]] = {
    "path": lambda text, _: text,
    "dive_number": lambda text, _: text,
    "score": read_number,
    "difficulty": read_number,
    "split": lambda text, _: text.casefold(),
    "num_frames": read_whole,
    "flight_frame": read_whole,
    "entry_frame": read_whole,
    "take_off_points": read_number,
    "flight_points": read_number,
    "entry_points": read_number,
    "start_s": read_number,
    "end_s": read_number,
    "origin": lambda text, _: text.casefold(),
    "event": lambda text, _: text,
}
_JOINED = {
    "transition_frames": ("flight_frame", "entry_frame"),
    "stage_points": ("take_off_points", "flight_points", "entry_points"),
}
"""Fields that are several columns of CSV."""
_COLUMNS = {name: (name.replace("_", ""),) for name in _READ_CELL}
_REQUIRED = ("path", "dive_number", "score")


def read_manifest(path: str | Path, on_bad_line: Callable[[UserError], object] | None = None) -> list[DiveRecord]:
    """Read a list of dives.

    Args:
        path: a ``.jsonl`` or ``.csv`` file.
        on_bad_line: called with what is wrong with a line, and the others are read; None: bad lines are an error.

    Returns:
        The dives in the file's order, their paths resolved against the file's folder.

    Raises:
        UserError: no such file, another ending, no dives, or lines that are not dives: all of them are named.
    """
    found = [each for _, each in scan_manifest(path)]
    records = [each for each in found if isinstance(each, DiveRecord)]
    faults = [each for each in found if isinstance(each, UserError)]
    if faults and (on_bad_line is None or not records):
        count = f"{len(faults)} lines of {path} are no dives:\n  " if len(faults) > 1 else ""
        raise UserError(f"{count}{listed([str(fault) for fault in faults])}; {_EXPECTED}")
    for fault in faults:
        on_bad_line(fault)  # type: ignore[misc]  # faults without it are an error
    if not records:
        raise UserError(f"{path} lists no dives")
    return records


def scan_manifest(path: str | Path) -> Iterator[tuple[int, DiveRecord | UserError]]:
    """Read a list of dives line by line, and go on after a bad line.

    Args:
        path: a ``.jsonl`` or ``.csv`` file.

    Yields:
        The number of a line with its dive, or with what is wrong with it, which names the list and the line.

    Raises:
        UserError: no such file, another ending, not text, or columns that are missing, double or unknown.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the list of dives in it, such as {path / MANIFEST}")
    if not path.is_file():
        raise UserError(f"no list of dives at {path}; make one with: mcore-data render --out {path.parent}")
    if path.suffix not in (".jsonl", ".csv"):
        raise UserError(f"{path}: a list of dives ends in .jsonl or .csv, got {path.suffix or 'no ending'!r}")
    folder = list_folder(path)
    try:
        text, _ = read_text(path, max_bytes=MAX_BYTES)
        rows = list(json_lines(text, path) if path.suffix == ".jsonl" else _csv_rows(text))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    for line, row in rows:
        listed_at = f"{path}, line {line}"
        try:
            yield line, _record(row, folder, listed_at)
        except UserError as error:
            said = str(error)
            yield line, UserError(said if said.startswith(listed_at) else f"{listed_at}: {said}")


def list_folder(path: Path) -> Path:
    """The folder that a list's paths are relative to: that of the file itself, wherever links to it lie."""
    # A link to a folder on the way there keeps its name: only the list's own links are followed.
    return path.resolve().parent if path.is_symlink() else path.parent


def json_lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any] | UserError]]:
    """Read JSON lines; the number of each that is not empty, with its object, or with what is wrong with it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # splitlines() would split within texts
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield number, decode_object(line, f"{path}, line {number}")
            except UserError as error:
                yield number, error


def write_manifest(path: str | Path, records: Iterable[DiveRecord]) -> None:
    """Write dives as JSON lines, atomically, with paths relative to the list where they lie below it."""
    folder = Path(path).parent  # a link there is replaced by the list
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
    row = {name: value for name, value in vars(record).items() if value is not None and name != "listed_at"}
    resolved, base = record.path.resolve(), folder.resolve()
    row["path"] = str(resolved.relative_to(base)) if resolved.is_relative_to(base) else str(resolved)
    return row


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | UserError]]:
    table = read_table(text)
    if table is None:
        return
    columns, unknown = find_columns(table, _COLUMNS, _REQUIRED)
    _refuse_unknown(unknown, list(_READ_CELL), f"line {table.header_line}: the column")
    for line, cells in table.rows:
        yield line, cells if isinstance(cells, UserError) else _csv_values(columns, cells)


def _csv_values(columns: Mapping[str, int], cells: Sequence[str]) -> dict[str, Any] | UserError:
    """Give a row's cells the types of JSON; empty cells are not given."""
    try:
        return _typed_cells(columns, cells)
    except UserError as error:
        return error


def _typed_cells(columns: Mapping[str, int], cells: Sequence[str]) -> dict[str, Any]:
    texts = {name: text for name, index in columns.items() if (text := cells[index])}
    values = {name: _READ_CELL[name](text, name) for name, text in texts.items()}
    for name, columns_of_it in _JOINED.items():
        parts = [values.pop(column, None) for column in columns_of_it]
        if parts.count(None) not in (0, len(parts)):
            given = ", ".join(f"{column} is {part}" for column, part in zip(columns_of_it, parts, strict=True))
            raise UserError(f"{given}; give {'both or neither' if len(parts) == 2 else 'all or none'}")
        if None not in parts:
            values[name] = parts
    return values


def _refuse_unknown(names: Iterable[str], known: Sequence[str], what: str) -> None:
    """Refuse what could be a column with its name misspelt; a dive without it may be another dive."""
    for name in names:
        if name.casefold().startswith(_NOTE):
            continue
        key = name.casefold()[:_MAX_NAME_BYTES]
        near = [each for each in known if key and each.startswith(key)] or difflib.get_close_matches(key, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(
            f"{what} {key!r} means nothing here{hint} Allowed: {', '.join(known)}, and your own that begin with "
            f"{_NOTE!r}"
        )


def _record(row: dict[str, Any] | UserError, folder: Path, listed_at: str) -> DiveRecord:
    if isinstance(row, UserError):
        raise row
    _refuse_unknown([name for name in row if name not in _NAMES], _NAMES, "the name")
    noted = {name: _whole_floats(value) if name in _WHOLE else value for name, value in row.items() if name in _NAMES}
    record = convert(DiveRecord, noted, listed_at)
    _check_values(record)
    check_path(noted["path"])
    path, number = as_spelled(folder / record.path), DiveNumber.parse(record.dive_number).text
    origin: Origin | None = record.origin if record.event is None else "real"
    return replace(record, path=path, dive_number=number, origin=origin, listed_at=listed_at)


def _check_values(record: DiveRecord) -> None:
    for name in ("score", "difficulty", "start_s", "end_s"):
        value = getattr(record, name)
        if value is not None and not math.isfinite(value):
            raise UserError(f"the {name} is {value}; give a finite number")
    for points in record.stage_points or ():
        if not -math.inf < points <= 0:
            raise UserError(f"stage_points hold {points}; give what faults cost: finite numbers, at most 0")
    for name, severity in (record.faults or {}).items():
        if not name.strip() or not 0 <= severity <= 1:
            raise UserError(f"the fault {name[:80]!r} is {severity}; give a name, and 0 (none) to 1 (gross)")
    for frame in (record.num_frames, *(record.transition_frames or ())):
        if frame is not None and abs(frame) > MAX_FRAMES:
            raise UserError(f"a frame number of {len(str(frame))} digits; at most {MAX_FRAMES}")
    if record.end_s is not None and record.end_s <= (record.start_s or 0):
        raise UserError(f"the clip ends at {record.end_s:g} s and begins at {record.start_s or 0:g} s")
    if record.event is not None and (record.origin == "rendered" or not record.event.strip()):
        raise UserError(f"the event is {record.event[:80]!r}; name the competition of a real dive, or leave it out")


_WHOLE = ("num_frames", "transition_frames")


def _whole_floats(value: Any) -> Any:
    """Take 17.0 for 17, as it is written where a column has gaps; other values stay, to be refused."""
    if isinstance(value, list):
        return [_whole_floats(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def check_path(text: str) -> None:
    """Refuse what no file on this system is named, before it is looked for."""
    if not text.strip():
        raise UserError("the path is empty")
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise UserError(f"the path {text[:80]!r} holds control characters")
    if "\\" in text and os.sep != "\\":
        raise UserError(f"the path {text[:80]!r} has backslashes; write it with / and relative to the list")
    try:
        sizes = [len(os.fsencode(name)) for name in text.split("/")]
    except UnicodeEncodeError:
        raise UserError(f"the path {text[:80]!r} is no text that a file can be named by") from None
    if max(sizes) > _MAX_NAME_BYTES or sum(sizes) + len(sizes) > _MAX_PATH_BYTES:
        raise UserError(f"the path {text[:40]!r}... is too long for a file: {sum(sizes)} bytes")


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
        name = _name(record, list_folder(listing).resolve())
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return names


def _name(record: DiveRecord, base: Path) -> str:
    path = record.path.resolve()
    name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name
    if record.start_s is None and record.end_s is None:
        return name
    return f"{name} {record.start_s or 0:g}-{'' if record.end_s is None else f'{record.end_s:g}'} s"
