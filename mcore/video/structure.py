"""Structure of container files, read without FFmpeg: where they should end, and where it is broken.

FFmpeg reads a truncated file to where it breaks off and reports a normal end. MP4 (ISO 14496-12), Matroska (RFC
8794 and 9559) and AVI say how many bytes must follow, and MPEG-TS comes in whole packets.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_MP4_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx")
_TS_PACKET_BYTES = (188, 192, 204)
_TS_SYNC = 0x47

_EBML_MAGIC = b"\x1a\x45\xdf\xa3"

_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675
_GLOBAL = {0xEC, 0xBF}  # Void, CRC-32
_IN_SEGMENT = _GLOBAL | {
    _CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367
}  # fmt: skip
_IN_CLUSTER = _GLOBAL | {0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0xAF, 0x5854}
_MAX_HEADER_BYTES = 12


def missing_bytes(path: Path) -> str | None:
    """Say what a file lacks at its end.

    Returns:
        A clause such as "at least 1,234 of 5,678 bytes are missing", or None where nothing is missing, or where the
        container does not say.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(1024)
        if head[4:8] in _MP4_FIRST_BOXES:
            expected = _mp4_bytes(file, size)
        elif head[:4] == _EBML_MAGIC:
            expected = _matroska_bytes(file, size)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            expected = 8 + int.from_bytes(head[4:8], "little")
        elif packet := _ts_packet_bytes(head):
            over = size % packet
            return f"it ends inside a transport packet ({over} of {packet} bytes)" if over else None
        else:
            return None
    return f"at least {expected - size:,} of {expected:,} bytes are missing" if expected > size else None


def _mp4_bytes(file: BinaryIO, size: int) -> int:
    """End of the last top-level box; a file without an index lacks at least one more box."""
    position = 0
    has_index = False
    while position < size:
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            return position + 8
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:  # to the end of the file
            length = size - position
        if length < 8:
            return size  # not a box: damaged, which the decoder will say
        has_index = has_index or kind == b"moov"
        position += length
    return position if has_index or position > size else position + 8


def _ts_packet_bytes(head: bytes) -> int | None:
    """Packet length of a transport stream, recognised by three sync bytes (m2ts: after four bytes of time)."""
    for packet in _TS_PACKET_BYTES:
        offset = packet - 188 if packet == 192 else 0
        if len(head) > offset + 2 * packet and all(head[offset + k * packet] == _TS_SYNC for k in range(3)):
            return packet
    return None


def _matroska_bytes(file: BinaryIO, size: int) -> int:
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


def matroska_fault(path: Path) -> int | None:
    """Find the first byte of a Matroska file at which an element should begin and none does.

    FFmpeg skips what it cannot parse and goes on at the next cluster: frames are gone, and nothing is reported.

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
