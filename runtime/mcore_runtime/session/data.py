"""Session as it was last saved, for reports and exports: nothing is locked, changed, or kept open.

Example:
    >>> session = read_session(Path("sessions/2026-11-23"))
    >>> [(dive.number, dive.status.value) for dive in session.dives]
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mcore.common.errors import UserError
from mcore.diving import NEWEST_YEAR, EditionYear
from mcore.video import SampledClip
from mcore_runtime.session.database import reading
from mcore_runtime.session.dive import LiveDive
from mcore_runtime.session.inputs import InputRow, read_input


@dataclass(frozen=True)
class Revision:
    """One result of a dive."""

    revision: int
    """From 1; the highest counts."""
    saved: str
    """Time of saving, ISO 8601, UTC."""
    dive: LiveDive


@dataclass(frozen=True)
class Event:
    """Something that happened besides dives."""

    time: str
    """Time of the event, ISO 8601, UTC."""
    kind: str
    """Origin of the event, such as ``source``, ``operator`` or ``scorer``."""
    text: str


@dataclass(frozen=True)
class SessionData:
    """All that a session's database holds."""

    folder: Path
    started: str
    """Time of the session's beginning, ISO 8601, UTC."""
    facts: Mapping[str, Any]
    """Facts recorded at its beginning: source, bundle, backend, settings."""
    revisions: Mapping[int, tuple[Revision, ...]]
    """All results of each dive, oldest first, in the order of the dives' numbers."""
    inputs: Mapping[int, InputRow]
    """File of the frames, by the dive's number."""
    state: Mapping[str, Any]
    """Newest saved state, by key."""
    events: tuple[Event, ...]
    problems: tuple[str, ...] = ()
    """Records that this version cannot read, which are left out."""

    @property
    def dives(self) -> list[LiveDive]:
        """The newest record of every dive, by number."""
        return [history[-1].dive for history in self.revisions.values()]

    @property
    def edition(self) -> EditionYear:
        """Year of the rules by which the session ran."""
        settings = self.facts.get("settings")
        year = settings.get("edition") if isinstance(settings, Mapping) else None
        return next((known for known in get_args(EditionYear) if known == year), NEWEST_YEAR)

    def load_clip(self, number: int) -> SampledClip:
        """Read the frames of a dive.

        Raises:
            UserError: none were kept, or the file is not there, or is not the one that was written.
        """
        return read_input(self.folder, number, self.inputs.get(number))


def read_session(folder: str | Path) -> SessionData:
    """Read a session, also while it is going on.

    Raises:
        UserError: no session, or one of a newer version.
    """
    folder = Path(folder)
    with reading(folder) as connection:
        return load(connection, folder)


def load(connection: sqlite3.Connection, folder: Path) -> SessionData:
    """Read everything from an opened database, as of one moment."""
    connection.execute("BEGIN")
    try:
        meta = dict(connection.execute("SELECT key, value FROM meta"))
        revisions: dict[int, list[Revision]] = {}
        problems = []
        rows = connection.execute("SELECT number, revision, saved, record FROM results ORDER BY number, revision")
        for number, revision, saved, record in rows:
            try:
                dive = LiveDive.from_text(record, f"dive {number}")
            except UserError as error:
                problems.append(str(error))
                continue
            revisions.setdefault(number, []).append(Revision(revision, saved, dive))
        inputs = connection.execute("SELECT number, file, sha256, bytes FROM inputs")
        return SessionData(
            folder=folder,
            started=json.loads(meta["started"]),
            facts=json.loads(meta["facts"]),
            revisions={number: tuple(history) for number, history in revisions.items()},
            inputs={number: InputRow(*row) for number, *row in inputs},
            state={key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM state")},
            events=tuple(Event(*row) for row in connection.execute("SELECT time, kind, text FROM events ORDER BY id")),
            problems=tuple(problems),
        )
    finally:
        connection.execute("COMMIT")
