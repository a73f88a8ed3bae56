"""Cameras and servers through FFmpeg: RTSP, MJPEG and other video over HTTP, V4L2.

A stream is a recording where its server or its format says how long it is: then its end is the end. Any other is taken
for a camera's, whose end is a loss, and is asked for again. What came before is passed over then; and a stream that
begins as it did the first time, and ends without anything new, was a recording after all, and is over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal

import av
from av.container import InputContainer
from av.packet import Packet

from mcore.video.container import WITHOUT_RATE, decode_exactly, describe_tracks, picture_tracks
from mcore.video.hardware import DecoderChoice, Device, hwaccel_of
from mcore.video.picture import to_rgb
from mcore.video.speed import check_stated_rate
from mcore_runtime.sources.errors import SourceError, StreamLost
from mcore_runtime.sources.frame import Picture
from mcore_runtime.sources.http import asks_proxy, redirected
from mcore_runtime.sources.stream_history import StreamHistory
from mcore_runtime.sources.timeline import paced
from mcore_runtime.sources.uri import SourceURI

_PLAYLISTS = ("hls", "dash")
"""Formats that come in pieces of some seconds each; a list of all of them says where the end is."""
_LENGTH_IN_HEADER = ("mov", "matroska", "avi", "flv", "rtsp", *_PLAYLISTS)
"""Formats that say how long they are, where they are whole; RTSP servers do in their description (a=range)."""
_MAX_SHORTAGE_S = 1.0
"""A file from a server that ends this much before its announced length is cut off."""
_MAX_DAMAGED = 100
"""Damaged packets in a row after which a stream counts as lost."""
_MAX_REDIRECTS = 8
_PIECE_TIMEOUT_S = 30.0
"""Longest wait for the next piece of a playlist, which comes when its last picture was taken."""
_NO_PICTURES = (
    "it sends no pictures that can be read; give the address of the video itself, not of a page around it, or download "
    "the file"
)
_ENDED = "the stream ended"
_SILENCE = (av.ExitError, TimeoutError)
_REFUSED = (av.HTTPUnauthorizedError, av.HTTPForbiddenError)
_SHORT_PROBE = {"probesize": "500000", "analyzeduration": "500000"}
"""How much of a stream FFmpeg reads to open it, bytes and microseconds: a camera's pictures wait meanwhile."""
_LOW_DELAY = _SHORT_PROBE | {"fflags": "nobuffer"}
"""Live only: with ``nobuffer`` the pictures that FFmpeg looks at when it opens a stream are never seen again."""


class _StreamEnded(StreamLost):
    """The server ended it, or the network: not a silence, after which more may come."""


