"""Keys of a terminal as commands: Enter a dive has just ended, s skip, b back, v void the last dive, a accept
the last that is unlike the known dives, q stop.
"""

from __future__ import annotations

import os
import re
import select
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from mcore.common.errors import UserError

HELP = "keys: Enter a dive has just ended, s skip, b back, v void the last dive, a accept it though unlike, q stop"
_POLL_S = 0.2
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*.|O.|.)?")
"""Arrow keys and the like, which mean nothing here."""
_KEYS: Mapping[str, str] = {"\n": "trigger", "\r": "trigger", " ": "trigger", "s": "skip", "b": "back", "q": "stop"}


class Commanded(Protocol):
    """Session that keys command."""

    def command(self, name: str, **arguments: Any) -> None:
        """Carry out a command of the operator; see ``mcore_runtime.live.commands``."""

    def snapshot(self) -> dict[str, Any]:
        """Return the session's snapshot; see ``mcore_runtime.live.snapshot``."""


def press(key: str, session: Commanded, warn: Callable[[str], None]) -> None:
    """Carry out the command of a key, or warn why it is not possible now."""
    try:
        if key == "v":
            numbers = [dive["number"] for dive in session.snapshot()["dives"] if dive["status"] != "void"]
            if not numbers:
                raise UserError("there is no dive to void")
            session.command("void", number=max(numbers))
        elif key == "a":
            numbers = [dive["number"] for dive in session.snapshot()["dives"] if dive["status"] == "unlike"]
            if not numbers:
                raise UserError("there is no dive to accept: none is unlike the known dives")
            session.command("accept", number=max(numbers))
        elif key in _KEYS:
            session.command(_KEYS[key])
    except UserError as error:
        warn(str(error))


@contextmanager
def keys(session: Commanded, warn: Callable[[str], None]) -> Iterator[bool]:
    """Take keys from the terminal while the block runs; yields whether there is one that can be asked."""
    fd = _terminal()
    if fd is None:
        yield False
        return
    over = threading.Event()
    thread = threading.Thread(target=_listen, args=(fd, over, session, warn), name="keys", daemon=True)
    with _single_keys(fd):
        thread.start()
        try:
            yield True
        finally:
            over.set()
            thread.join(2 * _POLL_S + 1.0)


def _terminal() -> int | None:
    """Standard input where it is a terminal, and ours: a program in the background that reads one is stopped."""
    with suppress(OSError, ValueError, AttributeError):
        fd = sys.stdin.fileno()
        if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp():
            return fd
    return None


@contextmanager
def _single_keys(fd: int) -> Iterator[None]:
    """Let keys come at once and unseen; Ctrl-C stays what it is."""
    import termios  # not on Windows, where _terminal finds nothing
    import tty

    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal was closed meanwhile
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _listen(fd: int, over: threading.Event, session: Commanded, warn: Callable[[str], None]) -> None:
    while not over.is_set():
        ready, _, _ = select.select([fd], [], [], _POLL_S)
        if ready:
            try:
                text = os.read(fd, 64).decode(errors="ignore")
            except OSError:  # the terminal was closed
                return
            if not text:
                return
            for key in _ESCAPES.sub("", text).lower():
                press(key, session, warn)
