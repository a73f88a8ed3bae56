"""Files that end before their own headers say: found from sizes in the container, without decoding.

FFmpeg reads a truncated file to where it breaks off and reports a normal end. MP4 (ISO 14496-12), Matroska (RFC
8794 and 9559) and AVI say how many bytes must follow, and MPEG-TS comes in whole packets.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from mcore.video import matroska

_MP4_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx")
_TS_PACKET_BYTES = (188, 192, 204)
_TS_SYNC = 0x47


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
        elif head[:4] == matroska.EBML_MAGIC:
            expected = matroska.declared_bytes(file, size)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            expected = 8 + int.from_bytes(head[4:8], "little")
        elif packet := _ts_packet_bytes(head):
            over = size % packet
            return f"it ends inside a transport packet ({over} of {packet} bytes)" if over else None
        else:
            return None
    return f"at least {expected - size:,} of {expected:,} bytes are missing" if expected > size else None


def _mp4_bytes(file: BinaryIO, size: int) -> int:
    """Where the last top-level box ends; a file without an index lacks at least one more box."""
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
