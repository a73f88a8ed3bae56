"""The frame of a Matroska file: how long it says it is, and whether its elements hang together (RFC 8794, RFC 9559).

FFmpeg skips what it cannot parse and goes on at the next cluster: frames are gone, and nothing is reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

EBML_MAGIC = b"\x1a\x45\xdf\xa3"

_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675
_GLOBAL = {0xEC, 0xBF}  # Void, CRC-32
_IN_SEGMENT = _GLOBAL | {
    _CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367
}  # fmt: skip
_IN_CLUSTER = _GLOBAL | {0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0xAF, 0x5854}
_MAX_HEADER_BYTES = 12


def declared_bytes(file: BinaryIO, size: int) -> int:
    """Say where the segment ends; of a live recording, whose length is unknown, where the file ends."""
    position = 0
    while position < size:
        header = _read_header(file, position)
        if header is None:
            return position + _MAX_HEADER_BYTES
        element, start, length = header
        if length is None:
            return size
        position = start + length
        if element == _SEGMENT:
            break
    return position


def fault_position(path: Path) -> int | None:
    """Find the first byte at which an element should begin and none does.

    Returns:
        Its offset, or None where all elements of the segment and its clusters follow one another, or where their
        lengths are unknown, as in live recordings.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while position < size:
            header = _read_header(file, position)
            if header is None:
                return position
            element, start, length = header
            if length is None:
                return None
            if element == _SEGMENT:
                return _fault_within(file, start, min(size, start + length), _IN_SEGMENT)
            position = start + length
    return None


def _fault_within(file: BinaryIO, position: int, end: int, allowed: set[int]) -> int | None:
    while position < end:
        header = _read_header(file, position)
        if header is None or header[0] not in allowed:
            return position
        element, start, length = header
        if length is None:
            return None
        if start + length > end:
            return position
        if element == _CLUSTER:
            fault = _fault_within(file, start, start + length, _IN_CLUSTER)
            if fault is not None:
                return fault
        position = start + length
    return None


def _read_header(file: BinaryIO, position: int) -> tuple[int, int, int | None] | None:
    """Read an element's id, where its content begins, and its length (None: unknown)."""
    file.seek(position)
    header = file.read(_MAX_HEADER_BYTES)
    id_bytes = _number_bytes(header)
    length_bytes = _number_bytes(header[id_bytes:])
    if not 1 <= id_bytes <= 4 or not length_bytes or len(header) < id_bytes + length_bytes:
        return None
    element = int.from_bytes(header[:id_bytes], "big")
    unknown = (1 << 7 * length_bytes) - 1
    length = int.from_bytes(header[id_bytes : id_bytes + length_bytes], "big") & unknown
    return element, position + id_bytes + length_bytes, None if length == unknown else length


def _number_bytes(data: bytes) -> int:
    """Bytes of the variable-length number that begins here, by its leading zero bits; 0 where none can."""
    return 9 - data[0].bit_length() if data and data[0] else 0