class StreamConnection:
    """An open FFmpeg input."""

    def __init__(
        self, container: InputContainer, uri: SourceURI, decoder: DecoderChoice, history: StreamHistory | None = None
    ) -> None:
        self._container, self._uri, self._history = container, uri, history or StreamHistory()
        self._decoder = decoder
        self._timeout_s = _timeout_s(container, uri)
        tracks = picture_tracks(container)
        if not tracks:
            container.close()
            raise StreamLost("it sends no video")
        self._stream, self._tracks_note = tracks[0], describe_tracks(container, tracks[0])
        decode_exactly(self._stream)
        name = container.format.name
        self._has_clock = has_clock(name)
        self._length_s = _length_s(container)
        self.is_live = not is_whole(container, uri)
        if not self.is_live:
            check_stated_rate(uri.public, container, self._stream)
        self._is_paced = self.is_live and name in _PLAYLISTS
        self._is_remembered = uri.kind == "http" and self._has_clock
        self.keeps_all = self._is_remembered or not self.is_live  # it may be a recording, and come at once
        self._packets: Iterator[Any] = iter(container.demux(self._stream))
        self._damaged = 0
        has_delivered = self._history.last_delivered_s is not None and (self._is_remembered or not self.is_live)
        self._position: Literal["unknown", "delivered", "new"] = "unknown" if has_delivered else "new"
        self._begins_anew = False

    @property
    def reader(self) -> str:
        """What decodes."""
        return self._decoder.reader

    @property
    def decoder_note(self) -> str | None:
        """Why another decoder is used than was asked for, and which of several tracks is read."""
        return "; ".join(filter(None, (self._decoder.note, self._tracks_note))) or None

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures as they come; where they come in pieces, when they were taken.

        Raises:
            StreamLost: the end of a live stream, an error, or no picture for too long.
        """
        # Nothing is asked of the demuxer meanwhile: what waits does so as it came, encoded.
        return paced(self._received()) if self._is_paced else self._received()

    def _received(self) -> Iterator[Picture]:
        first_s, reached_s = None, 0.0
        try:
            for received_s, frame in self._frames():
                media_s = self._media_s(frame)
                # AVI has no times; MPEG-PS has some, and FFmpeg gives them now and then to the picture beside. As
                # ``mcore.video`` reads such files, pictures are evenly spaced.
                rate = self._stream.average_rate or self._stream.guessed_rate
                if rate and (self._container.format.name == "mpeg" or (media_s is None and self.keeps_all)):
                    media_s = (media_s or 0.0) if first_s is None else reached_s + float(1 / rate)
                if media_s is not None:
                    first_s = media_s if first_s is None else first_s
                    reached_s = media_s
                if self._is_new(media_s):
                    self._history.last_delivered_s = reached_s
                    yield Picture(to_rgb(frame), received_s, media_s, self._take_damage())
            if self.is_live or self._length_s is not None:
                raise _StreamEnded(_ENDED)  # a server that was killed looks like the end, too
        except StreamLost as lost:
            has_ended = isinstance(lost, _StreamEnded)
            is_whole_now = (
                self._length_s is not None and reached_s - (first_s or 0.0) >= self._length_s - _MAX_SHORTAGE_S
            )
            # A server that does not say how many bytes it sends may also fall silent, or hang up, at the end.
            is_over = is_whole_now and (str(lost) == _ENDED or self._container.size <= 0)
            # All that was seen came again: a camera that drops twice within what its server keeps has not got so far.
            is_repeated = (
                has_ended
                and self._begins_anew
                and self._position == "delivered"
                and reached_s == self._history.last_delivered_s
            )
            if not is_over and not is_repeated:
                raise
            self.is_live = False

    def _remember(self, packet: Packet[Any]) -> None:
        """Find out whether a new connection sends again what earlier ones sent."""
        if packet.is_keyframe and self._position == "unknown" and self._history.contains(packet):
            self._position, self._begins_anew = "delivered", self._history.is_first(packet)
        elif self._position == "unknown" and self.is_live:
            self._position = "new"
        if packet.is_keyframe:
            self._history.add(packet)

    def _is_new(self, media_s: float | None) -> bool:
        """Return whether no earlier connection delivered a picture."""
        if self._position == "delivered" and media_s is not None and media_s > (self._history.last_delivered_s or 0.0):
            self._position = "new"
        return self._position == "new"

    def _media_s(self, frame: av.VideoFrame) -> float | None:
        base = frame.time_base or self._stream.time_base
        if not self._has_clock or frame.pts is None or base is None:
            return None
        return frame.pts * base.numerator / base.denominator

    def _frames(self) -> Iterator[tuple[float, av.VideoFrame]]:
        damaged_in_a_row = 0
        last_s = time.monotonic()
        while True:
            lost, packet = self._next_packet()
            now_s = time.monotonic()
            if lost is not None:
                with suppress(av.FFmpegError):
                    held_back = self._stream.decode() if isinstance(lost, _StreamEnded) else []
                    yield from ((now_s, frame) for frame in held_back if not frame.is_corrupt)
                raise lost
            if packet.stream_index == self._stream.index:
                if self._is_remembered and packet.size:
                    self._remember(packet)
                try:
                    frames = packet.decode()  # of the empty packet at the end: what the decoder held back
                    damaged_in_a_row = 0
                except av.InvalidDataError:
                    frames = []
                    self._damaged += 1
                    damaged_in_a_row += 1
                for frame in frames:
                    if isinstance(frame, av.VideoFrame) and frame.is_corrupt:
                        self._damaged += 1
                    elif isinstance(frame, av.VideoFrame):
                        self._decoder.check_frame(frame, self._stream.codec_context.name)
                        yield now_s, frame
                        last_s = time.monotonic()  # whoever takes the pictures of a recording may take his time
            if not packet.size and packet.dts is None:
                return
            # A stream that never becomes a picture, and one that only sends sound, would otherwise look alive for ever.
            if damaged_in_a_row >= _MAX_DAMAGED:
                raise StreamLost("all it sends is damaged")
            if time.monotonic() - last_s > self._timeout_s:
                raise StreamLost(f"no picture for {self._timeout_s:g} s")

    def _next_packet(self) -> tuple[StreamLost | None, Any]:
        """Return why there is none, or the next packet; PyAV's last one is empty."""
        try:
            return None, next(self._packets)
        except StopIteration:
            return _StreamEnded(_ENDED), None
        except av.FFmpegError as error:
            if isinstance(error, av.InvalidDataError) and self._container.format.name == "mpjpeg":
                return self._go_on_as_mjpeg()
            kind = StreamLost if isinstance(error, _SILENCE) else _StreamEnded
            return kind(_reason(error, self._timeout_s)), None

    def _go_on_as_mjpeg(self) -> tuple[StreamLost | None, Any]:
        """Look for the pictures themselves: FFmpeg's reader of MJPEG knows one way to part them, cameras have more."""
        self._container.close()
        container, reason, _ = _try_open(self._uri, format_name="mjpeg")
        if container is None:
            return StreamLost(reason), None
        self._container, self._stream = container, container.streams.video[0]
        decode_exactly(self._stream)
        self._packets = iter(container.demux(self._stream))
        return self._next_packet()

    def _take_damage(self) -> str | None:
        damaged, self._damaged = self._damaged, 0
        return f"{damaged} damaged pictures" if damaged else None

    def close(self) -> None:
        """Close the connection."""
        self._container.close()


