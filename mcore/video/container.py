"""Opening of video files with PyAV, and its errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from mcore.common.errors import ClipError
from mcore.video.structure import missing_bytes

_NOT_VIDEO_FORMATS = ("tty", "image2", "jpeg_pipe", "png_pipe", "bmp_pipe", "webp_pipe", "tiff_pipe", "svg_pipe")
"""Formats that FFmpeg would render: text files (as a terminal's screen) and single pictures."""


def check_file(path: Path) -> None:
    """Reject what cannot be a video file before FFmpeg words it less clearly.

    Raises:
        ClipError: missing, a folder, or empty.
    """
    if not path.exists():
        raise ClipError(f"there is no file {path}; check the path")
    if path.is_dir():
        raise ClipError(f"{path} is a folder; the video readers need a file (folders of images: reader=images)")
    if path.stat().st_size == 0:
        raise ClipError(f"{path} is empty (0 bytes); copy or download it again")


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file and choose its video stream.

    Raises:
        ClipError: not a video file, or none that can be opened.
    """
    check_file(path)
    try:
        # "file:" keeps FFmpeg from reading a colon in a file name as a protocol.
        container = av.open(f"file:{path}", metadata_errors="replace")  # titles need not be UTF-8
    except (av.FFmpegError, OSError) as error:
        raise unreadable(
            path,
            f"{path} is not a video file that FFmpeg reads ({describe_av_error(error)}); give a video such as MP4, "
            "MKV, MOV or TS, or a folder of images",
        ) from error
    with container:
        yield container, _choose_stream(path, container)


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


def _choose_stream(path: Path, container: InputContainer) -> VideoStream:
    """Take the first video stream that is a video: cover pictures of audio files are none."""
    name = container.format.name
    if name in _NOT_VIDEO_FORMATS:
        kind = "a text file" if name == "tty" else "a single picture"
        raise ClipError(f"{path} is {kind}, not a video; give a video file, or a folder of images")
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:
            if stream.codec_context is None:
                raise unreadable(path, f"{path} holds video of a codec that FFmpeg does not know; convert it to H.264")
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
    raise unreadable(path, f"{path} has no video stream (streams: {kinds}); give a file with pictures")
