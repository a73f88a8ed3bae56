"""Video files as streams: every frame, in order, at the times that ``mcore.video`` gives them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import av

from mcore.common.errors import ClipError
from mcore.video.hardware import DecoderChoice, hwaccel_of
from mcore.video.packets import PacketScan, check_complete, scan_packets
from mcore.video.picture import to_rgb
from mcore.video.pyav_reader import decode
from mcore_runtime.sources.frame import Picture
from mcore_runtime.sources.timeline import paced
from mcore_runtime.sources.uri import SourceURI


class FileConnection:
    """A video file.

    Args:
        uri: its address.

    Raises:
        ClipError: missing, empty, or not a video.
    """

    def __init__(self, uri: SourceURI) -> None:
        self._decoder = DecoderChoice(uri.options.decoder)
        self.is_live = uri.is_live
        self.keeps_all = not uri.is_live
        self._path = Path(uri.target)
        self._scan = scan_source(self._path)

    @property
    def reader(self) -> str:
        """What decodes."""
        return self._decoder.reader

    @property
    def decoder_note(self) -> str | None:
        """Why another decoder is used than was asked for, and which of several tracks is read."""
        return "; ".join(filter(None, (self._decoder.note, self._scan.tracks_note))) or None

    def pictures(self) -> Iterator[Picture]:
        """Yield all frames; those before damage or a missing end come before the error.

        Raises:
            ClipError: damaged or truncated.
        """
        pictures = self._decode()
        return paced(pictures) if self.is_live else pictures

    def _decode(self) -> Iterator[Picture]:
        seconds = _clock(self._scan)
        strict = self._scan.packets[0].is_idr
        with closing(decode(self._path, strict=strict, hwaccel=hwaccel_of(self._decoder.device))) as frames:
            for index, frame in enumerate(frames):
                if frame.is_corrupt:
                    raise ClipError(f"{self._path} is damaged: frame {index} is incomplete. Copy the file again")
                self._decoder.check_frame(frame, self._scan.codec_name)
                yield Picture(to_rgb(frame), time.monotonic(), seconds(index, frame))
        check_complete(self._path, self._scan, None)

    def close(self) -> None:
        """Nothing is open between frames."""


def scan_source(path: Path) -> PacketScan:
    """Read a file's packets, and refuse it where no dive could be found in it: gravity finds dives by their time.

    Raises:
        ClipError: as ``scan_packets``, or without times that can be trusted.
    """
    scan = scan_packets(path)
    if scan.rate_is_guessed or scan.stands_still:
        what = "states neither times nor a frame rate"
        if scan.stands_still:
            what = f"has times that stand still ({scan.max_frames_at_one_time} frames at one time)"
        raise ClipError(
            f"{path} {what}, so no dive can be found in it; put it into MP4 with its rate: ffmpeg -r RATE -i IN "
            "-c copy OUT.mp4"
        )
    return scan


def _clock(scan: PacketScan) -> Callable[[int, av.VideoFrame], float]:
    """Seconds after the first frame, computed as ``mcore.video`` does, so that clips cut here and there are equal."""
    if scan.pts is not None and scan.format_name != "avi":
        base, first = scan.time_base, None

        def by_tag(index: int, frame: av.VideoFrame) -> float:
            nonlocal first
            ticks = frame.pts if frame.pts is not None else frame.dts or 0
            first = ticks if first is None else first
            return (ticks - first) * base.numerator / base.denominator

        return by_tag
    rate = scan.frame_rate
    if not rate:
        raise ClipError("the file has neither presentation times nor a frame rate; put it into MP4 with its rate")
    return lambda index, frame: index * rate.denominator / rate.numerator
