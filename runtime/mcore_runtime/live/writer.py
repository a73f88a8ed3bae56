"""The writer of a live session: events change the state in order, and are on the disk before anybody is shown them.

``submit`` applies an event at once, in the caller's thread, and puts what it did into one queue. One thread takes it
from there: it writes to the store first, and then shows it. So neither the stream nor the scorer ever waits for the
disk, and whoever saw a score, or had a command acknowledged, finds it again after a power cut.
"""

from __future__ import annotations

import errno
import queue
import threading
from contextlib import suppress
from typing import Any

from mcore.common.errors import UserError
from mcore.common.files import replacing
from mcore_runtime.live.broadcast import Broadcast, DiveNews, ProblemNews, SnapshotChanged
from mcore_runtime.live.cut_dive import CutDive
from mcore_runtime.live.events import Event, VideoLost
from mcore_runtime.live.meeting import saved_meet
from mcore_runtime.live.session_state import Change, SessionState
from mcore_runtime.live.state import apply, saved_state
from mcore_runtime.session import SessionStore
from mcore_runtime.session.overview import MEET_KEY
from mcore_runtime.session.overview import STATE_KEY as STATE_KEY

_TIMEOUT_S = 5.0
"""A command that is not on the disk after this long says so."""
_CHECK_S = 2.0
"""While nothing is to be written, it is looked this often whether the session's folder is still there."""
_MAX_WAITING_DIVES = 32
"""Cut dives of some 10 MB that may wait for the disk; the next one waits for room."""


class Submitted:
    """An event that was applied, and is on its way to the disk."""

    def __init__(self, change: Change) -> None:
        self.change = change
        self.problem: str | None = None
        """Reason why it is not on the disk; known once it is ``done``."""
        self.done = threading.Event()

    def wait(self) -> Change:
        """Return what the event did once that is on the disk.

        Raises:
            UserError: it is not, though it is in effect; it is tried again with everything that comes later.
        """
        if not self.done.wait(_TIMEOUT_S):
            self.problem = f"the disk has not answered for {_TIMEOUT_S:g} s"
        if self.problem is not None:
            raise UserError(
                f"done, but not on the disk: {self.problem}. It is tried again; a power cut before that would undo it"
            )
        return self.change


class SessionWriter:
    """State of a session, and the one thread that writes and shows it.

    Args:
        state: to begin or to go on with; saved at once.
        store: where it is kept; its owner closes it, after the writer. None: in memory only.
        news: told of everything that can be shown.
    """

    def __init__(self, state: SessionState, store: SessionStore | None, news: Broadcast) -> None:
        self._store, self._news = store, news
        self._state = self._shown = state
        self._apply = threading.Lock()
        """Held while an event is applied and queued: both happen in one order."""
        self._counting = threading.Lock()
        self._revision = 1
        self._problem: str | None = None
        self._queue: queue.Queue[Submitted | None] = queue.Queue()
        self._room = threading.Semaphore(_MAX_WAITING_DIVES)
        if store is not None:
            self._problem = store.save(dives=state.dives.values(), state=_saved(state))
        self._thread = threading.Thread(target=self._run, name="session writer", daemon=True)
        self._thread.start()

    @property
    def state(self) -> SessionState:
        """The newest state, which may not be on the disk yet: to decide by, not to be shown."""
        return self._state

    @property
    def shown(self) -> SessionState:
        """The newest state that may be shown."""
        return self._shown

    @property
    def problem(self) -> str | None:
        """Reason why something is not on the disk; None: all is."""
        return self._problem

    @property
    def revision(self) -> int:
        """Grows with everything new that can be shown."""
        return self._revision

    def submit(self, event: Event) -> Submitted:
        """Apply an event and have it written; from any thread.

        Raises:
            UserError: it is not possible now; nothing has changed.
        """
        with self._apply:
            submitted = Submitted(apply(self._state, event))
            self._state = submitted.change.state
            self._queue.put(submitted)
        return submitted

    def submit_dive(self, event: Event) -> Submitted:
        """Like ``submit``, for what brings frames with it; waits while too many of them wait for the disk."""
        self._room.acquire()
        return self.submit(event)

    def announce(self) -> None:
        """Say that something can be shown that is no part of the state, such as the source's."""
        with self._counting:
            self._revision += 1
        self._news.send(SnapshotChanged())

    def drain(self) -> None:
        """Wait until all is written and shown that was submitted."""
        self._queue.join()

    def close(self) -> None:
        """Write what is left, and end the thread; the store stays open."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                submitted = self._queue.get(timeout=_CHECK_S)
            except queue.Empty:
                self._look()
                continue
            if submitted is None:
                return
            self._write(submitted)
            if submitted.change.keep is not None:
                self._keep(*submitted.change.keep)
                self._room.release()
            self._queue.task_done()

    def _write(self, submitted: Submitted) -> None:
        change = submitted.change
        submitted.problem = self._save(change)
        self._set_problem(submitted.problem)
        # What cannot be written is shown all the same, with the problem beside it: a competition is never stopped.
        self._shown = change.state
        for dive in change.dives:
            self._news.send(DiveNews(dive))
        self.announce()
        submitted.done.set()

    def _save(self, change: Change) -> str | None:
        if self._store is None:
            return None
        log = () if change.log is None else ((change.log.kind, change.log.text),)
        try:
            return self._store.save(dives=change.dives, state=_saved(change.state), events=log)
        except Exception as error:  # a fault of this program must be seen, and must not end the session
            return self._fault(error)

    def _keep(self, number: int, cut: CutDive) -> None:
        """Write what is only needed to look at a dive, or to score it again."""
        if self._store is None:
            return
        try:
            if cut.video is not None and (recording := self._state.dives[number].recording) is not None:
                if not self._store.folder.is_dir():  # a new one in its place would be in the way when it comes back
                    raise FileNotFoundError(errno.ENOENT, "the session's folder is not there")
                with replacing(self._store.folder / recording) as temporary:
                    temporary.write_bytes(cut.video)
        except Exception as error:  # the video is for show, and whatever happens to it may end nothing
            self.submit(VideoLost(number, getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"))
        try:
            if cut.clip is not None:
                self._set_problem(self._store.save_frames(number, cut.clip))
        except Exception as error:
            self._set_problem(self._fault(error))

    def _look(self) -> None:
        """Notice that the folder was moved away before a dive is lost for it, and that it is back."""
        if self._store is not None:
            self._set_problem(self._store.flush())

    def _fault(self, error: Exception) -> str:
        text = f"{type(error).__name__}: {error}"
        with suppress(Exception):
            if self._store is not None:
                self._store.log("fault", text)
        return text

    def _set_problem(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            self._news.send(ProblemNews(problem))
            self.announce()


def _saved(state: SessionState) -> dict[str, Any]:
    """Return what is saved besides records, by its name; where no meet is listened to, nothing is said of one."""
    meet = {} if state.meet is None else {MEET_KEY: saved_meet(state)}
    return {STATE_KEY: saved_state(state), **meet}
