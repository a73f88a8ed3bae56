"""Raw packets of a meet, kept in the session's folder as they came, to be replayed: one line of JSON each.

A packet's bytes are written as text of the same code points (Latin-1), so that people can read them and none changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from mcore.common.errors import UserError
from mcore.common.typed_json import decode, encode

PACKETS_FILE = "meet_packets.jsonl"
_MAX_BYTES = 256_000_000
"""A day of a real meet is below 20 MB; whoever sends more has other aims."""


@dataclass(frozen=True)
class Packet:
    """One datagram."""

    time: str
    """Time at which it came, ISO 8601, UTC."""
    sender: str
    """IP address of the computer that sent it."""
    text: str
    """Its bytes, each as the character of its number."""

    @property
    def data(self) -> bytes:
        """Bytes of the datagram."""
        return self.text.encode("latin-1")

    @property
    def time_s(self) -> float:
        """Seconds since 1970."""
        return datetime.fromisoformat(self.time).timestamp()


class PacketLog:
    """File to which packets are added; each is on the disk when ``add`` returns. A context manager.

    Args:
        path: made where it is not there; what is there stays, but for a last line that a power cut left half.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._size = 0

    def __enter__(self) -> PacketLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, packet: Packet) -> str | None:
        """Add a packet; returns why it is not on the disk, or None."""
        line = encode(packet).encode() + b"\n"
        try:
            if self._file is None:
                self._file = self.path.open("ab")
                self._size = self.path.read_bytes().rfind(b"\n") + 1
                self._file.truncate(self._size)
            if self._size + len(line) > _MAX_BYTES:
                return f"{self.path} holds {self._size} bytes, and no more packets are kept"
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            return f"{self.path}: {error.strerror or error}"
        self._size += len(line)
        return None


def read_packets(path: Path) -> Iterator[Packet]:
    """Read recorded packets, in the order in which they came.

    Raises:
        UserError: the file cannot be read, or a line of it is none; a last line that a power cut left half is not.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"the packets {path} cannot be read: {error.strerror or error}") from error
    whole = lines[:-1]  # every line that was written in full ends in a line break
    for number, line in enumerate(whole, 1):
        packet = decode(Packet, line, f"{path}, line {number}")
        try:
            packet.data, packet.time_s  # noqa: B018
        except ValueError as error:
            raise UserError(f"{path}, line {number}: no packet: {error}") from None
        yield packet
