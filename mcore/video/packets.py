"""Packets of a video file, read without decoding: presentation times, and whether the file is whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from mcore.common.errors import ClipError
from mcore.video.container import (
    WITHOUT_RATE,
    describe_av_error,
    describe_tracks,
    open_video,
    unreadable,
)
from mcore.video.nal_units import CODECS, CodedPicture, read_picture
from mcore.video.speed import check_speed
from mcore.video.structure import matroska_fault, missing_bytes

_SHORTAGE_S = 0.5
"""A stream may end this much before the duration in the header: muxers round and estimate."""
_DURATION_IN_HEADER = ("mov", "matroska", "avi", "flv", "asf")
"""Containers whose header states a duration; for others FFmpeg estimates one, from what it could read."""

_DURATION_FROM_ZERO = ("matroska", "flv")
"""Containers in which FFmpeg's muxer writes the last time as duration, also where the first is not 0."""

_GAP_PERIODS = 1.6
"""A time between frames this much longer than usual may hide lost frames."""

_MAX_FRAMES_AT_ONE_TIME = 4
"""Frames that share a time: single ones may, where times are coarse."""


@dataclass(frozen=True)
class VideoPacket:
    """One packet of the video stream."""

    pts: int | None
    """Presentation time in ticks of the stream's time base."""
    dts: int | None
    """Decoding time in ticks."""
    is_keyframe: bool
    """The container says that decoding can start here."""
    is_idr: bool
    """An H.264 keyframe that is an IDR picture; not looked for in other codecs."""
    is_discard: bool
    """An edit list cuts this frame: it is decoded but not shown."""
    is_corrupt: bool
    """The demuxer saw it damaged or incomplete."""
    is_reference: bool = True
    """Others of its temporal layer may be predicted from it, as far as is known."""
    temporal_layer: int = 0
    """Of HEVC; others may only be predicted from pictures of their own layer and lower ones."""


@dataclass(frozen=True)
class PacketScan:
    """All packets of a file's video stream, in decoding order."""

    packets: tuple[VideoPacket, ...]
    pts: list[int] | None
    """Presentation times of the frames to be shown, in order; None where some packet has none."""
    time_base: Fraction
    """Seconds a tick."""
    frame_rate: Fraction | None
    """Nominal frames a second, for streams without times."""
    rate_is_guessed: bool
    """Neither container nor codec say times or a rate: FFmpeg counts 25 frames a second."""
    format_name: str
    """FFmpeg's name of the container."""
    codec_name: str
    """FFmpeg's name of the codec."""
    expected_s: float | None
    """Duration that the header states, where it does."""
    read_until_s: float
    """End of the last packet of any stream, seconds after the first video frame."""
    tracks_note: str | None
    """Which of several picture tracks this is; None where there is one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the clip should know about the file."""
        guess = None
        if self.rate_is_guessed:
            guess = f"the file states no frame rate: {float(self.frame_rate or 0):g} frames a second are a guess"
        still = None
        if self.stands_still:
            rate = float(self.frame_rate or 0)
            count = self.max_frames_at_one_time
            still = f"the file's times stand still for {count} frames: {rate:g} frames a second are a guess"
        return tuple(note for note in (guess, still, self.tracks_note) if note is not None)

    @property
    def max_frames_at_one_time(self) -> int:
        """Frames that are shown at one time, at most; 1 where times tell frames apart."""
        return max(Counter(self.pts).values()) if self.pts else 0

    @property
    def stands_still(self) -> bool:
        """Whether the clock of whatever wrote the file stood still, so that its times are none."""
        return self.max_frames_at_one_time > _MAX_FRAMES_AT_ONE_TIME and not self.is_joined

    @property
    def is_joined(self) -> bool:
        """Whether times begin anew within the file, as after joining recordings: order is not that of times then."""
        dts = [packet.dts for packet in self.packets if packet.dts is not None]
        return any(later < earlier for earlier, later in pairwise(dts))

    def seconds(self, ticks: int) -> float:
        """Turn a presentation time into seconds after the first frame."""
        first = self.pts[0] if self.pts else 0
        return float((ticks - first) * self.time_base)

    def closed_starts(self) -> list[int]:
        """List the times at which decoding can start and gives every later frame, and only those.

        Returns:
            Presentation times in ticks of IDR pictures that are shown after all packets before them and before all
            after them; empty where times are missing.
        """
        pts = [packet.pts for packet in self.packets]
        times = [ticks for ticks in pts if ticks is not None]
        if len(times) < len(pts):
            return []
        # A start is closed where all packets before it are shown earlier, and none after it is.
        latest_before = [min(times) - 1, *accumulate(times, max)]
        earliest_from = list(accumulate(reversed(times), min))[::-1]
        return [
            times[k]
            for k, packet in enumerate(self.packets)
            if packet.is_idr and latest_before[k] < times[k] == earliest_from[k]
        ]

    def unneeded(self) -> frozenset[int]:
        """Find the frames without which all others decode to the same pictures: their times in ticks."""
        start = self.packets[0]
        if start.pts is None or not (start.is_idr if self.codec_name == "h264" else start.is_keyframe):
            return frozenset()  # decoders give no picture until one can be complete: which ones, only decoding tells
        top = max(packet.temporal_layer for packet in self.packets)
        times = Counter(packet.pts for packet in self.packets)
        return frozenset(
            packet.pts
            for packet in self.packets
            if packet.pts is not None
            and packet.pts > start.pts  # those before an open start cannot be decoded, which must show
            and times[packet.pts] == 1
            and not (packet.is_reference or packet.is_keyframe or packet.is_discard)
            and packet.temporal_layer == top
        )


