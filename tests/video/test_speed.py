"""Slow motion and time lapse that a file states: refused, with what mends it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import av
import pytest

from mcore.common.errors import ClipError
from mcore.config import ClipConfig
from mcore.video import sample_clip
from mcore.video.structure import edit_rates
from tests.numbered_video import write_numbered

CONFIG = ClipConfig(num_frames=16, resize_height=40, resize_width=48, crop_size=32)
NUM_FRAMES = 40


def set_edits(path: Path, edits: Sequence[tuple[int, int, float]]) -> None:
    """Put another edit list into an MP4 whose index comes last: (movie time, media time, rate) of each edit."""
    data = path.read_bytes()
    entries = b"".join(struct.pack(">Iii", length, start, round(rate * 65536)) for length, start, rate in edits)
    body = struct.pack(">II", 0, len(edits)) + entries
    old = data.index(b"elst") - 4
    old_length = int.from_bytes(data[old : old + 4], "big")
    data = data[:old] + struct.pack(">I", 8 + len(body)) + b"elst" + body + data[old + old_length :]
    grown = 8 + len(body) - old_length
    for kind in (b"moov", b"trak", b"edts"):
        at = data.index(kind) - 4
        length = int.from_bytes(data[at : at + 4], "big") + grown
        data = data[:at] + struct.pack(">I", length) + data[at + 4 :]
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([(1333, 0, 0.125)], r"edit list with rate 0\.125"),
        ([(300, 0, 1.0), (2400, 4000, 0.25), (300, 12000, 1.0)], r"edit list with rate 0\.25"),
        ([(300, 0, 2.0), (300, 8000, 0.5)], r"edit list with rate 0\.5, 2"),
        ([(500, 0, 0.0)], "edit list with rate 0"),
    ],
)
def test_slow_motion_by_edit_list_is_refused(
    tmp_path: Path, edits: Sequence[tuple[int, int, float]], message: str
) -> None:
    path = write_numbered(tmp_path / "slow.mp4", NUM_FRAMES)
    set_edits(path, edits)
    with pytest.raises(ClipError, match=message + ".*ignore_editlist"):
        sample_clip(path, CONFIG)


def test_ordinary_edit_lists_are_read(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "dive.mp4", NUM_FRAMES)
    assert edit_rates(path) == {1: [1.0]}
    set_edits(path, [(500, -1, 1.0), (1333, 1024, 1.0)])  # a pause before the first frame
    assert edit_rates(path) == {1: [1.0]}
    assert sample_clip(path, CONFIG).num_source_frames == NUM_FRAMES
    assert edit_rates(write_numbered(tmp_path / "dive.mkv", NUM_FRAMES)) == {}


def write_by_phone(path: Path, captured: str) -> Path:
    """Write a video with the frame rate that Android's camera had, as text."""
    plain = write_numbered(path.with_name("plain.mp4"), NUM_FRAMES)
    options = {"movflags": "use_metadata_tags"} if path.suffix == ".mp4" else {}
    with av.open(str(plain)) as reader, av.open(str(path), "w", options=options) as writer:
        writer.metadata["com.android.capture.fps"] = captured
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(reader.streams.video[0]):
            if packet.size:
                packet.stream = copy
                writer.mux(packet)
    return path


@pytest.mark.parametrize(
    ("captured", "message"),
    [
        ("240.000000", r"slow motion: the camera took 240 .* plays 30\..*-itsscale 0\.125 "),
        ("120", r"slow motion: .* -itsscale 0\.25 "),
        ("5.0", r"time lapse: the camera took 5 "),
        ("30.0", None),
        ("24.5", None),
        ("nonsense", None),
    ],
)
def test_android_states_the_rate_of_capture(tmp_path: Path, captured: str, message: str | None) -> None:
    path = write_by_phone(tmp_path / "phone.mp4", captured)
    if message is None:
        assert sample_clip(path, CONFIG).num_source_frames == NUM_FRAMES
    else:
        with pytest.raises(ClipError, match=message):
            sample_clip(path, CONFIG)


def test_androids_rate_is_read_in_matroska_too(tmp_path: Path) -> None:
    path = write_by_phone(tmp_path / "phone.mkv", "240")
    with pytest.raises(ClipError, match="slow motion: the camera took 240"):
        sample_clip(path, CONFIG)


SONY = """<?xml version="1.0" encoding="UTF-8"?>
<NonRealTimeMeta xmlns="urn:schemas-professionalDisc:nonRealTimeMeta:ver.2.00" lastUpdate="2024-05-01T10:00:00+02:00">
  <VideoFormat><VideoRecPort port="DIRECT"/>
    <VideoFrame videoCodec="AVC_1920_1080_HP@L42" captureFps="{}" formatFps="{}"/></VideoFormat>
</NonRealTimeMeta>
"""


def add_xml(path: Path, text: str, *, within_moov: bool, is_full: bool) -> None:
    """Add a meta box with XML, as Sony's cameras do; as the last box of the file, or of moov, which is the last."""

    def box(kind: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    content = box(b"hdlr", bytes(8) + b"nrtm" + bytes(13)) + box(b"xml ", bytes(4) + text.encode())
    meta = box(b"meta", bytes(4 * is_full) + content)
    data = bytearray(path.read_bytes())
    if within_moov:
        at = data.rindex(b"moov") - 4
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + len(meta)).to_bytes(4, "big")
    path.write_bytes(bytes(data) + meta)


@pytest.mark.parametrize(
    ("taken", "written", "message"),
    [
        ("119.88p", "29.97p", r"slow motion: the camera took 119\.88 .* -itsscale 0\.250"),
        ("1p", "29.97p", "time lapse: the camera took 1 "),
        ("29.97p", "29.97p", None),
        ("59.94i", "59.94i", None),
        ("", "29.97p", None),
    ],
)
@pytest.mark.parametrize("place", ["in moov", "in the file", "QuickTime", "beside it"])
def test_sony_states_the_rate_of_capture(
    tmp_path: Path, taken: str, written: str, message: str | None, place: str
) -> None:
    path, xml = write_numbered(tmp_path / "C0001.mp4", NUM_FRAMES), SONY.format(taken, written)
    if place == "beside it":
        (tmp_path / "C0001M01.XML").write_text(xml)
    else:
        add_xml(path, xml, within_moov=place != "in the file", is_full=place != "QuickTime")
    if message is None:
        assert sample_clip(path, CONFIG).num_source_frames == NUM_FRAMES
    else:
        with pytest.raises(ClipError, match=message):
            sample_clip(path, CONFIG)


def test_a_file_that_was_written_anew_plays_at_its_speed(tmp_path: Path) -> None:
    """The camera's XML lies beside it still."""
    (tmp_path / "C0001M01.XML").write_text(SONY.format("29.97p", "7.49p"))
    assert sample_clip(write_numbered(tmp_path / "C0001.mp4", NUM_FRAMES), CONFIG).num_source_frames == NUM_FRAMES