def open_stream(uri: SourceURI, *, first: bool, history: StreamHistory | None = None) -> StreamConnection:
    """Connect to a camera or server.

    Args:
        uri: of kind rtsp, http or camera.
        first: refused credentials and a missing device end the first attempt; a camera that worked before is retried.
        history: what earlier connections brought.

    Raises:
        StreamLost: it cannot be reached now, or sends no video.
        SourceError: it refuses the credentials, there is no such device, it redirects to another host, or it sends a
            file without times.
    """
    decoder = DecoderChoice(uri.options.decoder)
    # FFmpeg's errors carry the whole address, so they are turned into words here and never chained.
    container, reason, final = _try_open(uri, device=decoder.device)
    for _ in range(_MAX_REDIRECTS):
        if container is not None or final or (asked := redirected(uri)) is None:
            break
        uri = asked
        container, reason, final = _try_open(uri, device=decoder.device)
    if container is not None and (
        is_whole(container, uri) or (uri.kind == "http" and has_clock(container.format.name))
    ):
        container, reason, final = _open_again(container, uri, decoder.device)
    if container is None:
        if final and first:
            raise SourceError(f"{uri.public}: {reason}")
        raise StreamLost(reason)
    return StreamConnection(container, uri, decoder, history)


def has_clock(format_name: str) -> bool:
    """Whether pictures of a format come with times that can be trusted."""
    return format_name not in (*WITHOUT_RATE, "avi")  # AVI's are guesses that run backwards around B-frames


