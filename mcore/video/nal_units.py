"""Kinds of coded pictures of H.264 and HEVC, from the headers of their NAL units, without decoding.

See ITU-T H.264, 7.3.1 and 7.4.1, and ITU-T H.265, 7.3.1 and 7.4.2.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

CODECS = ("h264", "hevc")
"""FFmpeg's names of the codecs whose headers are read; of others nothing is known."""
_AVC_SLICES, _AVC_IDR = range(1, 6), 5
"""Types of NAL units that hold a picture, and of one that starts a new sequence (H.264, table 7-1)."""
_HEVC_SLICES = range(32)
_HEVC_NON_REFERENCE = range(0, 16, 2)
"""Types of those that no other picture of their temporal layer refers to (H.265, table 7-1)."""


class CodedPicture(NamedTuple):
    """What its headers say of a coded picture."""

    is_idr: bool = False
    """No later picture looks back beyond it; not looked for in HEVC."""
    is_reference: bool = True
    """Others of its temporal layer may be predicted from it."""
    temporal_layer: int = 0
    """Pictures of higher layers may be predicted from it anyway."""


def read_picture(codec: str, packet: bytes, extradata: bytes) -> CodedPicture:
    """Read the headers of a packet.

    Containers also mark recovery points as keyframes: of open groups of pictures, and of a rolling intra refresh.
    Only ``is_idr`` tells them apart.

    Args:
        codec: FFmpeg's name; of others than h264 and hevc nothing is known.
        packet: one access unit.
        extradata: the codec's configuration record; it tells how NAL units are separated.
    """
    if codec == "h264":
        length_bytes = (extradata[4] & 3) + 1 if extradata[:1] == b"\x01" and len(extradata) > 4 else None
        headers = [header for header in _headers(packet, length_bytes) if header[0] & 0x1F in _AVC_SLICES]
        if headers:  # two, of which only the first is a reference, where a packet holds both fields of a frame
            return CodedPicture(headers[0][0] & 0x1F == _AVC_IDR, any(header[0] >> 5 & 3 for header in headers))
    elif codec == "hevc":
        length_bytes = (extradata[21] & 3) + 1 if extradata[:1] == b"\x01" and len(extradata) > 21 else None
        headers = [header for header in _headers(packet, length_bytes) if header[0] >> 1 & 0x3F in _HEVC_SLICES]
        if headers:
            is_reference = any(header[0] >> 1 & 0x3F not in _HEVC_NON_REFERENCE for header in headers)
            return CodedPicture(False, is_reference, max(header[1] & 7 for header in headers) - 1)
    return CodedPicture()


def _headers(packet: bytes, length_bytes: int | None) -> Iterator[bytes]:
    """First two bytes of each NAL unit: after its length, as in MP4 and Matroska, or after a start code."""
    if length_bytes is None:
        position = packet.find(b"\0\0\1")
        while 0 <= position < len(packet) - 4:
            yield packet[position + 3 : position + 5]
            position = packet.find(b"\0\0\1", position + 3)
        return
    position = 0
    while position + length_bytes + 1 < len(packet):
        length = int.from_bytes(packet[position : position + length_bytes], "big")
        position += length_bytes
        yield packet[position : position + 2]
        position += length
