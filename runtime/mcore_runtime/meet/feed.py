"""Listening to a meet's software: one thread takes packets from the network, keeps them, and passes on what is read.

Whatever comes can end nothing: a packet that cannot be read is counted, kept and named.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore_runtime.meet.address import MeetAddress, listening_socket
from mcore_runtime.meet.layout import MAX_BYTES
from mcore_runtime.meet.message import Message, parse
from mcore_runtime.meet.packets import PACKETS_FILE, Packet, PacketLog

_WAIT_S = 0.5
_MAX_PER_S = 100
"""Messages that are read in a second; a meet sends a few. The rest is counted, and not read."""

OnMessage = Callable[[Message, str, str], None]
"""Takes a message, the address of its sender, and the time at which it came."""


@dataclass(frozen=True)
class FeedStatus:
    """How listening goes."""

    address: str
    event: str
    packets: int = 0
    """All that came."""
    messages: int = 0
    """Those that were of the event that is listened to."""
    other_event: int = 0
    """Those of the other of two events at once."""
    unread: int = 0
    """Those that could not be read, or came too fast."""
    last_heard: str | None = None
    """Time of the last message of the event, ISO 8601, UTC; None: none yet."""
    last_fault: str | None = None
    """Why the last packet that could not be read was refused."""
    problem: str | None = None
    """Why packets are not kept, or nothing is heard any more; None: all is well."""


class MeetFeed:
    """Listens to a meet's software; a context manager.

    Args:
        address: where.
        folder: of the session, for the raw packets; None: they are not kept.

    Raises:
        UserError: the port cannot be had.
    """

    def __init__(self, address: MeetAddress, folder: Path | None) -> None:
        self._address = address
        self._folder = folder
        self._socket = listening_socket(address)
        self._status = FeedStatus(str(address), address.event)
        self._on_message: OnMessage | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._second, self._in_second = 0, 0

    @property
    def port(self) -> int:
        """The port that was taken."""
        return int(self._socket.getsockname()[1])

    @property
    def status(self) -> FeedStatus:
        """How it goes."""
        return self._status

    def __enter__(self) -> MeetFeed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more; waits for the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._socket.close()

    def listen(self, on_message: OnMessage) -> None:
        """Begin; messages are passed on from the feed's own thread."""
        self._on_message = on_message
        self._thread = threading.Thread(target=self._run, name="meet", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._socket.settimeout(_WAIT_S)
        with nullcontext() if self._folder is None else PacketLog(self._folder / PACKETS_FILE) as log:
            while not self._stop.is_set():
                try:
                    data, place = self._socket.recvfrom(MAX_BYTES + 1)
                except TimeoutError:
                    continue
                except OSError as error:  # such as an answer of a port that is closed
                    self._say(problem=f"nothing can be heard: {error.strerror or error}")
                    self._stop.wait(_WAIT_S)
                    continue
                self._take(data, str(place[0]), log)
                self._say(packets=self._status.packets + 1)

    def _take(self, data: bytes, sender: str, log: PacketLog | None) -> None:
        if self._address.sender not in (None, sender):  # first, so that a stranger's flood costs the others nothing
            self._unread(f"a packet of {sender}, which is not the sender that was given")
            return
        now = datetime.now(timezone.utc)
        time = now.isoformat(timespec="milliseconds")
        self._in_second = self._in_second + 1 if int(now.timestamp()) == self._second else 1
        self._second = int(now.timestamp())
        if self._in_second > _MAX_PER_S:
            self._unread(f"more than {_MAX_PER_S} packets in a second")
            return
        if log is not None:
            self._say(problem=log.add(Packet(time, sender, data.decode("latin-1"))))
        try:
            message = parse(data)
        except UserError as error:
            self._unread(f"{sender}: {error}")
            return
        if message is None:
            return
        if message.event != self._address.event:
            self._say(other_event=self._status.other_event + 1)
            return
        self._say(messages=self._status.messages + 1, last_heard=time)
        if self._on_message is not None:
            try:
                self._on_message(message, sender, time)
            except UserError as error:  # what fits the layout need not fit a start list
                self._unread(f"{sender}: {error}")

    def _unread(self, fault: str) -> None:
        self._say(unread=self._status.unread + 1, last_fault=fault)

    def _say(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)
