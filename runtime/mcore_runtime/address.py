"""Addresses that the page and metrics are served at: reading HOST:PORT, taking the port, URL for a browser."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass

from mcore.common.errors import UserError

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8000
DEFAULT_ADDRESS = f"{DEFAULT_HOST}:{DEFAULT_PORT}"
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_HOST_HEADER = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::\d{1,5})?")
_ELSEWHERE = "192.0.2.1"
"""An address for documentation (RFC 5737): nothing is sent there, the system only says from where it would send."""


@dataclass(frozen=True)
class Address:
    """Host and port to listen on."""

    host: str = DEFAULT_HOST
    """A name or an IP address, IPv6 without its brackets."""
    port: int = DEFAULT_PORT
    """0: any free one."""

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


def parse_address(text: str | Address) -> Address:
    """Read ``HOST:PORT``, ``HOST``, ``:PORT`` or ``PORT``; IPv6 in brackets; what is left out is the default.

    Raises:
        UserError: anything else.
    """
    if isinstance(text, Address):
        return text
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*))(?::(\d{1,5}))?", text.strip())
    if match is None:
        raise _not_an_address(text)
    host, port = match[1] or match[2] or DEFAULT_HOST, match[3]
    if match[2] and port is None and match[2].isdigit():
        host, port = DEFAULT_HOST, match[2]
    if (match[1] is None and not _NAME.fullmatch(host)) or (port is not None and int(port) > 65535):
        raise _not_an_address(text)
    return Address(host, DEFAULT_PORT if port is None else int(port))


def listen(address: Address) -> socket.socket:
    """Take the port.

    Returns:
        A bound socket that does not listen yet.

    Raises:
        UserError: the port is in use or reserved, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise UserError(
            f"nothing can be served at {address}: there is no host of this name; give an address of this machine, "
            f"such as {DEFAULT_HOST}, or 0.0.0.0 for all of them"
        ) from error
    taken = socket.socket(family, kind, protocol)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
        taken.bind(place)
        taken.listen(64)  # of two sockets bound with SO_REUSEADDR, Linux tells only here that one is too many
    except (OSError, OverflowError) as error:
        taken.close()
        raise UserError(f"nothing can be served at {address}: {_advice(error, address)}") from error
    return taken


def is_loopback(host: str) -> bool:
    """Return whether a numeric address can be reached from this machine only."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def local_names(host: str) -> frozenset[str]:
    """Names under which a page on loopback may be asked for; any other is a name that was pointed here."""
    return _LOCAL_NAMES | {host.lower()}


def host_name(header: str) -> str:
    """Return the name in a Host header, without port and brackets, in small letters; empty where it is none."""
    match = _HOST_HEADER.fullmatch(header.lower())
    return "" if match is None else match[1] or match[2]


def url_of(taken: socket.socket, address: Address) -> str:
    """Return the address for a browser; for a socket on all addresses, the one by which others reach this machine."""
    host, port = taken.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        return f"http://{bracketed(_outward() or socket.gethostname())}:{port}/"
    return f"http://{bracketed(address.host)}:{port}/"


def bracketed(host: str) -> str:
    """A host as URLs spell it."""
    return f"[{host}]" if ":" in host else host


def _outward() -> str | None:
    """This machine's IPv4 address on the network, which people type; None: it has none.

    A socket on all IPv6 addresses takes IPv4 too.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _advice(error: OSError | OverflowError, address: Address) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"port {address.port} is in use; give another, such as {address.port + 1}, or 0 for any free one"
    if number == errno.EACCES:
        return f"port {address.port} is reserved for the system; give one from 1024 on"
    if number == errno.EADDRNOTAVAIL:
        return f"this machine has no address {address.host}; give one that it has, or 0.0.0.0 for all of them"
    return str(error)


def _not_an_address(text: str) -> UserError:
    return UserError(
        f"{text!r} is not an address to serve the page at; give HOST:PORT, such as {DEFAULT_ADDRESS}, "
        "0.0.0.0:8000 or [::1]:8000"
    )
