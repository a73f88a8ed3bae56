"""Cameras and servers through FFmpeg: RTSP, MJPEG and other video over HTTP, V4L2."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import av
from av.container import InputContainer

from mcore.video.picture import to_rgb
from mcore_runtime.sources.errors import SourceError, StreamLost
from mcore_runtime.sources.frame import Picture
from mcore_runtime.sources.uri import SourceURI

_NO_CLOCK = ("mpjpeg", "mjpeg", "jpeg_pipe", "h264", "hevc")
"""Formats without times: FFmpeg would count 25 frames a second, whatever the camera does."""
_WITH_END = ("mov", "matroska", "avi", "flv")
"""Formats of which a server may send a whole file; then the end is an end."""
_MAX_SHORTAGE_S = 1.0
"""A file from a server that ends this much before its announced length is cut off."""
_MAX_DAMAGED = 100
"""Damaged packets in a row after which a stream counts as lost."""
_REFUSED = (av.HTTPUnauthorizedError, av.HTTPForbiddenError)
_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "probesize": "500000", "analyzeduration": "500000"}


class StreamConnection:
    """An open FFmpeg input."""

    reader = "pyav"

    def __init__(self, container: InputContainer, uri: SourceURI) -> None:
        self._container = container
        self._timeout_s = uri.options.timeout_s
        if not container.streams.video:
            container.close()
            raise StreamLost("it sends no video")
        self._stream = container.streams.video[0]
        name = container.format.name
        self._has_clock = name not in _NO_CLOCK
        whole = uri.kind == "http" and name.startswith(_WITH_END) and container.duration is not None
        self._length_s = float(container.duration or 0) / av.time_base if whole else None
        self.is_live = self._length_s is None
        self._packets: Iterator[Any] = iter(container.demux(self._stream))
        self._damaged = 0

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures as they come.

        Raises:
            StreamLost: the end of a live stream, an error, or no picture for too long.
        """
        reached_s = 0.0
        for received_s, frame in self._frames():
            base = frame.time_base or self._stream.time_base
            media_s = None
            if self._has_clock and frame.pts is not None and base is not None:
                media_s = frame.pts * base.numerator / base.denominator
                reached_s = media_s - float((self._stream.start_time or 0) * base)
            yield Picture(to_rgb(frame), received_s, media_s, self._take_damage())
        # A server that was killed looks like the end of the stream.
        if self._length_s is None or reached_s < self._length_s - _MAX_SHORTAGE_S:
            raise StreamLost("the stream ended")

    def _frames(self) -> Iterator[tuple[float, av.VideoFrame]]:
        damaged_in_a_row = 0
        last_s = time.monotonic()
        while True:
            reason, packet = self._next_packet()
            if reason is not None:
                raise StreamLost(reason)
            now_s = time.monotonic()
            if packet is not None and packet.stream_index == self._stream.index:
                try:
                    frames = packet.decode()
                    damaged_in_a_row = 0
                except av.InvalidDataError:
                    frames = []
                    self._damaged += 1
                    damaged_in_a_row += 1
                for frame in frames:
                    if isinstance(frame, av.VideoFrame) and frame.is_corrupt:
                        self._damaged += 1
                    elif isinstance(frame, av.VideoFrame):
                        last_s = now_s
                        yield now_s, frame
            if packet is None:
                return
            # A stream that never becomes a picture, and one that only sends sound, would otherwise look alive for ever.
            if damaged_in_a_row >= _MAX_DAMAGED:
                raise StreamLost("all it sends is damaged")
            if time.monotonic() - last_s > self._timeout_s:
                raise StreamLost(f"no picture for {self._timeout_s:g} s")

    def _next_packet(self) -> tuple[str | None, Any]:
        """Return why there is none, or the next packet; None and None at the end."""
        try:
            packet = next(self._packets, None)
        except av.FFmpegError as error:
            return _reason(error, self._timeout_s), None
        if packet is not None and not packet.size and packet.dts is None:
            return None, None  # PyAV ends with an empty packet; live decoders hold nothing back
        return None, packet

    def _take_damage(self) -> str | None:
        damaged, self._damaged = self._damaged, 0
        return f"{damaged} damaged pictures" if damaged else None

    def close(self) -> None:
        """Close the connection."""
        self._container.close()


def open_stream(uri: SourceURI, *, first: bool) -> StreamConnection:
    """Connect to a camera or server.

    Args:
        uri: of kind rtsp, http or camera.
        first: refused credentials and a missing device end the first attempt; a camera that worked before is retried.

    Raises:
        StreamLost: it cannot be reached now, or sends no video.
        SourceError: it refuses the credentials, or there is no such device.
    """
    # FFmpeg's errors carry the whole address, so they are turned into words here and never chained.
    container, reason, final = _try_open(uri)
    if container is None:
        if final and first:
            raise SourceError(f"{uri.public}: {reason}")
        raise StreamLost(reason)
    return StreamConnection(container, uri)


def _try_open(uri: SourceURI) -> tuple[InputContainer | None, str, bool]:
    """Open, or say why not and whether trying again is useless."""
    target, format_name, options = _ffmpeg_input(uri)
    timeout = (uri.options.open_timeout_s, uri.options.timeout_s)
    try:
        return (
            av.open(target, format=format_name, options=options, timeout=timeout, metadata_errors="replace"),
            "",
            False,
        )
    except _REFUSED:
        return None, "it refuses the user name or password; correct them in the address", True
    except (av.FFmpegError, OSError, ValueError) as error:
        reason, final = _reason(error, uri.options.open_timeout_s), False
        if uri.kind == "camera":
            final = isinstance(error, FileNotFoundError | PermissionError)
            reason += "; see v4l2-ctl --list-devices, and whether you may read it (group video)" if final else ""
        return None, reason, final


def _ffmpeg_input(uri: SourceURI) -> tuple[str, str | None, dict[str, str]]:
    """Name, format and options of the input in FFmpeg's words."""
    chosen = uri.options
    if uri.kind == "camera":
        options = {}
        if chosen.size is not None:
            options["video_size"] = "{}x{}".format(*chosen.size)
        if chosen.rate is not None:
            options["framerate"] = f"{chosen.rate:g}"
        if chosen.format is not None:
            options["input_format"] = chosen.format
        device = f"/dev/video{uri.target}" if uri.target.isdigit() else uri.target
        return device, "video4linux2,v4l2", options
    options = dict(_LOW_DELAY)
    if uri.kind == "rtsp":
        options["rtsp_transport"] = chosen.transport
        options["allowed_media_types"] = "video"
    return uri.target, None, options


def _reason(error: BaseException, timeout_s: float) -> str:
    """Say what went wrong in FFmpeg's or the system's fixed words, which hold no part of an address."""
    if isinstance(error, av.ExitError | TimeoutError):
        return f"no answer for {timeout_s:g} s"
    if isinstance(error, av.FFmpegError) and error.strerror:
        return str(error.strerror)
    return type(error).__name__
