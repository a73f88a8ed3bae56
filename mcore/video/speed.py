"""Slow motion and time lapse that a file itself states: its times are not those of the dive.

Not read is ``com.apple.quicktime.full-frame-rate-playback-intent``: it asks players to show a recording slowly, whose
times are the true ones (AVFoundation, AVMetadataIdentifierQuickTimeMetadataFullFrameRatePlaybackIntent).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from mcore.common.errors import ClipError
from mcore.common.files import as_spelled
from mcore.video.structure import edit_rates, embedded_xml

_ANDROID_RATE = "com.android.capture.fps"
"""Where Android's cameras write how many frames a second they took; slow motion plays fewer. In capital letters where
the file was put into Matroska."""
_SONY_FRAME = re.compile(rb"<VideoFrame\b[^>]*>")
_SONY_RATES = re.compile(rb'\b(capture|format)Fps="(\d+(?:\.\d+)?)[pi]"')
"""Sony's NonRealTimeMeta, as ExifTool shows it: frames taken and written a second, such as 119.88p and 23.98p."""
_SONY_ENDINGS = ("M01.XML", "M01.xml", ".XML", ".xml")
"""Of the same XML in a file beside the video: C0001M01.XML for C0001.MP4."""
_MAX_XML_BYTES = 1 << 20
_MAX_SLOWDOWN = 1.5
"""Between frames taken and played in a second: in the dark cameras take somewhat fewer than they say."""


def check_speed(path: Path, container: InputContainer, stream: VideoStream) -> None:
    """Refuse a file that says it is not played at the speed of its recording.

    Raises:
        ClipError: slow motion or time lapse, and how to write it otherwise.
    """
    rates = edit_rates(path).get(stream.id, ())
    if odd := sorted({rate for rate in rates if rate != 1}):
        speeds = ", ".join(f"{rate:g}" for rate in odd)
        raise ClipError(
            f"{path} plays parts of itself at other speeds (edit list with rate {speeds}); write it at the speed of "
            "its recording: ffmpeg -ignore_editlist 1 -i IN -c copy OUT.mp4"
        )
    _compare_rates(str(path), stream, (*_android_rate(container), *_sony_rate(path)))


def check_stated_rate(name: str, container: InputContainer, stream: VideoStream) -> None:
    """Refuse a recording from a server that says it is not played at the speed of its recording.

    Raises:
        ClipError: as ``check_speed``.
    """
    _compare_rates(name, stream, _android_rate(container))


def _compare_rates(name: str, stream: VideoStream, rates: Iterable[float]) -> None:
    played = float(stream.average_rate or 0)
    for captured in rates:
        if played > 0 and not 1 / _MAX_SLOWDOWN <= captured / played <= _MAX_SLOWDOWN:
            kind = "slow motion" if captured > played else "time lapse"
            raise ClipError(
                f"{name} is {kind}: the camera took {captured:g} frames a second, the file plays {played:g}. Write it "
                f"at the speed of its recording: ffmpeg -itsscale {played / captured:.4g} -i IN -c copy OUT.mp4; if it "
                "does play at that speed, leave out -itsscale"
            )


def _android_rate(container: InputContainer) -> Iterator[float]:
    for name, value in container.metadata.items():
        if name.casefold() == _ANDROID_RATE and re.fullmatch(r"\d+(\.\d+)?", value) and float(value) > 0:
            yield float(value)


def _sony_rate(path: Path) -> Iterator[float]:
    """Frames taken a second, where they are not those that Sony's camera wrote into a second."""
    beside = (as_spelled(path.with_name(path.stem + ending)) for ending in _SONY_ENDINGS)
    xml = embedded_xml(path) or next((_head(file) for file in beside if file.is_file()), b"")
    frame = _SONY_FRAME.search(xml)
    if frame is None or b"NonRealTimeMeta" not in xml:
        return
    rates = {name: float(rate) for name, rate in _SONY_RATES.findall(frame[0])}
    captured, written = rates.get(b"capture", 0.0), rates.get(b"format", 0.0)
    if captured > 0 and written > 0 and not 1 / _MAX_SLOWDOWN <= captured / written <= _MAX_SLOWDOWN:
        yield captured


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_XML_BYTES)
