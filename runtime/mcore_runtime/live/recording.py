"""The last seconds of a stream at full size, as H.264 in memory, from which the clip of a dive is written.

Encoded at once, ten seconds take a few megabytes instead of gigabytes, and writing a clip is copying packets: no second
encoding at the very moment when a dive is to be scored. The scorer never reads it: scores come from the pictures as
they were received.
"""

from __future__ import annotations

import io
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore.common.errors import UserError, first_line
from mcore_runtime.sources.frame import Frame

_TIME_BASE = Fraction(1, 90_000)
_KEYFRAME_S = 0.5
"""A clip begins up to this much before its dive: decoding starts at a keyframe."""
_NOMINAL_RATE = 30
_OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "g": "9999", "bf": "0"}


@dataclass(frozen=True)
class _Packet:
    data: bytes
    ticks: int
    is_keyframe: bool


class Recording:
    """Encodes a stream continuously and keeps its end; ``close`` frees the encoder.

    It is for show, so nothing that it meets may end a run: ``add`` and ``close`` never raise, and ``mp4`` raises one
    kind of error, which says what went wrong.

    Args:
        seconds: how much is kept.
        max_height: taller frames are reduced to this, pixels.
    """

    def __init__(self, *, seconds: float = 15.0, max_height: int = 720) -> None:
        if seconds <= 0 or max_height < 16:
            raise UserError(f"a recording of {seconds:g} s at {max_height} rows; give more than 0 s and 16 rows")
        self._seconds = seconds
        self._max_height = max_height
        self._packets: deque[_Packet] = deque()
        self._container: Any = None
        self._stream: Any = None
        self._first_s = self._keyframe_s = 0.0
        self._size, self._last_ticks = (0, 0), -1
        self._fault: str | None = None

    def add(self, frame: Frame) -> None:
        """Encode a frame; another size of picture, or a fault of the encoder, begins anew."""
        try:
            self._encode(frame)
        except Exception as error:  # whatever an encoder raises, for whatever picture
            self._fault = f"the encoder failed: {first_line(error) or type(error).__name__}"
            self.close()
            self._packets.clear()

    def _encode(self, frame: Frame) -> None:
        picture = _even(frame.rgb, self._max_height)
        size = (picture.shape[1], picture.shape[0])
        if self._stream is None or size != self._size:
            self._begin(size, frame.time_s)
        encoded = av.VideoFrame.from_ndarray(picture, format="rgb24")
        # Two frames of one time cannot be written to a file.
        encoded.pts = self._last_ticks = max(round((frame.time_s - self._first_s) / _TIME_BASE), self._last_ticks + 1)
        encoded.time_base = _TIME_BASE
        if frame.time_s - self._keyframe_s >= _KEYFRAME_S:
            encoded.pict_type = 1  # I
            self._keyframe_s = frame.time_s
        for packet in self._stream.encode(encoded):
            self._packets.append(_Packet(bytes(packet), packet.pts, packet.is_keyframe))
        oldest = encoded.pts - round(self._seconds / _TIME_BASE)
        while len(self._packets) > 1 and self._packets[0].ticks < oldest:
            self._packets.popleft()

    def mp4(self, start_s: float, end_s: float) -> tuple[bytes, float]:
        """Return what was shown between two times of the stream as an MP4 file in memory.

        Args:
            start_s: the file begins at the last keyframe at or before this time, or with the oldest one kept.
            end_s: and ends before this time.

        Returns:
            The file, and the time of its first frame, seconds on the stream's clock.

        Raises:
            UserError: nothing of that time is kept, or it cannot be written.
        """
        packets = self._between(start_s, end_s)
        try:
            return self._mux(packets), self._first_s + float(packets[0].ticks * _TIME_BASE)
        except Exception as error:
            raise UserError(f"it cannot be written: {first_line(error) or type(error).__name__}") from error

    def _mux(self, packets: list[_Packet]) -> bytes:
        content = io.BytesIO()
        with av.open(content, "w", format="mp4") as container:
            stream = container.add_stream_from_template(self._stream)
            for kept in packets:
                packet = av.Packet(kept.data)
                packet.pts = packet.dts = kept.ticks - packets[0].ticks
                packet.time_base = _TIME_BASE
                packet.stream = stream
                packet.is_keyframe = kept.is_keyframe
                container.mux(packet)
        return content.getvalue()

    def close(self) -> None:
        """Free the encoder."""
        with suppress(Exception):
            if self._container is not None:
                self._stream.encode(None)  # x264 prints a warning for frames that nobody fetched
                self._container.close()
        self._container = self._stream = None

    def _begin(self, size: tuple[int, int], time_s: float) -> None:
        self.close()
        self._packets.clear()
        # No packet is written to it: an MP4 container makes the encoder keep its parameters apart from its packets.
        self._container = av.open(io.BytesIO(), "w", format="mp4")
        stream = self._container.add_stream("libx264", rate=_NOMINAL_RATE, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = _TIME_BASE
        stream.codec_context.thread_count = 1
        self._container.start_encoding()  # opens the encoder, so that its parameters can be copied
        self._stream = stream
        self._size, self._last_ticks = size, -1
        self._first_s = self._keyframe_s = time_s

    def _between(self, start_s: float, end_s: float) -> list[_Packet]:
        first, last = (round((s - self._first_s) / _TIME_BASE) for s in (start_s, end_s))
        packets = list(self._packets)
        starts = [i for i, packet in enumerate(packets) if packet.is_keyframe]
        before = [i for i in starts if packets[i].ticks <= first]
        begin = before[-1] if before else starts[0] if starts else len(packets)
        chosen = [packet for packet in packets[begin:] if packet.ticks < last]
        if not chosen:
            why = "" if self._fault is None else f"; {self._fault}"
            raise UserError(f"nothing is kept of the stream between {start_s:.2f} s and {end_s:.2f} s{why}")
        return chosen


def _even(rgb: NDArray[np.uint8], max_height: int) -> NDArray[np.uint8]:
    """Reduce to a height, and to even sides, which H.264 needs."""
    height, width = rgb.shape[:2]
    if height > max_height:
        size = (max(2, round(width * max_height / height)) // 2 * 2, max_height // 2 * 2)
        return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
    return np.ascontiguousarray(rgb[: height // 2 * 2, : width // 2 * 2])
