"""A look into H.264 packets: whether decoding can really start at one (ITU-T H.264, 7.3.1 and 7.4.1.2.4)."""

from __future__ import annotations

from collections.abc import Iterator

_IDR_SLICE = 5
_SLICES = range(1, 6)


def is_idr(packet: bytes, extradata: bytes) -> bool:
    """Say whether an H.264 packet holds an IDR picture: one that no later picture looks back beyond.

    Containers also mark recovery points as keyframes: of open groups of pictures, and of a rolling intra refresh.

    Args:
        packet: one access unit.
        extradata: the codec's configuration record; it tells how NAL units are separated.
    """
    units = _length_prefixed(packet, (extradata[4] & 3) + 1) if extradata[:1] == b"\x01" else _annex_b(packet)
    for unit_type in units:
        if unit_type in _SLICES:
            return unit_type == _IDR_SLICE
    return False


def _length_prefixed(packet: bytes, length_bytes: int) -> Iterator[int]:
    """Types of NAL units that follow their length, as in MP4 and Matroska."""
    position = 0
    while position + length_bytes < len(packet):
        length = int.from_bytes(packet[position : position + length_bytes], "big")
        position += length_bytes
        yield packet[position] & 0x1F
        position += length


def _annex_b(packet: bytes) -> Iterator[int]:
    """Types of NAL units that follow a start code, as in transport streams."""
    position = packet.find(b"\0\0\1")
    while 0 <= position < len(packet) - 3:
        yield packet[position + 3] & 0x1F
        position = packet.find(b"\0\0\1", position + 3)
