"""Labels on the disk beside their list of dives: saved before they are acknowledged, and never overwritten unseen.

Each label that a clip ever had is a row; the newest version counts. A version can be saved once only, so of two people
who have seen the same one, the second is told. The list is written anew after each change, from these rows alone.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from mcore.common.errors import UserError
from mcore.common.splits import Split
from mcore.common.typed_json import decode, encode
from mcore.data.manifest import DiveRecord, write_manifest
from mcore_runtime.labelling.label import Label, Verdict

SUFFIX = ".labels.sqlite"
SHARES: dict[Split, float] = {"train": 0.7, "val": 0.15, "test": 0.15}
"""Aim of the splits, in clips; a session goes whole to the one that lacks most."""
_APPLICATION_ID = 0x4D43524C
"""Says in the file's header what it is: the letters MCRL."""
_SCHEMA = (
    "CREATE TABLE sessions (name TEXT PRIMARY KEY, started TEXT NOT NULL, clips INTEGER NOT NULL, split TEXT NOT NULL)",
    """CREATE TABLE labels (
        session TEXT NOT NULL REFERENCES sessions (name),
        clip TEXT NOT NULL,
        version INTEGER NOT NULL,
        saved TEXT NOT NULL,
        label TEXT NOT NULL,
        line TEXT,
        PRIMARY KEY (clip, version)
    )""",
    f"PRAGMA application_id = {_APPLICATION_ID}",
)
_NEWEST = "FROM labels AS l WHERE version = (SELECT max(version) FROM labels WHERE clip = l.clip)"
_BUSY_S = 5.0


class ConflictError(UserError):
    """Somebody else has labelled the clip since it was looked at."""


@dataclass(frozen=True)
class Saved:
    """Newest label of a clip."""

    version: int
    """From 1; 0: none was saved."""
    label: Label | None


class LabelStore:
    """Labels of one list; every method is for any thread, and several processes may use one list.

    Args:
        listing: the list of dives that is written, ending in .jsonl.

    Raises:
        UserError: a list is there that was not made here, or the place cannot be written to.
    """

    def __init__(self, listing: Path) -> None:
        self.listing = listing
        self.path = listing.with_name(listing.stem + SUFFIX)
        if listing.exists() and not self.path.exists():
            raise UserError(f"{listing} is there, but not {self.path.name} with its labels; give another --out")
        try:
            listing.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make {listing.parent}: {error.strerror or error}") from error
        with self._writing() as connection:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if tables and application != _APPLICATION_ID:
                raise UserError(f"{self.path} holds no labels; give another --out")
            for statement in () if tables else _SCHEMA:
                connection.execute(statement)

    def add_session(self, name: str, started: str, num_clips: int, split: Split | None = None) -> Split:
        """Take a session in, whole in one split, and return that.

        Args:
            name: of its folder.
            started: when it began.
            num_clips: clips that it has.
            split: None: as before, and for a new session the split that lacks most of ``SHARES``.

        Raises:
            UserError: the list has another session of this name.
        """
        with self._writing() as connection:
            known = {row[0]: row[1:] for row in connection.execute("SELECT name, started, clips, split FROM sessions")}
            if name in known and known[name][0] != started:
                raise UserError(
                    f"{self.listing} has another session named {name!r}, of {known[name][0]}; rename this one's folder"
                )
            chosen: Split = split or (known[name][2] if name in known else _lacking(known.values()))
            row = (name, started, num_clips, chosen)
            connection.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?)", row)
        return chosen

    def newest(self, clip: str) -> Saved:
        """Newest label of a clip."""
        with self._reading() as connection:
            row = connection.execute(f"SELECT version, label {_NEWEST} AND clip = ?", (clip,)).fetchone()
        return Saved(0, None) if row is None else Saved(row[0], decode(Label, row[1], clip))

    def verdicts(self) -> dict[str, Verdict]:
        """Verdict of each clip that has a label."""
        with self._reading() as connection:
            rows = connection.execute(f"SELECT clip, label {_NEWEST}").fetchall()
        return {clip: decode(Label, label, clip).verdict for clip, label in rows}

    def save(self, session: str, clip: str, seen: int, label: Label, record: DiveRecord | None) -> int:
        """Save a label; when this returns it is on the disk, and the list holds it.

        Args:
            session: of the clip.
            clip: its name.
            seen: version of the label that it takes the place of, as the person saw it.
            label: the new one.
            record: line of the list; None: the clip is not in the list.

        Returns:
            The new version.

        Raises:
            ConflictError: somebody else was faster; nothing was changed.
            UserError: it cannot be written.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = None if record is None else encode(vars(record) | {"path": self._shortened(record.path)})
        with self._writing() as connection:
            row = connection.execute("SELECT max(version) FROM labels WHERE clip = ?", (clip,)).fetchone()
            if (row[0] or 0) != seen:
                raise ConflictError(f"somebody else has labelled {clip} meanwhile; this is how they left it")
            values = (session, clip, seen + 1, now, encode(label), line)
            connection.execute("INSERT INTO labels VALUES (?, ?, ?, ?, ?, ?)", values)
            self._write_list(connection)
        return seen + 1

    def write_list(self) -> Counter[Split]:
        """Write the list of dives, and count them by split; where there is none, no list is left."""
        with self._writing() as connection:
            return self._write_list(connection)

    def _write_list(self, connection: sqlite3.Connection) -> Counter[Split]:
        """Within a transaction: of two processes, the one that writes last has read all rows."""
        split = "(SELECT split FROM sessions WHERE name = l.session)"
        started = "(SELECT started FROM sessions WHERE name = l.session)"
        query = f"SELECT line, {split} {_NEWEST} AND line IS NOT NULL ORDER BY {started}, length(clip), clip"
        records = [self._record(*row) for row in connection.execute(query)]
        if records:
            write_manifest(self.listing, records)
        else:
            self.listing.unlink(missing_ok=True)
        return Counter(record.split for record in records if record.split is not None)

    def _record(self, line: str, split: Split) -> DiveRecord:
        record = decode(DiveRecord, line, str(self.path))
        return replace(record, path=self.listing.parent / record.path, split=split)

    def _shortened(self, path: Path) -> str:
        """Below the list's folder relative to it, so that both can be moved together."""
        path, base = path.resolve(), self.listing.parent.resolve()
        return str(path.relative_to(base) if path.is_relative_to(base) else path)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        # Opened for each use: threads and processes share nothing, and a folder that is moved away is noticed.
        try:
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"not saved: {self.path}: {error}; check rights and free space") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which ends on the disk; an error takes it back."""
        with self._reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")


def _lacking(sessions: Iterable[tuple[str, int, Split]]) -> Split:
    """Split that lacks most clips of its share; of equal ones the first."""
    clips: Counter[Split] = Counter()
    for _, count, split in sessions:
        clips[split] += count
    total = sum(clips.values())
    return max(SHARES, key=lambda split: SHARES[split] * total - clips[split])