def scan_packets(path: Path) -> PacketScan:
    """Read all packets of a file, without decoding.

    Raises:
        ClipError: missing, empty, not a video, unreadable, or not played at the speed of its recording.
    """
    with open_video(path, quickly=True) as (container, stream):
        check_speed(path, container, stream)
        packets: list[VideoPacket] = []
        end_s = 0.0
        codec = stream.codec_context.name
        extradata = stream.codec_context.extradata or b""
        try:
            for packet in container.demux():
                if packet.pts is not None and packet.time_base is not None:
                    end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index == stream.index and packet.size:
                    # Packets of other codecs are not copied for nothing: of ProRes they are the whole file.
                    picture = read_picture(codec, bytes(packet), extradata) if codec in CODECS else CodedPicture()
                    packets.append(
                        VideoPacket(
                            pts=packet.pts,
                            dts=packet.dts,
                            is_keyframe=packet.is_keyframe,
                            is_idr=packet.is_keyframe and picture.is_idr,
                            is_discard=packet.is_discard,
                            is_corrupt=packet.is_corrupt,
                            is_reference=picture.is_reference,
                            temporal_layer=picture.temporal_layer,
                        )
                    )
        except av.FFmpegError as error:
            raise unreadable(
                path,
                f"{path} is damaged: it cannot be read past packet {len(packets)} of its video "
                f"({describe_av_error(error)}). Copy or download it again",
            ) from error
        if not packets:
            raise unreadable(path, f"{path} has a video stream without a single frame; record or convert it again")
        return _summarise(container, stream, packets, end_s)


