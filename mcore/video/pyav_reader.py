"""Reader by PyAV, the default: decoding from first to last frame, frames identified by their presentation time.

Two passes keep memory bounded on files of any length. The first reads packets without decoding and lists the
presentation times; the second decodes and keeps the chosen frames only. Frames that are neither chosen nor needed to
decode others are left out. Decoded frames that differ from the list decide: all frames are decoded then, and at last
the times are taken from a full decoding pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.codec.hwaccel import HWAccel
from numpy.typing import NDArray

from mcore.common.errors import ClipError
from mcore.video.clip import Choose, Keep, PickedFrames
from mcore.video.container import decode_exactly, describe_av_error, open_video
from mcore.video.packets import PacketScan, check_complete, scan_packets
from mcore.video.picture import MAX_PIXELS, as_shown, size_fault
from mcore.video.pixel_formats import planes_of

_MAX_NAMED = 4
_SEEK_BY_INDEX = ("mov", "matroska")
"""Containers in which FFmpeg finds a frame by an index, not by trial."""


@dataclass(frozen=True)
class _Timeline:
    """The frames that decoding must give, in order."""

    pts_seconds: NDArray[np.float64]
    """(N,) presentation times, relative to the first."""
    pts: Sequence[int | None]
    """Their tags in ticks, None where the container has none."""
    starts: Sequence[int] = ()
    """Tags of frames where decoding may start as well as at the first."""
    unneeded: frozenset[int] = frozenset()
    """Tags of frames that no other frame needs to be decoded."""
    quickly: bool = False
    """Open the file without looking into its pictures."""
    notes: tuple[str, ...] = ()
    """What a reader of the clip should know about the times."""


def pick_frames(
    path: Path, choose: Choose, keep: Keep, *, needed_until_s: float | None = None, threads: bool = True
) -> PickedFrames:
    """Decode a video file and keep the chosen frames.

    Args:
        path: any file FFmpeg reads.
        choose: from the times of all frames, those wanted.
        keep: what to keep of each wanted frame.
        needed_until_s: a truncated file is accepted if it is readable up to here, in seconds after its first frame.
        threads: decode several frames at once.

    Raises:
        ClipError: missing, empty, truncated, damaged, or not a video.
    """
    scan = scan_packets(path)
    check_complete(path, scan, needed_until_s)
    strict = scan.packets[0].is_idr
    for timeline in _timelines(path, scan):
        picked = _pick(path, timeline, choose, keep, strict=strict, threads=threads)
        if picked is not None:
            return replace(picked, notes=(*scan.notes, *timeline.notes))
    raise ClipError(
        f"{path} decodes to different frames each time it is read; convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"
    )


def _timelines(path: Path, scan: PacketScan) -> Iterator[_Timeline]:
    """List what decoding should give: the cheapest first, the surest last."""
    if scan.pts is not None and not scan.is_joined and not scan.stands_still:
        timeline = _Timeline(seconds_from_first(scan.pts, scan.time_base), scan.pts)
        starts = scan.closed_starts() if scan.format_name.startswith(_SEEK_BY_INDEX) else ()
        yield replace(timeline, starts=starts, unneeded=scan.unneeded(), quickly=True)
        yield timeline
    yield _decoded_timeline(path, scan)


def _pick(
    path: Path, timeline: _Timeline, choose: Choose, keep: Keep, *, strict: bool, threads: bool
) -> PickedFrames | None:
    """Decode sequentially and compare every frame with the timeline; None where they differ.

    A window far into a long file is decoded from the last start before it; the comparison covers that too.
    """
    count = len(timeline.pts)
    indices = choose(timeline.pts_seconds)
    wanted = set(indices.tolist())
    last_wanted = max(wanted)
    pictures: dict[int, NDArray[np.uint8]] = {}
    width = height = 0
    first = _start_index(timeline, min(wanted))
    left_out = timeline.unneeded - {timeline.pts[index] for index in wanted}
    expected = (index for index in range(first, count) if timeline.pts[index] not in left_out)
    start_pts = timeline.pts[first] if first else None
    decoding = decode(
        path, start_pts=start_pts, strict=strict, threads=threads, without=left_out, quickly=timeline.quickly
    )
    with closing(decoding) as frames:
        for frame in frames:
            index = next(expected, count)
            if index >= count or frame.pts != timeline.pts[index]:
                return None
            if index in wanted:
                if frame.is_corrupt:
                    raise ClipError(
                        f"{path} is damaged: frame {index} at {timeline.pts_seconds[index]:.2f} s is incomplete. Copy "
                        "or download the file again"
                    )
                picture = as_shown(frame)
                height, width = picture.shape[:2]
                if fault := size_fault(width, height):  # it may be another one than the header's
                    raise ClipError(f"{path} has {fault}, from frame {index} on")
                pictures[index] = keep(picture)
            if index == last_wanted and last_wanted < count - 1:
                break  # the frames after a window need not be decoded
    if len(pictures) < len(wanted):
        return None
    return PickedFrames(timeline.pts_seconds, indices, pictures, width, height, "pyav")


def _start_index(timeline: _Timeline, first_wanted: int) -> int:
    """Find the frame to start at: the last possible one at or before the first wanted frame, or 0."""
    if not timeline.starts:
        return 0
    pts = np.asarray(timeline.pts, np.int64)
    before = [ticks for ticks in timeline.starts if ticks <= pts[first_wanted]]
    return int(np.searchsorted(pts, before[-1])) if before else 0


def seconds_from_first(pts: Sequence[int], time_base: Fraction) -> NDArray[np.float64]:
    """Presentation times in seconds after the first frame."""
    ticks = np.asarray(pts, np.int64)
    seconds: NDArray[np.float64] = (ticks - ticks[0]) * time_base.numerator / time_base.denominator
    return seconds


def decode(
    path: Path,
    *,
    start_pts: int | None = None,
    strict: bool = False,
    threads: bool = True,
    hwaccel: HWAccel | None = None,
    without: Collection[int | None] = (),
    quickly: bool = False,
) -> Generator[av.VideoFrame, None, None]:
    """Decode all frames of a file in presentation order.

    Args:
        path: the file.
        start_pts: seek to the keyframe here (ticks of the stream) first; the caller checks where the frames begin.
        strict: stop at damage that H.264 decoders otherwise conceal. A recording that begins between keyframes cannot
            be read so: its first packets refer to what is not there.
        threads: decode several frames at once; the frames are the same, only errors come out of place.
        hwaccel: decodes, where it can; None: software.
        without: times (ticks of the stream) of packets to leave out.
        quickly: see ``open_video``; frames may come in another order, so the caller checks their times.

    Raises:
        ClipError: a damaged packet; says where.
    """
    with open_video(path, hwaccel, quickly=quickly) as (container, stream):
        stream.thread_type = "AUTO" if threads else "NONE"
        options = {"max_pixels": str(MAX_PIXELS)}  # a picture may be larger than the header says
        stream.codec_context.options = {**options, "err_detect": "explode"} if strict else options
        decode_exactly(stream)
        count, last_pts = 0, None
        try:
            if start_pts is not None:
                container.seek(start_pts, stream=stream)
            for packet in container.demux(stream):
                if packet.size and packet.pts in without:
                    continue
                for frame in packet.decode():
                    count += 1
                    last_pts = frame.pts if frame.pts is not None else last_pts
                    yield frame
        except av.FFmpegError as error:
            if threads:  # they report errors early: without them, all frames before the damage come out first
                again = decode(
                    path,
                    start_pts=start_pts,
                    strict=strict,
                    threads=False,
                    hwaccel=hwaccel,
                    without=without,
                    quickly=quickly,
                )
                with closing(again) as frames:
                    yield from islice(frames, count, None)
                return
            last_s = 0.0
            if last_pts is not None and stream.time_base is not None:
                last_s = float((last_pts - (stream.start_time or 0)) * stream.time_base)
            raise ClipError(
                f"{path} is damaged: it cannot be decoded past {last_s:.2f} s ({describe_av_error(error)}). Copy or "
                "download it again; if it plays without faults elsewhere, convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"
            ) from error


def frame_digests(path: Path) -> NDArray[np.uint64]:
    """Digest each decoded frame of a file before its conversion, (N,): decoders that differ are told from the rest.

    Raises:
        ClipError: a damaged file, or frames that are not planes of YUV.
    """
    digests = []
    with closing(decode(path)) as frames:
        for frame in frames:
            planes = planes_of(frame)
            if planes is None or planes.u is None or planes.v is None:
                raise ClipError(f"{path} has frames of the format {frame.format.name}; expected YUV")
            content = b"".join(plane.tobytes() for plane in (planes.y, planes.u, planes.v))
            digests.append(int.from_bytes(hashlib.sha256(content).digest()[:8], "little"))
    return np.array(digests, np.uint64)


def _decoded_timeline(path: Path, scan: PacketScan) -> _Timeline:
    """List the frames by decoding everything; without times they are spaced by the nominal rate.

    Where times run backwards they go on instead, as ``FileTimeline`` of the runtime does it.

    Raises:
        ClipError: no frames, or no rate.
    """
    with closing(decode(path)) as frames:
        tags = [frame.pts for frame in frames]
    if not tags:
        raise ClipError(f"{path} has a video stream, but not a single frame can be decoded; convert it again")
    pts = [ticks for ticks in tags if ticks is not None]
    # AVI has no presentation times: FFmpeg's guesses run backwards around B-frames.
    if len(pts) < len(tags) or scan.format_name == "avi" or scan.stands_still:
        if not scan.frame_rate:
            raise ClipError(f"{path} has neither presentation times nor a frame rate; put it into MP4 with its rate")
        return _Timeline(seconds_from_first(range(len(tags)), 1 / scan.frame_rate), tags)
    notes: tuple[str, ...] = ()
    if backwards := (np.flatnonzero(np.diff(pts) < 0) + 1).tolist():
        places = ", ".join(map(str, backwards[:_MAX_NAMED])) + (", ..." if len(backwards) > _MAX_NAMED else "")
        notes = (f"times run backwards at frame {places}, as after joining recordings; they go on instead",)
    return _Timeline(seconds_from_first(going_on(pts), scan.time_base), tags, notes=notes)


def going_on(pts: Sequence[int]) -> list[int]:
    """Shift times that run backwards, so that they go on one frame period after the last."""
    mended: list[int] = []
    shift, period = 0, 0
    for ticks in pts:
        if mended and ticks + shift < mended[-1]:
            shift = mended[-1] + period - ticks
        elif mended:
            period = ticks + shift - mended[-1]
        mended.append(ticks + shift)
    return mended
