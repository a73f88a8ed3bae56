"""The SQLite file of a session: what is in it, and how it is opened for one writer or any number of readers.

Every result that a dive ever had is a row of ``results``; the newest revision counts, none is changed. The view
``scores`` is for people with an SQLite shell and other programs.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from mcore.common.errors import UserError

DATABASE_FILE = "session.sqlite"
LOCK_FILE = "session.lock"
SCHEMA_VERSION = 3
"""All versions have the same tables. Dives of version 1 were "found by" body or camera, and are read as motion and
camera-tracking; those of version 2 know of no judges and hold no score back. A session that goes on becomes one of the
newest version."""
APPLICATION_ID = 0x4D435265
"""Says in the file's header that it is a session: the letters MCRe."""
_BUSY_S = 0.2
"""Time that a write waits for somebody else's lock; then it is kept in memory and tried again."""

_VIEW = """CREATE VIEW scores AS SELECT
        number, revision, saved,
        json_extract(record, '$.status') AS status,
        json_extract(record, '$.dive_number') AS dive_number,
        json_extract(record, '$.result.score') AS score,
        json_extract(record, '$.result.low') AS low,
        json_extract(record, '$.result.high') AS high,
        json_extract(record, '$.result.interval_level') AS interval_level,
        json_extract(record, '$.time_to_score_ms') AS time_to_score_ms,
        json_extract(record, '$.result.backend.name') AS backend,
        json_extract(record, '$.result.backend.precision') AS precision,
        json_extract(record, '$.result.backend.bundle_sha256') AS bundle_sha256,
        json_extract(record, '$.recording') AS recording,
        json_extract(record, '$.result.caution') AS caution,
        json_extract(record, '$.result.award.value') AS award,
        json_extract(record, '$.judges.points') AS judges_points
    FROM results AS newest
    WHERE revision = (SELECT max(revision) FROM results WHERE number = newest.number)"""
_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE dives (number INTEGER PRIMARY KEY)",
    """CREATE TABLE results (
        number INTEGER NOT NULL REFERENCES dives (number),
        revision INTEGER NOT NULL,
        saved TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (number, revision)
    )""",
    """CREATE TABLE inputs (
        number INTEGER PRIMARY KEY REFERENCES dives (number),
        file TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL
    )""",
    "CREATE TABLE state (key TEXT PRIMARY KEY, saved TEXT NOT NULL, value TEXT NOT NULL)",
    "CREATE TABLE events (id INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL)",
    _VIEW,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_RESCUE = "copy the folder before anything else; sqlite3 session.sqlite .recover reads what can be read"


def lock_folder(folder: Path) -> sqlite3.Connection:
    """Become the one process that writes a session, until the connection is closed or the process ends, however.

    It is SQLite's own lock on an empty database beside the session's: it works on every system, and readers of the
    session do not meet it.

    Raises:
        UserError: another process, or another part of this one, has the session open; or no file can be made.
    """
    path = folder / LOCK_FILE
    try:
        lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise UserError(
                f"{folder} is in use by another mcore-run or mcore-rescore; wait for its end, or stop it. "
                "mcore-report can read it meanwhile"
            ) from error
        raise UserError(
            f"cannot write {path}: {error}; check rights and free space, or choose another place"
        ) from error
    return lock


def create_database(folder: Path, meta: Mapping[str, str]) -> sqlite3.Connection:
    """Make a session without dives, all or nothing, and open it; the caller holds the lock.

    Args:
        folder: there is one.
        meta: what the table of that name holds.

    Raises:
        UserError: there is one already, or the place cannot be written to.
    """
    path = folder / DATABASE_FILE
    try:
        connection = _connect(path, "rwc")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables:
            connection.close()
            raise UserError(f"{folder} has a session already; go on with it by --resume {folder}, or choose another")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise UserError(
            f"cannot write {path}: {error}; check rights and free space, or choose another place"
        ) from error
    return connection


def open_database(folder: Path) -> sqlite3.Connection:
    """Open a session for writing; the caller holds the lock.

    Raises:
        UserError: no session, one of a newer schema, or a damaged one.
    """
    path = session_file(folder)
    try:
        connection = _connect(path, "rw")
        check_schema(connection, path)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if schema_version(connection) < SCHEMA_VERSION:
            _update(connection)
    except sqlite3.Error as error:
        raise UserError(f"cannot open {path}: {error}; {_RESCUE}") from error
    if verdict != "ok":
        raise UserError(f"{path} is damaged: {verdict}; {_RESCUE}")
    return connection


def _update(connection: sqlite3.Connection) -> None:
    """Make a session of an older schema one of the newest, all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DROP VIEW IF EXISTS scores")
    connection.execute(_VIEW)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def reconnect(folder: Path) -> sqlite3.Connection:
    """Open once more what was open, after a failure.

    Raises:
        sqlite3.Error: it cannot be opened yet.
    """
    return _connect(folder / DATABASE_FILE, "rw")


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a session for reading, also while another process writes it, or from a medium that cannot be written to.

    Raises:
        UserError: no session, or one of a newer schema.
    """
    path = session_file(folder)
    with tempfile.TemporaryDirectory(prefix="mcore-session-") as scratch:
        try:
            connection = _open_read_only(path, Path(scratch))
            with closing(connection):
                check_schema(connection, path)
                yield connection
        except sqlite3.Error as error:
            raise UserError(f"cannot read {path}: {error}; {_RESCUE}") from error


def is_begun(folder: Path) -> bool:
    """Return whether a folder holds a session that was begun: a kill in its first moment leaves an empty database.

    Raises:
        UserError: the database cannot be read.
    """
    path = folder / DATABASE_FILE
    if not path.is_file():
        return False
    try:
        with closing(_connect(path, "rw")) as connection:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise UserError(f"cannot read {path}: {error}; {_RESCUE}") from error
    return bool(tables)


def session_file(folder: Path) -> Path:
    """Return the database of a session's folder.

    Raises:
        UserError: there is none.
    """
    path = folder / DATABASE_FILE
    if not path.is_file():
        found = f"{folder} has no {DATABASE_FILE}" if folder.is_dir() else f"there is no folder {folder}"
        raise UserError(f"{found}, so it is no session. mcore-run SOURCE --session FOLDER makes one")
    return path


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the version of the schema; 0: nothing is in the file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raise UserError where a file is not a session that this version can read."""
    version = schema_version(connection)
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if version == 0 and application == 0:
        raise UserError(f"{path} is empty: the session was never begun. mcore-run SOURCE --session makes one")
    if application != APPLICATION_ID:
        raise UserError(f"{path} is a database of another program, not a session")
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path} was written by a newer version of this program: its schema is {version}, this one reads up to "
            f"{SCHEMA_VERSION}. Update mcore-edge"
        )


def _open_read_only(path: Path, scratch: Path) -> sqlite3.Connection:
    """A reader of a write-ahead log needs to make a file beside it; where it cannot, it reads a copy."""
    try:
        connection = _open(path, "ro")
        schema_version(connection)
    except sqlite3.OperationalError:
        for part in path.parent.glob(f"{DATABASE_FILE}*"):
            if not part.name.endswith("-shm"):
                shutil.copyfile(part, scratch / part.name)
        connection = _open(scratch / path.name, "rw")
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open for writing, so that a transaction that was committed survives a power cut."""
    connection = _open(path, mode)
    try:
        (journal,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    if journal != "wal":
        connection.close()
        raise sqlite3.OperationalError(
            f"its file system has no write-ahead log (journal mode {journal}); use a local one"
        )
    return connection


def _open(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
