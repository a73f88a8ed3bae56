"""Reader by decord's random access, the second one: used only where it is provably exact.

decord seeks to a keyframe and counts the frames that follow. That is right where decoding from a keyframe gives every
later frame and no earlier one; elsewhere (open groups of pictures, HEVC as x265 writes it, intra refresh, MPEG-TS) it
returns other frames than asked for, without a word. Damage within a file it conceals, where the default reader reports
it. decord2 is the same package for aarch64.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import ClipError
from mcore.common.optional import require
from mcore.video.clip import Choose, Keep, PickedFrames
from mcore.video.packets import PacketScan, check_complete, scan_packets
from mcore.video.picture import to_rgb
from mcore.video.pyav_reader import decode, seconds_from_first

_EXACT_CONTAINERS = ("mov", "matroska")
_TIME_TOLERANCE_S = 1e-3
"""decord keeps times as float32: at an hour they are a quarter of a millisecond apart."""
_COLOUR_TOLERANCE = 16
"""Two builds of swscale round differently by a few levels; another matrix, range or orientation moves far more."""


def pick_frames(path: Path, choose: Choose, keep: Keep, *, needed_until_s: float | None = None) -> PickedFrames:
    """Read the chosen frames with decord.

    Args:
        path: a video file.
        choose: from the times of all frames, those wanted.
        keep: what to keep of each wanted frame.
        needed_until_s: a truncated file is accepted if it is readable up to here, in seconds after its first frame.

    Raises:
        ClipError: as the default reader, or a file in which decord's random access is not exact.
        MissingDependencyError: decord is not installed.
    """
    decord = require("decord", extra="decord", purpose="reader=decord")
    scan = scan_packets(path)
    check_complete(path, scan, needed_until_s)
    if reason := why_not_exact(scan):
        raise _refusal(path, reason)
    assert scan.pts is not None  # why_not_exact has checked
    pts_seconds = seconds_from_first(scan.pts, scan.time_base)
    indices = choose(pts_seconds)
    pictures: dict[int, NDArray[np.uint8]] = {}
    try:
        video = decord.VideoReader(str(path))
        _cross_check(path, video, pts_seconds, indices)
        for index in np.unique(indices).tolist():
            pictures[index] = keep(video[index].asnumpy())
        height, width = video[0].shape[:2]
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise _refusal(path, f"it fails with: {str(error).strip().splitlines()[-1]}") from error
    return PickedFrames(pts_seconds, indices, pictures, width, height, "decord", scan.notes)


def why_not_exact(scan: PacketScan) -> str | None:
    """Say why decord's random access cannot be trusted on a file, or None where it can.

    Args:
        scan: the file's packets.
    """
    if not scan.format_name.startswith(_EXACT_CONTAINERS):
        return f"the container is {scan.format_name}, and only MP4, MOV and MKV are exact"
    if scan.codec_name != "h264":
        return f"the codec is {scan.codec_name}, and only H.264 is proved exact"
    if scan.pts is None or len(set(scan.pts)) < len(scan.pts):
        return "presentation times are missing or repeat"
    if any(packet.is_discard for packet in scan.packets):
        return "an edit list cuts frames"
    keyframes = [packet for packet in scan.packets if packet.is_keyframe]
    if not scan.packets[0].is_keyframe or len(keyframes) > len(scan.closed_starts()):
        return "it has keyframes that frames around them reach across (open groups of pictures, or intra refresh)"
    return None


def _cross_check(path: Path, video: Any, pts_seconds: NDArray[np.float64], indices: NDArray[np.int64]) -> None:
    """Compare decord's idea of the file with ours: count, times, orientation and colours of the first frame."""
    if len(video) != len(pts_seconds):
        raise _refusal(path, f"it counts {len(video)} frames, the file has {len(pts_seconds)}")
    times = np.asarray(video.get_frame_timestamp(indices.tolist()), np.float64)[:, 0]  # (T,)
    times = times - float(video.get_frame_timestamp(0)[0])
    off_s = np.abs(times - pts_seconds[indices]).max()
    if off_s > _TIME_TOLERANCE_S:
        raise _refusal(path, f"its times are off by up to {off_s:.3f} s")
    with closing(decode(path)) as frames:
        ours = to_rgb(next(frames))
    theirs = video[0].asnumpy()
    if ours.shape != theirs.shape or np.abs(ours.astype(np.int16) - theirs).max() > _COLOUR_TOLERANCE:
        raise _refusal(path, "its first frame differs in orientation or colour")


def _refusal(path: Path, reason: str) -> ClipError:
    return ClipError(f"decord does not read {path} exactly: {reason}. Use reader=pyav")
