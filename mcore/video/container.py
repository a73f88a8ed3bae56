"""Opening of video files with PyAV, and its errors in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from mcore.common.errors import ClipError
from mcore.video.picture import size_fault
from mcore.video.structure import missing_bytes

_FORMATS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "mxf", "gxf", "ogg", "nut", "rm", "wtv",
    "dv", "dhav", "ivf", "obu", "h263", "h264", "hevc", "vvc", "m4v", "vc1", "mjpeg", "mpjpeg", "yuv4mpegpipe", "gif",
    "apng",
)  # fmt: skip
"""Containers of recordings, by FFmpeg's names. What else FFmpeg opens are playlists, scripts and session descriptions,
which read other files and addresses, and single pictures and text, which it would render."""

WITHOUT_RATE = ("h263", "h264", "hevc", "vvc", "m4v", "vc1", "obu", "mjpeg", "mpjpeg", "jpeg_pipe")
"""Formats without times: FFmpeg counts 25 frames a second, whatever was recorded, unless the codec says a rate."""

_OPTIONS = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}
_MANY_TIMES = 10
"""A track of so many times fewer frames than another one holds thumbnails: one, or one every few seconds."""
_COUNTED_PACKETS = 1000
"""Of all tracks, from the beginning: 15 seconds of video with sound."""
_TIMEOUT_S = 60.0
"""For one read: a share of a network that went away stands still for ever."""
EXACT = {"idct": "simple", "flags": "+bitexact"}
"""Options of FFmpeg's decoders under which all processors compute the same."""
_MAX_STREAMS = 64
"""Of a file, of which none is decoded at opening."""
_PREVIEW_TIMES = 4
"""A preview has at most one pixel where the film has so many."""


def check_file(path: Path) -> None:
    """Reject what cannot be a video file before FFmpeg words it less clearly.

    Raises:
        ClipError: missing, a folder, a device, or empty.
    """
    if not path.exists():
        raise ClipError(f"there is no file {path}; check the path")
    if path.is_dir():
        raise ClipError(f"{path} is a folder; the video readers need a file (folders of images: reader=images)")
    if not path.is_file():
        raise ClipError(f"{path} is a device or a pipe, not a file; record it into a file first")
    if path.stat().st_size == 0:
        raise ClipError(f"{path} is empty (0 bytes); copy or download it again")


def decode_exactly(stream: VideoStream) -> None:
    """Make a stream's decoder give the same pictures on every processor; before its first packet is decoded.

    Left to themselves, FFmpeg's decoders of MJPEG, MPEG-2, MPEG-4 part 2, H.263 and DNxHD round otherwise on ARM than
    on x86. Newer codecs define every bit.
    """
    if stream.codec_context is not None:  # a codec that FFmpeg does not know
        stream.codec_context.options = stream.codec_context.options | EXACT


