"""What a session knows of its dives and its competition, kept on the disk as it changes; for any thread.

Records of dives change in one thread only, the keeper's, and are on the disk before anybody is told of them. The
competition changes at once, under a lock, and is saved by the keeper a moment later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mcore.common.files import replacing
from mcore_runtime.competition import Competition, Entry
from mcore_runtime.live.dives import ENTRY_FIELDS, CutDive, LiveDive, Record, row_of
from mcore_runtime.live.events import Broadcast
from mcore_runtime.live.scoring import new_record, now
from mcore_runtime.live.store_writer import KeeperThread
from mcore_runtime.live.takeover import STATE_KEY, as_rules_spell, take_over
from mcore_runtime.session import SessionStore

_PATIENCE_S = 2.0
"""A command returns once it is on the disk, or after this long."""


class Ledger:
    """Dives and competition of one session.

    Args:
        store: where they are kept, and where they come from in a session that goes on; None: in memory only.
        competition: the start list of a new session.
        dive_number: number of dives of which the start list says nothing; None: unknown.
        news: told of every change.

    Raises:
        UserError: the store's session has a start list already, and another one is given; or it cannot be read.
    """

    def __init__(
        self,
        store: SessionStore | None,
        competition: Competition,
        dive_number: str | None,
        news: Broadcast,
    ) -> None:
        self._store, self._news = store, news
        self._lock = threading.RLock()
        self._competition, self._dive_number = competition, as_rules_spell(dive_number)
        self._records: dict[int, Record] = {}
        self._scoring: set[int] = set()
        self._problem: str | None = None
        self._revision = 1
        self._view: tuple[int, dict[str, Any]] = (0, {})
        self.started = now() if store is None else store.started
        """ISO 8601, UTC."""
        unfinished: list[int] = []
        if store is not None:
            kept = take_over(store, competition, self._dive_number)
            self._competition, self._dive_number = kept.competition, kept.dive_number
            self._records, unfinished = kept.records, kept.unfinished
        self._keeper = KeeperThread(self._fault)
        for number in unfinished:
            self.update(number, lambda old: old)
        if store is not None:
            self.save_state()

    @property
    def folder(self) -> Path | None:
        """Where the session is kept; None: nowhere."""
        return None if self._store is None else self._store.folder

    @property
    def problem(self) -> str | None:
        """Why something is not on the disk; None: all is."""
        return self._problem

    @property
    def revision(self) -> int:
        """Grows with every change."""
        return self._revision

    @property
    def is_scoring(self) -> bool:
        """Whether a dive is with the engine."""
        return bool(self._scoring)

    def record(self, number: int) -> Record | None:
        """The whole record of a dive; not to be written to."""
        with self._lock:
            return self._records.get(number)

    def records(self) -> list[Record]:
        """All records, in the order of the dives; not to be written to."""
        with self._lock:
            return [self._records[number] for number in sorted(self._records)]

    def view(self) -> dict[str, Any]:
        """The parts of a snapshot that tell of dives and competition; made anew only after a change."""
        with self._lock:
            if self._view[0] != self._revision:
                current = self._competition.current
                scores = {n: r["result"]["score"] for n, r in self._records.items() if r["status"] == "scored"}
                view = {
                    "current": None if current is None else current.to_json(),
                    "default_dive_number": self._dive_number,
                    "start_list": [entry.to_json() for entry in self._competition.entries],
                    "dives": [
                        row_of(record, is_scoring=n in self._scoring) for n, record in sorted(self._records.items())
                    ],
                    "ranking": [row.to_json() for row in self._competition.ranking(scores)],
                }
                self._view = (self._revision, view)
            return self._view[1]

    def open_dive(self, cut: CutDive) -> LiveDive:
        """Enter a dive that was just cut, as the current entry's; never waits for the disk."""
        with self._lock:
            number = max([0, *self._records]) + 1
            entry = self._competition.dive_took_place(number)
            announced = None if entry is None else entry.dive_number
            dive = new_record(number, cut, announced or self._dive_number)
            record = {**dive.to_json(), **_entry_fields(entry), "dive_number": dive.dive_number}
            self._records[number] = record
            self._scoring.add(number)
        self.changed()
        self.save_state()
        return dive

    def close_dive(self, dive: LiveDive, cut: CutDive, then: Callable[[Record], None]) -> None:
        """Keep a dive with all that belongs to it, once it is scored or cannot be.

        Args:
            dive: what ``open_dive`` returned, and what became of it.
            cut: its frames and its video.
            then: told of the record when it is on the disk, in the keeper's thread.
        """
        self._keeper.submit(lambda: self._close(dive, cut, then))

    def _close(self, dive: LiveDive, cut: CutDive, then: Callable[[Record], None]) -> None:
        record = dive.to_json()
        with self._lock:
            before = self._records[dive.number]
        record |= {name: before[name] for name in ENTRY_FIELDS}  # may have been corrected in the meantime
        if record["dive_number"] != dive.dive_number and record["result"] is not None:
            record["notes"] = [*record["notes"], f"was scored as {dive.dive_number or 'unknown'}; score it again"]
        if before["status"] == "void":
            record |= {"status": "void", "status_before": record["status"]}
        if cut.video is not None and self._store is not None:
            record["recording"] = f"clips/dive-{dive.number:04d}.mp4"
        self._keep(record, settled=True)
        then(record)
        if self._store is None:
            return
        if cut.video is not None and (fault := _write(self._store.folder / record["recording"], cut.video)) is not None:
            notes = [*record["notes"], f"no video was kept: {fault}"]
            record = {**record, "recording": None, "recording_start_s": None, "notes": notes}
            self._keep(record, settled=True)
        if cut.clip is not None:
            self._note_problem(self._store.save_dive(record, cut.clip))

    def _keep(self, record: Record, *, settled: bool) -> None:
        """Save a record, then show it; in the keeper's thread only. ``settled``: the engine is done with it."""
        number = record["number"]
        if record["status"] == "scoring":  # it is saved with the competition, and as a dive once it is one
            with self._lock:
                self._records[number] = record
            self.changed()
            return
        try:
            self._note_problem(None if self._store is None else self._store.save_dive(record))
        except Exception as error:  # a fault of this program: a score that exists is shown all the same
            self._fault(error)
        with self._lock:
            self._records[number] = record
            if settled:
                self._scoring.discard(number)
        self.changed()
        self._news.send({"type": "dive", "dive": record})

    def update(self, number: int, change: Callable[[Record], Record]) -> None:
        """Change a record; returns once that is on the disk, or after two seconds.

        Args:
            number: of a dive that there is.
            change: returns the new record; called in the keeper's thread.
        """
        done = threading.Event()
        self.change(number, change, done.set)
        done.wait(_PATIENCE_S)

    def change(
        self,
        number: int,
        change: Callable[[Record], Record],
        then: Callable[[], None] = lambda: None,
        *,
        settled: bool = False,
    ) -> None:
        """``update`` without waiting.

        Args:
            number: of a dive that there is.
            change: returns the new record; called in the keeper's thread.
            then: called there afterwards.
            settled: the engine is done with the dive.
        """

        def task() -> None:
            with self._lock:
                record = self._records[number]
            self._keep(change(record), settled=settled)
            then()

        self._keeper.submit(task)

    def to_engine(self, number: int) -> None:
        """A dive is with the engine again."""
        with self._lock:
            self._scoring.add(number)
        self.changed()

    def compete(self, act: Callable[[Competition], Entry | None]) -> Entry | None:
        """Change the competition.

        Args:
            act: does it; what it raises is passed on, and nothing is saved.

        Returns:
            What ``act`` returned.
        """
        with self._lock:
            entry = act(self._competition)
        self.changed()
        self.save_state()
        return entry

    def set_default(self, dive_number: str | None) -> str | None:
        """Set the number of dives of which the start list says nothing; returns it as the rules spell it."""
        with self._lock:
            self._dive_number = as_rules_spell(dive_number)
        self.changed()
        self.save_state()
        return self._dive_number

    def entry_changed(self, number: int) -> None:
        """Bring a dive's record up to date with its entry."""
        with self._lock:
            entry = self._competition.entry_of(number)
            fields = _entry_fields(entry)
            fields["dive_number"] = (None if entry is None else entry.dive_number) or self._dive_number
        self.update(number, lambda old: {**old, **fields})

    def log(self, kind: str, text: str) -> None:
        """Keep something that happened, unless the disk is far behind; never waits."""
        if self._store is not None:
            store = self._store
            self._keeper.submit(lambda: store.log(kind, text), wait=False)

    def save_state(self) -> None:
        """Save competition and dives that are being scored, as they are when the keeper comes to it."""
        if self._store is not None:
            self._keeper.submit_once(STATE_KEY, self._save_state)

    def _save_state(self) -> None:
        assert self._store is not None
        with self._lock:
            scoring = [self._records[number] for number in sorted(self._scoring)]
            state = {**self._competition.to_json(), "dive_number": self._dive_number, "scoring": scoring}
        self._note_problem(self._store.save_state(STATE_KEY, state))

    def changed(self) -> None:
        """Say that something in the snapshot is new."""
        with self._lock:
            self._revision += 1
        self._news.send({"type": "changed"})

    def drain(self) -> None:
        """Wait until all is kept that was to be."""
        done = threading.Event()
        self._keeper.submit(done.set)
        done.wait()

    def close(self) -> None:
        """Keep what is left, and end the keeper's thread; the store stays open."""
        self._keeper.close()

    def _note_problem(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            self.changed()

    def _fault(self, error: Exception) -> None:
        """A task of the keeper failed: a fault of this program, which must be seen, and must not end the session."""
        self._note_problem(f"{type(error).__name__}: {error}")
        with suppress(Exception):
            if self._store is not None:
                self._store.log("fault", f"{type(error).__name__}: {error}")


def _entry_fields(entry: Entry | None) -> Record:
    if entry is None:
        return {"order": None, "athlete": "", "club": ""}
    return {"order": entry.order, "athlete": entry.athlete, "club": entry.club}


def _write(path: Path, content: bytes) -> str | None:
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        return error.strerror or str(error)
    return None
