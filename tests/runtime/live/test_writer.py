"""The writer of a session: what was acknowledged or shown is on the disk, whenever the process is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mcore.common.errors import UserError
from mcore_runtime.competition import Competition, Entry
from mcore_runtime.live import writer as writer_module
from mcore_runtime.live.broadcast import Broadcast
from mcore_runtime.live.commands import Skip
from mcore_runtime.live.session_state import SessionState
from mcore_runtime.live.writer import SessionWriter
from mcore_runtime.session import SessionStore, read_session
from tests.runtime.session.made import FACTS

ROUNDS, TIMEOUT_S = 10, 10.0
OPERATOR = """
import sys
from mcore_runtime.competition import Competition, Entry
from mcore_runtime.live.broadcast import Broadcast
from mcore_runtime.live.commands import parse_command
from mcore_runtime.live.session_state import SessionState
from mcore_runtime.live.state import restored_session
from mcore_runtime.live.writer import STATE_KEY, SessionWriter
from mcore_runtime.session import SessionStore
from tests.runtime.live.test_state import OPENED, scored
store = SessionStore.open(sys.argv[1])
saved = store.load_state(STATE_KEY)
entries = [Entry(order, f"A{order}", "", "407C") for order in range(1, 7)]
begun = SessionState(Competition.begin(entries))
writer = SessionWriter(begun if saved is None else restored_session(store.dives(), saved), store, Broadcast())
commands = [
    ("go_to", {"order": 2}), ("skip", {}), ("back", {}), ("go_to", {"order": 5}),
    ("edit", {"order": 2, "athlete": "Zoe"}),
    ("set_dive", {"dive_number": "107B"}), ("skip", {}), ("go_to", {"order": 3}), ("edit", {"order": 3, "club": "X"}),
]
number = max(writer.state.dives, default=0) + 1
writer.submit_dive(OPENED).wait()
writer.submit(scored(number)).wait()
for name, arguments in [*commands, ("void", {"number": number}), ("restore", {"number": number})] * 3:
    state = writer.submit(parse_command(name, arguments)).wait().state
    print(writer.revision, state.competition.current, state.default_dive_number, state.dives[number].status, flush=True)
    print(*(f"{entry.athlete}/{entry.club}" for entry in state.competition.entries), flush=True)
    sys.stdin.readline()
"""


def test_an_acknowledged_command_outlives_kill_9_at_once(tmp_path: Path) -> None:
    """The child is killed the moment that its answer to a command was read, each time after another command."""
    SessionStore.create(tmp_path, FACTS).close()
    for turn in range(ROUNDS):
        child = subprocess.Popen(
            [sys.executable, "-c", OPERATOR, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdin is not None
        for count in range(1 + turn):
            if count:
                child.stdin.write("\n")
                child.stdin.flush()
            answer, names = child.stdout.readline(), child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdin.close()
        child.stdout.close()
        _, current, default, status = answer.split()
        data = read_session(tmp_path)
        saved = data.state["competition"]
        competition = Competition.from_json(saved)
        assert str(competition.current) == current
        assert str(saved["dive_number"]) == default
        assert data.dives[-1].status.value == status
        assert " ".join(f"{entry.athlete}/{entry.club}" for entry in competition.entries) == names.strip()
        assert len(data.dives) == turn + 1


def test_a_command_returns_only_after_the_store_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = SessionState(Competition.begin([Entry(1, "Ada"), Entry(2, "Bo")]))
    save, writing, go_on = SessionStore.save, threading.Event(), threading.Event()

    def slow(store: SessionStore, **named: Any) -> str | None:
        writing.set()
        assert go_on.wait(TIMEOUT_S)
        return save(store, **named)

    with SessionStore.create(tmp_path, FACTS) as store:
        writer = SessionWriter(begun, store, Broadcast())
        monkeypatch.setattr(SessionStore, "save", slow)
        submitted = writer.submit(Skip())
        assert writing.wait(TIMEOUT_S)
        assert not submitted.done.is_set()
        assert (writer.state.competition.current, writer.shown.competition.current) == (2, 1)
        monkeypatch.setattr(writer_module, "_TIMEOUT_S", 0.01)
        with pytest.raises(UserError, match="not on the disk: the disk has not answered"):
            submitted.wait()
        go_on.set()
        writer.drain()
        assert writer.shown.competition.current == 2
        assert read_session(tmp_path).state["competition"]["current"] == 2
        writer.close()
