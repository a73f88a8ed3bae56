"""History of a stream over several connections: a server that is asked again may send what it sent before."""

from __future__ import annotations

import zlib
from collections import deque
from typing import Any

from av.packet import Packet

_MAX_KEYFRAMES = 1000
"""Key frames that are remembered beside the first: at one a second those of a quarter of an hour."""

_Key = tuple[int | None, int]


class StreamHistory:
    """Key frames that a stream has sent, and the last picture that was delivered.

    A key frame is known by its time and content: no camera takes the same picture twice, to the last bit.
    """

    def __init__(self) -> None:
        self._first: _Key | None = None
        self._recent: deque[_Key] = deque(maxlen=_MAX_KEYFRAMES)
        self.last_delivered_s: float | None = None
        """Time of the last picture that was delivered, on the server's clock; None: none was."""

    def contains(self, packet: Packet[Any]) -> bool:
        """Return whether a packet came before."""
        key = _key(packet)
        return key == self._first or key in self._recent

    def is_first(self, packet: Packet[Any]) -> bool:
        """Return whether a packet is the one that the first connection began with."""
        return _key(packet) == self._first

    def add(self, packet: Packet[Any]) -> None:
        """Remember a key frame."""
        key = _key(packet)
        if self._first is None:
            self._first = key
        self._recent.append(key)


def _key(packet: Packet[Any]) -> _Key:
    return packet.pts, zlib.crc32(bytes(packet))
