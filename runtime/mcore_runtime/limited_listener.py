"""A listening socket with limits: connections in all, connections of one address, and time to send a request.

Page and metrics are served through it alike. A client has a deadline while the server waits for it: for a whole
request, or until it takes an answer. A connection whose deadline has passed is closed; where a new one has no room,
the one that has kept the server waiting for longest is closed before. So idle connections keep nobody out, and files
stay free for camera and session.

    with LimitedListener(listen(address), PAGE_LIMITS) as listener:
        ...  # listener.accept() as of any listening socket; listener.close_overdue() about once a second
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

REQUEST_TIMEOUT_S = 10.0
"""From accept to a whole request. Browsers keep unused connections open, and open another one when
they need it."""
SEND_TIMEOUT_S = 60.0
"""While a client takes nothing of an answer: on a slow network a system waits until a third of its buffer is free."""
_RESERVED_FILES = 128
"""Kept for what a session opens later: the camera once more, a clip, pictures, webhooks."""
_FILES_PER_CONNECTION = 2
"""Its connection, and the file that it is sent."""
_MIN_CONNECTIONS = 8
"""A browser opens six connections and a WebSocket."""


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections a server has at once."""

    in_all: int
    """Of all addresses."""
    by_address: int
    """Of one address; of IPv6 of one network, in which a host has many addresses."""


PAGE_LIMITS = ConnectionLimits(in_all=256, by_address=128)
"""Behind a proxy all have one address: 24 live pictures, 64 listeners, and 40 connections for requests."""
METRICS_LIMITS = ConnectionLimits(in_all=16, by_address=8)
"""One collector asks at a time, and some more may try."""


class LimitedConnection(socket.socket):
    """A connection; its listener counts it until it is closed."""

    listener: LimitedListener
    client: str
    """Identity by which it is counted."""
    waiting_since_s: float
    """Since when the server has waited for it."""
    timeout_s: float | None
    """How long the server waits; None: it does not, because it is answering."""

    def close(self) -> None:
        """Leave the count first: once closed, the number may be another connection's."""
        self.listener.remove(self)
        super().close()


class LimitedListener(socket.socket):
    """A listening socket that accepts no more connections than its limits allow.

    It is used as any other: ``accept`` says that a connection is not there, or was lost, where it lets nobody in.

    Args:
        listening: a listening socket, which is not to be used any more.
        limits: from ``within_open_files``.
        clock: seconds, never going back.
    """

    def __init__(
        self, listening: socket.socket, limits: ConnectionLimits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(fileno=listening.detach())
        self._limits, self._clock = limits, clock
        self._lock = threading.Lock()
        self._connections: dict[int, LimitedConnection] = {}
        self._closing: set[int] = set()

    def accept(self) -> tuple[LimitedConnection, Any]:
        """Let a connection in.

        Raises:
            BlockingIOError: there is none, or it has to wait until one that is closing is gone.
            ConnectionAbortedError: there was no room for it.
        """
        with self._lock:
            is_full = len(self._connections) >= self._limits.in_all
            # What is closing still has an open file. So the next one is not accepted yet: a flood would have them all.
            if is_full and (self._closing or self._make_room()):
                raise BlockingIOError
        accepted, peer = super().accept()
        client = client_of(peer[0])
        with self._lock:
            num_of_client = sum(
                each.client == client for number, each in self._connections.items() if number not in self._closing
            )
            if is_full or (num_of_client >= self._limits.by_address and not self._make_room(client)):
                accepted.close()
                raise ConnectionAbortedError(f"no room for another connection from {client}")
            connection = LimitedConnection(fileno=accepted.detach())
            connection.listener, connection.client = self, client
            connection.waiting_since_s, connection.timeout_s = self._clock(), REQUEST_TIMEOUT_S
            self._connections[connection.fileno()] = connection
        return connection, peer

    def set_timeout(self, number: int, timeout_s: float | None) -> None:
        """Say what the server waits for; the time runs from now on if that is something else than before.

        Args:
            number: file descriptor of the connection.
            timeout_s: ``REQUEST_TIMEOUT_S``, ``SEND_TIMEOUT_S``, or None: the server is answering.
        """
        with self._lock:
            connection = self._connections.get(number)
            if connection is not None and timeout_s != connection.timeout_s:
                connection.waiting_since_s, connection.timeout_s = self._clock(), timeout_s

    def close_overdue(self) -> None:
        """Close the connections that have kept the server waiting for too long."""
        with self._lock:
            now_s = self._clock()
            for number, connection in self._connections.items():
                if connection.timeout_s is not None and now_s - connection.waiting_since_s >= connection.timeout_s:
                    self._shut_down(number)

    def remove(self, connection: LimitedConnection) -> None:
        """Stop counting a connection that is being closed."""
        with self._lock:
            if self._connections.get(connection.fileno()) is connection:
                del self._connections[connection.fileno()]
                self._closing.discard(connection.fileno())

    def _make_room(self, client: str | None = None) -> bool:
        """Close what has kept the server waiting for longest: of one client, or of that with most connections."""
        waiting = [
            (connection.waiting_since_s, number, connection.client)
            for number, connection in self._connections.items()
            if connection.timeout_s is not None and number not in self._closing and client in (None, connection.client)
        ]
        if not waiting:
            return False
        counts = Counter(name for _, _, name in waiting)
        self._shut_down(min(waiting, key=lambda each: (-counts[each[2]], each[0]))[1])
        return True

    def _shut_down(self, number: int) -> None:
        """Let the server see the end of a connection, which it then closes itself."""
        self._closing.add(number)
        with suppress(OSError):  # the other side was faster
            self._connections[number].shutdown(socket.SHUT_RDWR)


def within_open_files(wanted: ConnectionLimits) -> ConnectionLimits:
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
    needed = psutil.Process().num_fds() + _RESERVED_FILES
    enough = needed + _FILES_PER_CONNECTION * wanted.in_all
    files, hard = (enough if n == resource.RLIM_INFINITY else n for n in resource.getrlimit(resource.RLIMIT_NOFILE))
    if files < min(enough, hard):
        files = min(enough, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    in_all = min(wanted.in_all, (files - needed) // _FILES_PER_CONNECTION)
    if in_all < min(_MIN_CONNECTIONS, wanted.in_all):
        raise UserError(
            f"this process may open {files} files, and needs {needed} of them before anybody is served; raise the "
            f"limit to {enough} (ulimit -n {enough}; LimitNOFILE={enough} of a service)"
        )
    return ConnectionLimits(in_all, min(wanted.by_address, max(in_all // 2, _MIN_CONNECTIONS)))


def client_of(host: str) -> str:
    """Return the identity by which a client is limited: its address; of IPv6 its network, in which a host has many."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
