"""Structure of container files, read without FFmpeg: where they should end, and where it is broken.

FFmpeg reads a truncated file to where it breaks off and reports a normal end. MP4 (ISO 14496-12), Matroska (RFC
8794 and 9559) and AVI say how many bytes must follow, and MPEG-TS comes in whole packets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MP4_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx")
_MP4_BOXES = (
    *_MP4_FIRST_BOXES, b"moof", b"mfra", b"meta", b"uuid", b"udta", b"pdin", b"ssix", b"prft", b"emsg", b"junk", b"PICT"
)  # fmt: skip
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
_MAX_TRAILER_BYTES = 1 << 26
_MAX_XML_BYTES = 1 << 20
_MAX_EDIT_LIST_BYTES = 1 << 20


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
    """Return the end of the last top-level box; a file without an index lacks at least one more box.

    What follows the last box is no box: cameras and programs append notes of their own there (ID3, XMP, a line end).
    """
    position = 0
    seen: set[bytes] = set()
    while position < size:
        kind, length = _box(file, position, size)
        is_cut = length is None or (position + length > size and kind not in _MP4_BOXES)
        if is_cut and {b"moov", b"mdat"} <= seen and not (b"moof" in seen and _holds_fragment(file, position)):
            return size
        if length is None:
            return position + 8
        if length < 8:
            return size  # not a box: damaged, which the decoder will say
        seen.add(kind)
        position += length
    return position if b"moov" in seen or position > size else position + 8


def _box(file: BinaryIO, position: int, end: int) -> tuple[bytes, int | None]:
    """Read a box's kind and its length with the header; None where the header is cut."""
    file.seek(position)
    header = file.read(min(16, end - position))
    if len(header) < 8:
        return b"", None
    length, kind = int.from_bytes(header[:4], "big"), header[4:8]
    if length == 1:
        length = int.from_bytes(header[8:16], "big")
    elif length == 0:  # to the end of what holds it
        length = end - position
    return kind, length


def _holds_fragment(file: BinaryIO, position: int) -> bool:
    """Whether a fragment of a live recording begins after a position, if only with the first bytes of its length."""
    file.seek(position)
    rest = file.read(_MAX_TRAILER_BYTES)
    return b"moof" in rest or b"mdat" in rest or (len(rest) < 8 and bool(rest.strip()))


def edit_rates(path: Path) -> dict[int, list[float]]:
    """Read at which speeds the edit lists of an MP4 or MOV play its tracks (ISO 14496-12, 8.6.6).

    Returns:
        For each track number the rates of its edits, pauses before it left out; empty for other containers.
    """
    rates: dict[int, list[float]] = {}
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(8)[4:8] not in _MP4_FIRST_BOXES:
            return {}
        for start, end in _children(file, 0, size, b"moov"):
            for track_start, track_end in _children(file, start, end, b"trak"):
                for head, _ in _children(file, track_start, track_end, b"tkhd"):
                    file.seek(head)
                    header = file.read(24)
                    number = int.from_bytes(header[20:24] if header[:1] == b"\1" else header[12:16], "big")
                    edits = [
                        rate
                        for edit_start, edit_end in _children(file, track_start, track_end, b"edts")
                        for list_start, list_end in _children(file, edit_start, edit_end, b"elst")
                        for rate in _edit_list(file, list_start, list_end)
                    ]
                    rates[number] = edits
    return rates


def embedded_xml(path: Path) -> bytes:
    """Read the XML text in the metadata of an MP4 (ISO 14496-12, 8.11.2), where cameras describe the recording.

    Returns:
        Its bytes, at most a megabyte; empty where there is none, and for other containers.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(8)[4:8] not in _MP4_FIRST_BOXES:
            return b""
        films = [(0, size), *_children(file, 0, size, b"moov")]
        metas = [meta for film in films for meta in _children(file, *film, b"meta")]
        # Both kinds of box begin with 4 bytes of version and flags, but the first does not in QuickTime's files.
        for start, end in metas:
            for xml_start, xml_end in (
                *_children(file, start + 4, end, b"xml "),
                *_children(file, start, end, b"xml "),
            ):
                file.seek(xml_start + 4)
                return file.read(min(xml_end - xml_start - 4, _MAX_XML_BYTES))
    return b""


def _children(file: BinaryIO, position: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the contents of the boxes of one kind begin and end."""
    while position < end:
        kind, length = _box(file, position, end)
        if length is None or length < 8:
            return
        if kind == wanted:
            file.seek(position)
            header_bytes = 16 if file.read(4) == b"\0\0\0\1" else 8
            yield position + header_bytes, min(end, position + length)
        position += length


def _edit_list(file: BinaryIO, start: int, end: int) -> Iterator[float]:
    file.seek(start)
    data = file.read(min(end - start, _MAX_EDIT_LIST_BYTES))
    entry = struct.Struct(">QqI" if data[:1] == b"\1" else ">IiI")
    count = min(int.from_bytes(data[4:8], "big"), (len(data) - 8) // entry.size)
    for k in range(count):
        _, media_time, rate = entry.unpack_from(data, 8 + k * entry.size)
        if media_time >= 0:  # -1: nothing is shown before the track begins
            yield rate / (1 << 16)


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
