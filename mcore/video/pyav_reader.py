"""The default reader: PyAV, decoding from first to last frame, frames identified by their presentation time.

Two passes keep memory bounded on files of any length. The first reads packets without decoding and lists the
presentation times; the second decodes and keeps the chosen frames only. Decoded frames that differ from the
list decide: the times are then taken from a full decoding pass.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mcore.errors import ClipError
from mcore.video.clip import Choose, Keep, PickedFrames
from mcore.video.container import describe_av_error, open_video
from mcore.video.packets import PacketScan, check_complete, scan_packets
from mcore.video.picture import to_rgb


class _TimesDifferError(Exception):
    """Decoding gave other frames than the packets promised."""


def pick_frames(path: Path, choose: Choose, keep: Keep, *, needed_until_s: float | None = None) -> PickedFrames:
    """Decode a video file and keep the chosen frames.

    Args:
        path: any file FFmpeg reads.
        choose: from the times of all frames, those wanted.
        keep: what to keep of each wanted frame.
        needed_until_s: a truncated file is accepted if it is readable up to here, in seconds after its first frame.

    Raises:
        ClipError: missing, empty, truncated, damaged, or not a video.
    """
    scan = scan_packets(path)
    check_complete(path, scan, needed_until_s)
    if scan.pts is not None:
        try:
            return _pick(path, scan.pts, scan.time_base, choose, keep)
        except _TimesDifferError:
            pass
    pts, time_base = _decoded_pts(path, scan)
    try:
        return _pick(path, pts, time_base, choose, keep)
    except _TimesDifferError:
        raise ClipError(
            f"{path} decodes to different frames each time it is read; convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"
        ) from None


def _pick(path: Path, pts: list[int], time_base: Fraction, choose: Choose, keep: Keep) -> PickedFrames:
    """Decode sequentially, checking every frame against the expected times."""
    pts_seconds = seconds_from_first(pts, time_base)
    indices = choose(pts_seconds)
    wanted = set(indices.tolist())
    last_wanted = max(wanted)
    pictures: dict[int, NDArray[np.uint8]] = {}
    width = height = 0
    with closing(decode(path)) as frames:
        for index, frame in enumerate(frames):
            if index >= len(pts) or (frame.pts is not None and frame.pts != pts[index]):
                raise _TimesDifferError
            if index in wanted:
                if frame.is_corrupt:
                    raise ClipError(
                        f"{path} is damaged: frame {index} at {pts_seconds[index]:.2f} s is incomplete. Copy or "
                        "download the file again"
                    )
                rgb = to_rgb(frame)
                height, width = rgb.shape[:2]
                pictures[index] = keep(rgb)
            if index == last_wanted and last_wanted < len(pts) - 1:
                break  # of a window the rest need not be decoded
    if len(pictures) < len(wanted):
        raise _TimesDifferError
    return PickedFrames(pts_seconds, indices, pictures, width, height, "pyav")


def seconds_from_first(pts: list[int], time_base: Fraction) -> NDArray[np.float64]:
    """Presentation times in seconds after the first frame."""
    ticks = np.asarray(pts, np.int64)
    seconds: NDArray[np.float64] = (ticks - ticks[0]) * time_base.numerator / time_base.denominator
    return seconds


def decode(path: Path, *, threads: bool = True) -> Generator[av.VideoFrame, None, None]:
    """Decode all frames of a file in presentation order.

    Args:
        path: the file.
        threads: decode several frames at once; the frames are the same, only errors come out of place.

    Raises:
        ClipError: a damaged packet; says where.
    """
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO" if threads else "NONE"
        count = 0
        try:
            for frame in container.decode(stream):
                count += 1
                yield frame
        except av.FFmpegError as error:
            where = f"after frame {_frames_before_error(path) if threads else count}"
            raise ClipError(
                f"{path} is damaged: it cannot be decoded {where} ({describe_av_error(error)}). Copy or download it "
                "again"
            ) from error


def _frames_before_error(path: Path) -> int:
    """Count the frames that decode before the damage; without threads errors come where they belong."""
    count = 0
    try:
        for _ in decode(path, threads=False):
            count += 1
    except ClipError:
        pass
    return count


def _decoded_pts(path: Path, scan: PacketScan) -> tuple[list[int], Fraction]:
    """List presentation times by decoding everything; without any, frames are spaced by the nominal rate.

    Raises:
        ClipError: no frames, no rate, or times that run backwards.
    """
    with closing(decode(path)) as frames:
        times = [frame.pts for frame in frames]
    if not times:
        raise ClipError(f"{path} has a video stream, but not a single frame can be decoded; convert it again")
    pts = [ticks for ticks in times if ticks is not None]
    # AVI has no presentation times: FFmpeg's guesses run backwards around B-frames.
    if len(pts) < len(times) or scan.format_name == "avi":
        if not scan.frame_rate:
            raise ClipError(f"{path} has neither presentation times nor a frame rate; put it into MP4 with its rate")
        return list(range(len(times))), 1 / scan.frame_rate
    if backwards := np.flatnonzero(np.diff(pts) < 0).tolist():
        raise ClipError(
            f"{path} has presentation times that run backwards after frame {backwards[0]}, as after joining recordings; "
            "write them anew: ffmpeg -fflags +genpts -i IN -c:v libx264 OUT.mp4"
        )
    return pts, scan.time_base