@contextmanager
def open_video(
    path: Path, hwaccel: HWAccel | None = None, *, quickly: bool = False
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file and choose its video stream.

    Args:
        path: the file.
        hwaccel: decodes, where it can; None: software.
        quickly: decode nothing to learn more of it, if it is an MP4 file: its header has all but the format of pixels,
            and in H.264 without a hint in its own header the delay of the decoder. The first picture takes as long as
            ten others.

    Raises:
        ClipError: not a video file, or none that can be opened.
    """
    check_file(path)
    try:
        container = _open(path, hwaccel, quickly=quickly and _is_mp4(path))
    except (av.FFmpegError, OSError) as error:
        raise unreadable(
            path,
            f"{path} is not a video file that is read here ({describe_av_error(error)}): perhaps a single picture, a "
            "text, or a playlist that names other files; give a recording such as MP4, MKV, MOV or TS, or a folder "
            "of images",
        ) from error
    with container:
        yield container, _choose_stream(path, container)


def _open(path: Path, hwaccel: HWAccel | None, *, quickly: bool = False) -> InputContainer:
    return av.open(
        f"file:{path}",  # keeps FFmpeg from reading a colon in a file name as a protocol
        options=dict(_OPTIONS),
        # For the decoder that FFmpeg opens to look at a stream, not for ours.
        stream_options=[{"skip_frame": "all"}] * _MAX_STREAMS if quickly else None,  # type: ignore[list-item]  # a dict
        timeout=_TIMEOUT_S,
        metadata_errors="replace",  # titles need not be UTF-8
        hwaccel=hwaccel,
    )


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def describe_av_error(error: Exception) -> str:
    """Say what FFmpeg reported, without error number and file name."""
    return str(getattr(error, "strerror", None) or error)


def unreadable(path: Path, otherwise: str) -> ClipError:
    """Explain why nothing can be read: a truncated file says so before any of its consequences.

    Args:
        path: the file.
        otherwise: the message where the file is not truncated.
    """
    missing = missing_bytes(path)
    if missing is None:
        return ClipError(otherwise)
    return ClipError(
        f"{path} is truncated and cannot be read: {missing}. If it was copied, copy it again; if the recording was "
        "cut off, its index was never written, and a repair tool such as untrunc may help"
    )


def picture_tracks(container: InputContainer, counts: Mapping[int, int] | None = None) -> list[VideoStream]:
    """List the tracks that may be the film, the one that a player shows first.

    Cover pictures are none. Tracks of few frames (thumbnails) come last, and before them those of small pictures
    (previews), even if marked as default: writers mark what comes first. Then the mark counts, and then the size.

    Args:
        container: the open file or stream.
        counts: frames of each track by its index; None: as the header says, where it does.
    """
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    tracks = [stream for stream in container.streams.video if not stream.disposition & pictures]
    frames = counts or {stream.index: stream.frames for stream in tracks}
    most = max((frames.get(stream.index, 0) for stream in tracks), default=0)

    def is_few(stream: VideoStream) -> bool:
        count = frames.get(stream.index, 0)
        # Headers of other containers than MP4 say 0: unknown, unless they were counted.
        return (count > 0 or counts is not None) and count < max(2, most / _MANY_TIMES)

    def size(stream: VideoStream) -> int:
        return 0 if stream.codec_context is None else stream.codec_context.width * stream.codec_context.height

    # A large thumbnail makes no preview of the film beside it.
    largest = max((size(stream) for stream in tracks if not is_few(stream)), default=0)

    def rank(stream: VideoStream) -> tuple[bool, bool, bool, int]:
        is_small = size(stream) <= largest / _PREVIEW_TIMES
        return is_few(stream), is_small, not stream.disposition & Disposition.default, -size(stream)

    return sorted(tracks, key=rank)


def _count_frames(container: InputContainer) -> dict[int, int]:
    """Count the pictures of each track at the beginning of a file."""
    counts: Counter[int] = Counter()
    for packet in islice(container.demux(), _COUNTED_PACKETS):
        counts[packet.stream_index] += packet.size > 0
    return counts


def _choose_stream(path: Path, container: InputContainer) -> VideoStream:
    tracks = picture_tracks(container)
    if len(tracks) > 1 and not all(stream.frames for stream in tracks):
        with suppress(av.FFmpegError), _open(path, None) as counted:
            tracks = picture_tracks(container, _count_frames(counted))
    if not tracks:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
        raise unreadable(path, f"{path} has no video stream (streams: {kinds}); give a file with pictures")
    stream = tracks[0]
    if stream.codec_context is None:
        raise unreadable(path, f"{path} holds video of a codec that FFmpeg does not know; convert it to H.264")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width and height and (fault := size_fault(width, height)):
        raise ClipError(f"{path} has {fault}. Scale them: ffmpeg -i IN -vf scale=-2:1080 OUT.mp4")
    return stream


def describe_tracks(container: InputContainer, taken: VideoStream) -> str | None:
    """Say which of several picture tracks is read; None where there is one."""
    tracks = picture_tracks(container)
    if len(tracks) < 2:
        return None

    def name(stream: VideoStream) -> str:
        context = stream.codec_context
        what = "unknown codec" if context is None else f"{context.name}, {context.width} x {context.height}"
        return f"track {stream.index} ({what})"

    others = ", ".join(name(stream) for stream in tracks if stream.index != taken.index)
    return f"of {len(tracks)} picture tracks {name(taken)} was read, not {others}"
