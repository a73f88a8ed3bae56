"""Start lists and results out of DiveRecorder's archive: four tables as CSV without a line of column names.

The columns are those that the archive's own readers name; other versions may have more of them at the end.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mcore.common.errors import UserError
from mcore.common.tables import listed, read_number, read_text
from mcore_runtime.competition.start_list import parse_start_list

_TABLES: Mapping[str, tuple[str, ...]] = {
    "MeetsTable": ("MRef", "SDate", "EDate", "MTitle"),
    "EventsTable": ("MeetRef", "EventRef", "EDate", "ETitle"),
    "DiversTable": ("DRef", "Name", "FirstName", "Representing", "Sex", "Born", "CoachName", "TeamCode"),
    "DiveSheetTable": (
        *("Meet", "Event", "DiverA", "DiverB", "Round", "Attempt", "StartOrder", "DiveNo", "Position", "Board"),
        *("Tariff", *(f"J{number}" for number in range(1, 12)), "JTot", "Points"),
    ),
}
"""The first columns of each table; the rest is not read."""
_MAX_BYTES = 200_000_000
_COLUMNS = ("order", "round", "athlete", "club", "dive_number", "height", "difficulty")
_RESULTS = ("points", "awards")
_Row = Mapping[str, str]


@dataclass(frozen=True)
class ArchivedEvent:
    """An event of an archive."""

    key: str
    """How it is asked for: the numbers of meet and event, such as ``3/12``."""
    title: str
    date: str


@dataclass(frozen=True)
class Archive:
    """The tables of an archive."""

    tables: Mapping[str, Sequence[_Row]]
    warnings: tuple[str, ...]

    @property
    def events(self) -> list[ArchivedEvent]:
        """All events, in the order of the table."""
        meets = {row["MRef"]: row["MTitle"] for row in self.tables["MeetsTable"]}
        return [
            ArchivedEvent(
                f"{row['MeetRef']}/{row['EventRef']}",
                ", ".join(filter(None, (meets.get(row["MeetRef"], ""), row["ETitle"]))),
                row["EDate"][:10],
            )
            for row in self.tables["EventsTable"]
        ]

    def start_list(self, key: str | None, *, results: bool = False) -> str:
        """Return the start list of an event as CSV, as ``--start-list`` takes it.

        Args:
            key: of the event; None: the only one.
            results: with the columns points and awards.

        Raises:
            UserError: there is no such event, several and none was asked for, or its dives cannot be read.
        """
        event = self._find(key)
        meet, _, number = event.key.partition("/")
        sheet = [row for row in self.tables["DiveSheetTable"] if (row["Meet"], row["Event"]) == (meet, number)]
        if not sheet:
            raise UserError(f"the archive has no dive of event {event.key}, {event.title}")
        divers = {row["DRef"]: row for row in self.tables["DiversTable"]}
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow((*_COLUMNS, *(_RESULTS if results else ())))
        for order, row in enumerate(sorted(sheet, key=_place), 1):
            pair = [divers[diver] for diver in (row["DiverA"], row["DiverB"]) if diver in divers]
            athlete = " / ".join(f"{diver['FirstName']} {diver['Name']}".strip() for diver in pair)
            club = " / ".join(dict.fromkeys(diver["Representing"] or diver["TeamCode"] for diver in pair))
            awards = " ".join(filter(None, (row[f"J{number}"] for number in range(1, 12))))
            given = (row["Points"], awards) if results else ()
            dive = row["DiveNo"] + row["Position"] if row["DiveNo"] not in ("", "0") else ""
            table.writerow(
                (order, row["Round"], athlete, club, dive, _plain(row["Board"]), _plain(row["Tariff"]), *given)
            )
        parse_start_list(text.getvalue())  # what nobody could read is refused here, with its lines
        return text.getvalue()

    def _find(self, key: str | None) -> ArchivedEvent:
        events = self.events
        found = [event for event in events if key in (None, event.key)]
        if len(found) == 1:
            return found[0]
        shown = listed([f"{event.key}  {event.date} {event.title}" for event in events])
        what = "say which event" if key is None else f"the archive has no event {key[:40]!r}"
        raise UserError(f"{what}: --event, and one of\n  {shown}" if events else "the archive holds no event")


def read_archive(folder: Path) -> Archive:
    """Read the tables of DiveRecorder's archive folder.

    Raises:
        UserError: one of them is not there, or cannot be read.
    """
    tables, warnings = {}, list[str]()
    for name, columns in _TABLES.items():
        path = next((folder / file for file in (name, f"{name}.csv") if (folder / file).is_file()), None)
        if path is None:
            raise UserError(f"{folder} has no {name}; give DiveRecorder's folder Archive, or a copy of it")
        try:
            text, found = read_text(path, max_bytes=_MAX_BYTES, legacy=True)
            tables[name] = _rows(text, columns)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from error
        except (UserError, csv.Error) as error:
            raise UserError(f"{path}: {error}") from error
        warnings += [f"{path}: {warning}" for warning in found]
    return Archive(tables, tuple(warnings))


def _rows(text: str, columns: Sequence[str]) -> list[_Row]:
    rows: list[_Row] = []
    for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True), 1):
        stripped = [cell.strip() for cell in cells]
        if not any(stripped) or stripped[0] == columns[0]:  # an empty line, or column names after all
            continue
        if len(stripped) < len(columns):
            raise UserError(f"line {number} has {len(stripped)} cells, the table {len(columns)} or more")
        rows.append(dict(zip(columns, stripped, strict=False)))
    return rows


def _place(row: _Row) -> tuple[float, float]:
    return _number(row["Round"]), _number(row["StartOrder"])


def _number(text: str) -> float:
    with suppress(UserError):
        return read_number(text, "a number")
    return 0.0


def _plain(text: str) -> str:
    """A number as people write it; empty where it is 0 or none."""
    value = _number(text)
    return f"{value:g}" if value else ""