def is_whole(container: InputContainer, uri: SourceURI) -> bool:
    """Whether a server sends a recording, whose end is known, and not what a camera sees."""
    name = container.format.name
    if uri.kind not in ("http", "rtsp") or name == "mpjpeg":
        return False
    return _length_s(container) is not None or (uri.kind == "http" and name not in _PLAYLISTS and container.size > 0)


def _length_s(container: InputContainer) -> float | None:
    """Length that a whole recording states, seconds; None: it states none."""
    if not container.duration or not container.format.name.startswith(_LENGTH_IN_HEADER):
        return None
    return float(container.duration) / av.time_base


def _open_again(
    container: InputContainer, uri: SourceURI, device: Device | None
) -> tuple[InputContainer | None, str, bool]:
    """Open a recording, a list of pieces, or what may be a recording, so that none of its pictures is lost."""
    name, timeout_s = container.format.name, _timeout_s(container, uri)
    has_pictures = any(stream.width for stream in container.streams.video)
    probe = {} if is_whole(container, uri) or name in _PLAYLISTS else _SHORT_PROBE
    container.close()
    if not has_pictures:
        return None, _NO_PICTURES, True
    if name in WITHOUT_RATE:
        reason = f"it is a file or a single picture without times ({name}), no stream"
        return None, f"{reason}; give the address of the camera's video, or download the file", True
    return _try_open(uri, probe, timeout_s=timeout_s, device=device)


def _timeout_s(container: InputContainer, uri: SourceURI) -> float:
    """Longest wait for a picture: a list of pieces is read again until it names a new one."""
    return max(uri.options.timeout_s, _PIECE_TIMEOUT_S if container.format.name in _PLAYLISTS else 0.0)


def _try_open(
    uri: SourceURI,
    probe: Mapping[str, str] = _LOW_DELAY,
    *,
    timeout_s: float | None = None,
    format_name: str | None = None,
    device: Device | None = None,
) -> tuple[InputContainer | None, str, bool]:
    """Open, or say why not and whether trying again is useless."""
    target, device_format, options = _ffmpeg_input(uri, probe)
    timeout = (uri.options.open_timeout_s, uri.options.timeout_s if timeout_s is None else timeout_s)
    name = format_name or device_format
    try:
        container = av.open(
            target,
            format=name,
            options=options,
            timeout=timeout,
            metadata_errors="replace",
            hwaccel=hwaccel_of(device),
        )
        return container, "", False
    except _REFUSED:
        return None, "it refuses the user name or password; correct them in the address", True
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, av.InvalidDataError) and uri.kind == "http" and format_name is None:
            return _try_open(uri, format_name="mjpeg")  # see _go_on_as_mjpeg
        reason, final = _reason(error, uri.options.open_timeout_s), False
        if uri.kind == "camera":
            final = isinstance(error, FileNotFoundError | PermissionError)
            reason += "; see v4l2-ctl --list-devices, and whether you may read it (group video)" if final else ""
        elif uri.kind == "http" and isinstance(error, av.InvalidDataError):
            reason = _NO_PICTURES
        if uri.kind == "http" and asks_proxy(uri):
            reason += " (asked through the proxy in http_proxy; no_proxy=HOST asks the camera itself)"
        return None, reason, final


def _ffmpeg_input(uri: SourceURI, probe: Mapping[str, str]) -> tuple[str, str | None, dict[str, str]]:
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
    options = dict(probe)
    if uri.kind == "http":
        options["max_redirects"] = "0"  # it would go anywhere, and take the password along
        if not asks_proxy(uri):
            options["http_proxy"] = ""
    if uri.kind == "rtsp":
        options["rtsp_transport"] = chosen.transport
        options["allowed_media_types"] = "video"
    return uri.target, None, options


def _reason(error: BaseException, timeout_s: float) -> str:
    """Say what went wrong in FFmpeg's or the system's fixed words, which hold no part of an address."""
    if isinstance(error, _SILENCE):
        return f"no answer for {timeout_s:g} s"
    if isinstance(error, av.FFmpegError) and error.strerror:
        return str(error.strerror)
    return type(error).__name__
