"""The door of a server: how many connections it has, of one address and in all, and how long one may owe something.

Page and metrics are served through it alike. Whoever owes something (a whole request, or the taking of an answer) is
sent away after some seconds, and at once where there is no room for somebody else. So connections without a purpose
keep nobody out, and files stay free for camera and session.

    with Door(listen(address), PAGE_LIMITS) as door:
        ...  # door.accept() as of any listening socket; door.send_away_late() about once a second
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

from mcore.common.errors import UserError

REQUEST_S = 10.0
"""How long a guest may owe a whole request. Browsers keep unused connections open, and open another one when they need
it."""
TAKING_S = 60.0
"""How long it may take nothing of an answer: on a slow network a system waits until a third of its buffer is free."""
_KEPT_FILES = 128
"""Kept for what a session opens later: the camera once more, a clip, pictures, webhooks."""
_FILES_OF_A_GUEST = 2
"""Its connection, and the file that it is sent."""
_FEWEST = 8
"""A browser opens six connections and a WebSocket."""


@dataclass(frozen=True)
class DoorLimits:
    """How many connections a server has at once."""

    in_all: int
    """Of all addresses."""
    by_address: int
    """Of one address; of IPv6 of one network, in which a host has many addresses."""


class Guest(socket.socket):
    """A connection; its door counts it until it is closed."""

    door: Door
    client: str
    """Identity by which it is counted."""
    owes_since_s: float
    """When it began to owe what it owes."""
    owes_for_s: float | None
    """How long it may owe that; None: it owes nothing, but is answered, and takes the answer."""

    def close(self) -> None:
        """Leave the door first: once closed, the number may be another connection's."""
        self.door.forget(self)
        super().close()


class Door(socket.socket):
    """A listening socket that accepts no more connections than its limits allow.

    It is used as any other: ``accept`` says that a connection is not there, or was lost, where it lets nobody in.

    Args:
        taken: a listening socket, which is not to be used any more.
        limits: from ``within_open_files``.
        clock: seconds, never going back.
    """

    def __init__(self, taken: socket.socket, limits: DoorLimits, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(fileno=taken.detach())
        self._limits, self._clock = limits, clock
        self._lock = threading.Lock()
        self._guests: dict[int, Guest] = {}
        self._leaving: set[int] = set()

    def accept(self) -> tuple[Guest, Any]:
        """Let a connection in.

        Raises:
            BlockingIOError: there is none, or it has to wait until one that was sent away is gone.
            ConnectionAbortedError: there was no room for it.
        """
        with self._lock:
            is_full = len(self._guests) >= self._limits.in_all
            # Who is sent away still has an open file. So the next one is not taken yet: a flood would have them all.
            if is_full and (self._leaving or self._make_room()):
                raise BlockingIOError
        connection, peer = super().accept()
        client = client_of(peer[0])
        with self._lock:
            mine = sum(g.client == client for number, g in self._guests.items() if number not in self._leaving)
            if is_full or (mine >= self._limits.by_address and not self._make_room(client)):
                connection.close()
                raise ConnectionAbortedError(f"no room for another connection from {client}")
            guest = Guest(fileno=connection.detach())
            guest.door, guest.client = self, client
            guest.owes_since_s, guest.owes_for_s = self._clock(), REQUEST_S
            self._guests[guest.fileno()] = guest
        return guest, peer

    def owes(self, number: int, for_s: float | None) -> None:
        """Note what a guest owes, from now on if it is something else than before.

        Args:
            number: file descriptor of its connection.
            for_s: ``REQUEST_S``, ``TAKING_S``, or None: nothing.
        """
        with self._lock:
            guest = self._guests.get(number)
            if guest is not None and for_s != guest.owes_for_s:
                guest.owes_since_s, guest.owes_for_s = self._clock(), for_s

    def send_away_late(self) -> None:
        """Send away all who have owed something for too long."""
        with self._lock:
            now_s = self._clock()
            for number, guest in self._guests.items():
                if guest.owes_for_s is not None and now_s - guest.owes_since_s >= guest.owes_for_s:
                    self._send_away(number)

    def forget(self, guest: Guest) -> None:
        """A guest closes its connection."""
        with self._lock:
            if self._guests.get(guest.fileno()) is guest:
                del self._guests[guest.fileno()]
                self._leaving.discard(guest.fileno())

    def _make_room(self, client: str | None = None) -> bool:
        """Send away who has owed something for longest: of a client, or else of that which has most connections."""
        owing = [
            (guest.owes_since_s, number, guest.client)
            for number, guest in self._guests.items()
            if guest.owes_for_s is not None and number not in self._leaving and client in (None, guest.client)
        ]
        if not owing:
            return False
        counts = Counter(name for _, _, name in owing)
        self._send_away(min(owing, key=lambda each: (-counts[each[2]], each[0]))[1])
        return True

    def _send_away(self, number: int) -> None:
        """Let the server see the end of a connection, which it then closes itself."""
        self._leaving.add(number)
        with suppress(OSError):  # the other side was faster
            self._guests[number].shutdown(socket.SHUT_RDWR)


def within_open_files(wanted: DoorLimits) -> DoorLimits:
    """Return limits that leave enough of this process's open files to camera and session.

    A soft limit is raised as far as that needs, and the hard one allows; never further, because programs that use
    ``select`` fail with files above 1024.

    Raises:
        UserError: there are too few files for a single browser.
    """
    try:
        import resource
    except ImportError:  # Windows, where nothing limits them
        return wanted
    needed = psutil.Process().num_fds() + _KEPT_FILES
    enough = needed + _FILES_OF_A_GUEST * wanted.in_all
    files, hard = (enough if n == resource.RLIM_INFINITY else n for n in resource.getrlimit(resource.RLIMIT_NOFILE))
    if files < min(enough, hard):
        files = min(enough, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    in_all = min(wanted.in_all, (files - needed) // _FILES_OF_A_GUEST)
    if in_all < min(_FEWEST, wanted.in_all):
        raise UserError(
            f"this process may open {files} files, and needs {needed} of them without anybody who is served; raise the "
            f"limit to {enough} (ulimit -n {enough}; LimitNOFILE={enough} of a service)"
        )
    return DoorLimits(in_all, min(wanted.by_address, max(in_all // 2, _FEWEST)))


def client_of(host: str) -> str:
    """Return the identity by which a client is limited: its address; of IPv6 its network, in which a host has many."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
