"""Addresses of meet software: ``diverecorder://0.0.0.0:58091?event=A&sender=192.168.1.5``."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import parse_qsl

from mcore.common.errors import UserError
from mcore_runtime.address import bracketed
from mcore_runtime.meet.layout import PORT
from mcore_runtime.meet.message import EventLetter

_EXAMPLE = f"diverecorder://0.0.0.0:{PORT}?event=A"
_SHAPE = re.compile(
    r"diverecorder://(?P<host>[A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?/?(\?(?P<query>.*))?"
)
_PLACE = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True)
class MeetAddress:
    """Where a meet's software is listened to."""

    host: str = "0.0.0.0"
    """Address of this machine: 0.0.0.0 for all of them, so that broadcasts are heard."""
    port: int = PORT
    event: EventLetter = "A"
    """Which of two events at once."""
    sender: str | None = None
    """IP address of the one computer that is believed; None: the first that is heard."""

    def __str__(self) -> str:
        sender = "" if self.sender is None else f"&sender={self.sender}"
        return f"diverecorder://{bracketed(self.host)}:{self.port}?event={self.event}{sender}"


def parse_meet(text: str) -> MeetAddress:
    """Read the address of a meet's software.

    Raises:
        UserError: not one; says what is allowed.
    """
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise UserError(f"{text[:80]!r} is no address of meet software; give one such as {_EXAMPLE}")
    options = dict(parse_qsl(match["query"] or "", keep_blank_values=True))
    if unknown := sorted(options.keys() - {"event", "sender"}):
        raise UserError(f"the address of the meet has no option {unknown[0][:40]!r}; allowed: event, sender")
    letter, sender = options.get("event", "A").upper(), options.get("sender")
    if letter not in ("A", "B"):
        raise UserError(f"the event is {options['event'][:40]!r}; allowed: A, B")
    if sender is not None:
        try:
            sender = str(ipaddress.ip_address(sender))
        except ValueError:
            raise UserError(f"the sender is {sender[:60]!r}; give the IP address of a computer") from None
    event: EventLetter = "B" if letter == "B" else "A"
    return MeetAddress(match["host"].strip("[]") or "0.0.0.0", _port(match["port"]), event, sender)


def parse_place(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT``, to which messages are sent; without a port it is DiveRecorder's.

    Raises:
        UserError: anything else.
    """
    match = _PLACE.fullmatch(text.strip())
    if match is None:
        raise UserError(f"{text[:80]!r} is nowhere to send to; give HOST:PORT, such as 127.0.0.1:{PORT}")
    return match["host"].strip("[]"), _port(match["port"])


def listening_socket(address: MeetAddress) -> socket.socket:
    """Take the port, beside other programs that hear the same broadcasts.

    Raises:
        UserError: it cannot be had.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
        taken = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(
            f"cannot listen at {address}: {error.strerror or error}; give 0.0.0.0 for all addresses"
        ) from error
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(place)
    except OSError as error:
        taken.close()
        raise UserError(
            f"cannot listen at {address}: {error.strerror or error}; give an address of this machine, or 0.0.0.0 for "
            "all of them, and a port that no other program keeps to itself"
        ) from error
    return taken


def _port(text: str | None) -> int:
    port = PORT if text is None else int(text)
    if port > 65535:
        raise UserError(f"port {port}; allowed: 0 to 65535")
    return port