def _summarise(container: InputContainer, stream: VideoStream, packets: list[VideoPacket], end_s: float) -> PacketScan:
    time_base = stream.time_base or Fraction(1, 90_000)
    shown = [packet.pts for packet in packets if not packet.is_discard]
    times = [pts for pts in shown if pts is not None]
    first_s = float(min(times) * time_base) if times else 0.0
    expected_s: float | None = None
    if container.duration is not None and container.format.name.startswith(_DURATION_IN_HEADER):
        counts_from_zero = container.format.name.startswith(_DURATION_FROM_ZERO)
        start_s = 0.0 if counts_from_zero else (container.start_time or 0) / av.time_base
        expected_s = start_s + container.duration / av.time_base - first_s
    has_clock = container.format.name not in WITHOUT_RATE
    codec_rate = stream.codec_context.framerate  # the demuxer's own is 25 there, whatever the codec says
    return PacketScan(
        packets=tuple(packets),
        pts=sorted(times) if times and len(times) == len(shown) else None,
        time_base=time_base,
        frame_rate=(has_clock and stream.average_rate) or codec_rate or stream.guessed_rate,
        rate_is_guessed=not has_clock and not codec_rate,
        format_name=container.format.name,
        codec_name=stream.codec_context.name,
        expected_s=expected_s,
        read_until_s=end_s - first_s,
        tracks_note=describe_tracks(container, stream),
    )


def check_complete(path: Path, scan: PacketScan, needed_until_s: float | None) -> None:
    """Refuse a truncated or damaged file, unless all frames before a given time are there.

    Args:
        path: the file.
        scan: its packets.
        needed_until_s: frames from here on, in seconds after the first, are not needed; None needs all.

    Raises:
        ClipError: says how many seconds of how many can be read.
    """
    what = missing_bytes(path)
    if what is None and scan.expected_s is not None and scan.expected_s - scan.read_until_s > _SHORTAGE_S:
        what = "its packets end early"
    if what is not None:
        readable_s = _readable_s(scan)
        if needed_until_s is None or needed_until_s > readable_s:
            raise ClipError(_truncated_message(path, scan, what, readable_s))
    at_s = _damage_s(path, scan) if what is None else None
    if at_s is not None and (needed_until_s is None or at_s < needed_until_s):
        raise ClipError(
            f"{path} is damaged: data is missing at {at_s:.2f} s. Copy or download it again, or choose an end before "
            "the damage"
        )


def _damage_s(path: Path, scan: PacketScan) -> float | None:
    """Find the first damage that shows in the container: seconds after the first frame."""
    for k, packet in enumerate(scan.packets):
        if packet.is_corrupt and packet.pts is not None and not _ends_recording(scan.packets, k):
            return scan.seconds(packet.pts)
    if not scan.format_name.startswith("matroska") or scan.pts is None or len(scan.pts) < 3:
        return None
    end = scan.pts[-1] if scan.expected_s is None else scan.pts[0] + int(scan.expected_s / scan.time_base)
    gaps = np.diff([*scan.pts, end])  # the last one is how long the last frame is shown
    wide = np.flatnonzero(gaps > _GAP_PERIODS * np.median(gaps))
    # A gap may also be a variable frame rate, or longer sound; it only makes the walk through the file worth its time.
    if len(wide) and matroska_fault(path) is not None:
        return scan.seconds(scan.pts[int(wide[0])])
    return None


def _ends_recording(packets: tuple[VideoPacket, ...], k: int) -> bool:
    """Whether another whole recording was joined after a packet: its times and packet counters begin anew.

    FFmpeg notices the counter when it has the last packet but one in hand, and calls that one corrupt.
    """
    after = packets[k : k + 3]
    return any(
        later.is_keyframe and later.dts is not None and earlier.dts is not None and later.dts < earlier.dts
        for earlier, later in pairwise(after)
    )


def _readable_s(scan: PacketScan) -> float:
    """Up to where every frame is there: later packets are decoded, and so shown, after the last one's dts."""
    for packet in reversed(scan.packets):
        ticks = packet.dts if packet.dts is not None else packet.pts if packet.is_keyframe else None
        if ticks is not None:
            return max(0.0, scan.seconds(ticks))
    return 0.0


def _truncated_message(path: Path, scan: PacketScan, what: str, readable_s: float) -> str:
    total = f" of {scan.expected_s:.2f} s" if scan.expected_s and scan.expected_s > readable_s else ""
    return (
        f"{path} is truncated: {what}, {readable_s:.2f} s{total} can be read. Copy or download it again, or choose "
        "an end within the readable part"
    )
