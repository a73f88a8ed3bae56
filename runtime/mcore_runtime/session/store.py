"""Store of a session: results are on the disk when ``save`` returns, whatever happens the moment after.

    with SessionStore.create(Path("sessions/final"), facts) as store:
        problem = store.save(dives=[dive], state={"competition": ...})   # None: a power cut cannot take it any more

What cannot be written (disk full, database locked, medium gone) stays in memory, is shown and counted like the rest,
and is tried again with every later call. Reading never waits for the disk.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.common.files import sync_folder
from mcore.common.typed_json import encode
from mcore.video import SampledClip
from mcore_runtime.session.data import load
from mcore_runtime.session.database import create_database, lock_folder, open_database, reconnect, session_file
from mcore_runtime.session.dive import LiveDive, utc_now
from mcore_runtime.session.inputs import InputRow, pack_clip, read_input, tidy, unpack_clip, write_input

_MAX_INPUTS = 32
"""Packed clips of 2 to 4 MB that wait for room on the disk; beyond that the oldest are given up, the scores never."""
_MAX_WAITING_EVENTS = 1000
_Statement = tuple[str, tuple[Any, ...]]


class SessionStore:
    """The one writer of a session; a context manager; every method may be called from any thread.

    ``create`` and ``open`` make it.
    """

    def __init__(self, folder: Path, lock: sqlite3.Connection, connection: sqlite3.Connection) -> None:
        data = load(connection, folder)
        if data.problems:  # going on would number and rank its dives wrongly
            raise UserError(f"{folder}: {data.problems[0]}")
        self.folder = folder
        self.facts: dict[str, Any] = dict(data.facts)
        """Facts of the session recorded at its beginning."""
        self.started = data.started
        """Time of the session's beginning, ISO 8601, UTC."""
        self._lock, self._connection = lock, connection
        self._where = _place(folder)
        self._dives = {number: history[-1].dive for number, history in data.revisions.items()}
        self._revisions = {number: history[-1].revision for number, history in data.revisions.items()}
        self._state = {key: encode(value) for key, value in data.state.items()}
        self._input_rows = dict(data.inputs)
        self._last_event = len(data.events)
        self._statements: list[_Statement] = []
        self._inputs: dict[int, bytes] = {}
        self._closed = False
        self._memory = threading.Lock()
        """Guards what is kept in memory; never held while waiting for the disk."""
        self._disk = threading.Lock()
        """Guards connection and files; taken before ``_memory``."""

    @classmethod
    def create(cls, folder: str | Path, facts: Mapping[str, Any]) -> SessionStore:
        """Begin a session in a folder, which is made.

        Args:
            folder: an empty one, or one without a session.
            facts: source (public form), bundle path and digest, backend, provider, precision, mode, settings.

        Raises:
            UserError: there is a session already, another process is at it, or the place cannot be written to.
        """
        folder = Path(folder)
        described = encode(dict(facts))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make {folder}: {error.strerror or error}; choose another place") from error
        lock = lock_folder(folder)
        try:
            connection = create_database(folder, {"facts": described, "started": encode(utc_now())})
            sync_folder(folder)
            return cls(folder, lock, connection)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, folder: str | Path) -> SessionStore:
        """Go on with a session.

        Raises:
            UserError: there is none, another process is at it, it is of a newer version, or damaged.
        """
        folder = Path(folder)
        session_file(folder)
        lock = lock_folder(folder)
        try:
            store = cls(folder, lock, open_database(folder))
            store._adopt_inputs()
        except BaseException:
            lock.close()
            raise
        return store

    def __enter__(self) -> SessionStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def save(
        self,
        *,
        dives: Iterable[LiveDive] = (),
        state: Mapping[str, Any] | None = None,
        events: Iterable[tuple[str, str]] = (),
    ) -> str | None:
        """Save what belongs together in one transaction; what is as it was saved before is left out.

        Args:
            dives: their newest records; what was saved of them before stays in their history.
            state: values by name, in place of what was there.
            events: kind and text of what happened; they give way to results where there is no room.

        Returns:
            None: all of it is on the disk. Else why not: it is in memory, and tried again with the next call of any
            kind, and at the end.

        Raises:
            ValueError: the session is closed.
        """
        with self._memory:
            self._must_be_open()
            for dive in dives:
                if self._dives.get(dive.number) != dive:
                    self._add_result(dive)
            for key, value in (state or {}).items():
                self._add_state(key, encode(value))
        for kind, text in events:
            self._note(kind, text)
        return self.flush()

    def save_dive(self, dive: LiveDive, clip: SampledClip | None = None) -> str | None:
        """Save one dive, and then its frames if they are given; returns as ``save``."""
        problem = self.save(dives=[dive])
        frames_problem = None if clip is None else self.save_frames(dive.number, clip)
        return problem or frames_problem

    def save_frames(self, number: int, clip: SampledClip) -> str | None:
        """Save the frames of a dive as the network takes them, to score it again; returns as ``save``."""
        self._keep_input(number, pack_clip(clip))
        return self.flush()

    def save_state(self, key: str, value: Any) -> str | None:
        """Save one value under a name; returns as ``save``."""
        return self.save(state={key: value})

    def dives(self) -> list[LiveDive]:
        """Return the records as last saved, by number."""
        with self._memory:
            return [self._dives[number] for number in sorted(self._dives)]

    def revisions(self) -> dict[int, int]:
        """Return the revision of the newest record of each dive; it grows whenever a record changes."""
        with self._memory:
            return dict(self._revisions)

    def newest(self, number: int) -> tuple[int, LiveDive]:
        """Return revision and record of a dive as last saved.

        Raises:
            KeyError: there is no such dive.
        """
        with self._memory:
            return self._revisions[number], self._dives[number]

    def load_state(self, key: str) -> Any:
        """Return what was saved last under a name; None: nothing was."""
        with self._memory:
            return json.loads(self._state.get(key, "null"))

    def log(self, kind: str, text: str) -> None:
        """Keep something that happened; never fails, and gives way to results where there is no room."""
        self._note(kind, text)
        self.flush()

    def load_clip(self, number: int) -> SampledClip:
        """Return the frames of a dive, bit for bit as they were saved.

        Raises:
            UserError: none were kept, or their file is not there, or is not the one that was written.
        """
        with self._memory:
            waiting, row = self._inputs.get(number), self._input_rows.get(number)
        return unpack_clip(waiting) if waiting is not None else read_input(self.folder, number, row)

    def close(self) -> str | None:
        """Try to write what is left and let another process have the session; returns what prevented that."""
        with self._memory:
            if self._closed:
                return None
        problem = self.flush()
        with self._disk, self._memory:
            self._closed = True
            self._connection.close()  # moves the log into the database
            self._lock.close()
        return problem

    def _add_result(self, dive: LiveDive) -> None:
        """Needs ``_memory``."""
        number, revision = dive.number, self._revisions.get(dive.number, 0) + 1
        self._revisions[number] = revision
        self._dives[number] = dive
        # Numbered here and not by the database: a transaction that seemed to fail can be repeated without harm.
        self._statements += [
            ("INSERT OR IGNORE INTO dives VALUES (?)", (number,)),
            ("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)", (number, revision, utc_now(), dive.to_text())),
        ]

    def _add_state(self, key: str, text: str) -> None:
        """Needs ``_memory``."""
        if self._state.get(key) != text:
            self._state[key] = text
            self._statements.append(("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", (key, utc_now(), text)))

    def _keep_input(self, number: int, content: bytes) -> None:
        with self._memory:
            self._inputs.pop(number, None)
            self._inputs[number] = content
            given_up = next(iter(self._inputs)) if len(self._inputs) > _MAX_INPUTS else None
            if given_up is not None:
                del self._inputs[given_up]
        if given_up is not None:
            self._note("store", f"no room for the frames of dive {given_up}: it cannot be scored again")

    def _note(self, kind: str, text: str) -> None:
        with self._memory:
            if self._closed or len(self._statements) > _MAX_WAITING_EVENTS:
                return
            self._last_event += 1
            readable = text.encode("utf-8", errors="replace").decode()  # a name of a file may be no text
            values = (self._last_event, utc_now(), kind, readable)
            self._statements.append(("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", values))

    def _check_place(self) -> None:
        """SQLite would go on writing to a file that was moved away or deleted, and clips would go elsewhere.

        Raises:
            UserError: the database under the session's name is not there, or another one.
        """
        place = _place(self.folder)
        if place == self._where:
            return
        connection = reconnect(self.folder)
        row = connection.execute("SELECT value FROM meta WHERE key = 'started'").fetchone()
        if row is None or json.loads(row[0]) != self.started:
            connection.close()
            raise UserError(
                f"{self.folder} is another session's now: the folder of this one was moved away; put it back"
            )
        self._connection.close()
        self._connection, self._where = connection, place  # it came back as a copy

    def flush(self) -> str | None:
        """Write what waits, if anything does, and look whether the folder is where it was; returns as ``save``."""
        with self._disk:
            if self._closed:
                return f"{self.folder}: the session is closed" if self._statements or self._inputs else None
            try:
                self._check_place()
                self._write_statements()
                self._write_inputs()
            except (sqlite3.Error, OSError, UserError) as error:
                return _reason(self.folder, error)
        return None

    def _write_statements(self) -> None:
        """Write what waits in one transaction."""
        with self._memory:
            batch = list(self._statements)
        if not batch:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for statement, values in batch:
                self._connection.execute(statement, values)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._start_afresh()
            raise
        with self._memory:
            del self._statements[: len(batch)]

    def _start_afresh(self) -> None:
        """After a failure nothing is known of the connection, and its file may be back under the same name."""
        try:
            connection = reconnect(self.folder)
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return
        self._connection.close()  # rolls back
        self._connection = connection

    def _write_inputs(self) -> None:
        with self._memory:
            waiting = list(self._inputs.items())
        for number, content in waiting:
            row = write_input(self.folder, number, content)
            with self._memory:
                if self._inputs.get(number) is content:
                    del self._inputs[number]
                self._add_input_row(number, row)
        self._write_statements()

    def _adopt_inputs(self) -> None:
        """Take in files of frames that a killed process wrote, and could not enter any more."""
        try:
            found = tidy(self.folder, set(self._input_rows), set(self._dives))
        except OSError:
            return  # they are only needed to score again
        with self._memory:
            for number, row in found.items():
                self._add_input_row(number, row)
        self.flush()

    def _add_input_row(self, number: int, row: InputRow) -> None:
        """Needs ``_memory``."""
        self._input_rows[number] = row
        values = (number, row.file, row.sha256, row.bytes)
        # The dive's own row is there, unless a fault of this program kept it back: that must not hold up all others.
        self._statements += [
            ("INSERT OR IGNORE INTO dives VALUES (?)", (number,)),
            ("INSERT OR REPLACE INTO inputs VALUES (?, ?, ?, ?)", values),
        ]

    def _must_be_open(self) -> None:
        if self._closed:
            raise ValueError(f"the session in {self.folder} is closed")


def _place(folder: Path) -> tuple[int, int]:
    """Device and number of the database's file, which a moved one takes along."""
    try:
        found = session_file(folder).stat()
    except UserError as error:
        raise UserError(
            f"there is no folder {folder} with this session any more: it was moved away or deleted; put it back"
        ) from error
    return found.st_dev, found.st_ino


def _reason(folder: Path, error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or folder}: {error.strerror or error}"
    return f"{folder}: {error}"
