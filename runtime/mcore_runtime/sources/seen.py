"""What earlier connections to a server brought: a server that is asked again may send it again."""

from __future__ import annotations

import zlib
from collections import deque
from typing import Any

from av.packet import Packet

_MAX_KEYS = 1000
"""Starts that are remembered beside the first: at one a second those of a quarter of an hour."""

_Key = tuple[int | None, int]


class Seen:
    """Places of a stream at which decoding can start, and how far it has been shown.

    A place is a key frame's time and content: no camera takes the same picture twice, to the last bit.
    """

    def __init__(self) -> None:
        self._first: _Key | None = None
        self._recent: deque[_Key] = deque(maxlen=_MAX_KEYS)
        self.reached_s: float | None = None
        """Time of the last picture that was delivered, on the server's clock; None: none was."""

    def knows(self, packet: Packet[Any]) -> bool:
        """Say whether a packet came before."""
        key = _key(packet)
        return key == self._first or key in self._recent

    def is_first(self, packet: Packet[Any]) -> bool:
        """Say whether a packet is the one that the first connection began with."""
        return _key(packet) == self._first

    def add(self, packet: Packet[Any]) -> None:
        """Remember a key frame."""
        key = _key(packet)
        if self._first is None:
            self._first = key
        self._recent.append(key)


def _key(packet: Packet[Any]) -> _Key:
    return packet.pts, zlib.crc32(bytes(packet))
