"""Video files as a player shows them: which track, at which speed, and no other file than the one given."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from mcore.common.errors import ClipError
from mcore.config import ClipConfig
from mcore.video import sample_clip
from mcore.video.pyav_reader import going_on
from mcore.video.structure import missing_bytes
from tests.numbered_video import FPS, HEVC, frame_numbers, numbered_frame, write_numbered

CONFIG = ClipConfig(num_frames=16, resize_height=40, resize_width=48, crop_size=32)
NUM_FRAMES = 40
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}

# Which file


def playlist(text: str) -> Callable[[Path, Path], object]:
    return lambda path, video: path.write_text(text.replace("VIDEO", str(video)))


REFER_TO_OTHERS: list[tuple[str, Callable[[Path, Path], object]]] = [
    ("list.m3u8", playlist("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nVIDEO\n#EXT-X-ENDLIST\n")),
    ("list.mp4", playlist("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nVIDEO\n#EXT-X-ENDLIST\n")),
    ("script.ffconcat", playlist("ffconcat version 1.0\nfile VIDEO\n")),
    ("script.mkv", playlist("ffconcat version 1.0\nfile VIDEO\n")),
    ("camera.sdp", playlist("v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n")),
    ("list.mpd", playlist('<?xml version="1.0"?><MPD type="static"><Period><BaseURL>VIDEO</BaseURL></Period></MPD>')),
    ("metadata.ffmeta", playlist(";FFMETADATA1\ntitle=x\n")),
    ("subtitles.mp4", playlist("1\n00:00:01,000 --> 00:00:02,000\nVIDEO\n")),
]


@pytest.mark.parametrize(("name", "make"), REFER_TO_OTHERS, ids=[name for name, _ in REFER_TO_OTHERS])
def test_no_other_file_or_address_is_opened(tmp_path: Path, name: str, make: Callable[[Path, Path], object]) -> None:
    video = write_numbered(tmp_path / "secret.ts", NUM_FRAMES)
    make(tmp_path / name, video)
    with pytest.raises(ClipError, match="not a video file that is read here"):
        sample_clip(tmp_path / name, CONFIG)


def test_devices_and_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero")):
        with pytest.raises(ClipError, match="a device or a pipe"):
            sample_clip(path, CONFIG)


@pytest.mark.parametrize("name", ["huge.gif", "huge.mp4"])
def test_huge_pictures_are_not_decoded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("gif"):
        write_pictures(path, "gif", "rgb8")
        data = bytearray(path.read_bytes())
        data[6:10] = struct.pack("<HH", 20_000, 20_000)
    else:
        write_pictures(path, "mjpeg", "yuvj420p")
        data = bytearray(path.read_bytes())
        start = data.index(b"jpeg", data.index(b"stsd")) if b"jpeg" in data else data.index(b"mp4v")
        data[start + 28 : start + 32] = struct.pack(">HH", 20_000, 20_000)
        for at in positions(bytes(data), b"\xff\xc0"):
            data[at + 5 : at + 9] = struct.pack(">HH", 20_000, 20_000)
    path.write_bytes(data)
    with pytest.raises(ClipError, match=r"20000 x 20000 pixels|is damaged|1 frame\(s\)"):
        sample_clip(path, CONFIG)


def positions(data: bytes, wanted: bytes) -> list[int]:
    return [k for k in range(len(data)) if data.startswith(wanted, k)]


def write_pictures(path: Path, codec: str, pixel_format: str, num_frames: int = 5) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        for number in range(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")))
        container.mux(stream.encode(None))


# Which track


def write_tracks(path: Path, tracks: Sequence[tuple[int, int, bool]]) -> Path:
    """Write tracks of (scale of the picture, number of frames, marked as default), in this order."""
    with av.open(str(path), "w") as container:
        streams = []
        for scale, _, is_default in tracks:
            stream = container.add_stream("mpeg4", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = 96 * scale // 2, 64 * scale // 2, "yuv420p"
            stream.codec_context.bit_rate = 4_000_000
            stream.disposition = Disposition.default if is_default else Disposition(0)
            streams.append(stream)
        for number in range(max(count for _, count, _ in tracks)):
            for stream, (_, count, _) in zip(streams, tracks, strict=True):
                if number < count:
                    frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
                    frame = frame.reformat(width=stream.width, height=stream.height)
                    frame.pts, frame.time_base = number, Fraction(1, FPS)
                    container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "tracks", "taken"),
    [
        ("thumbnail.mp4", [(4, 1, True), (2, NUM_FRAMES, True)], 1),
        ("thumbnail.mkv", [(4, 1, True), (2, NUM_FRAMES, True)], 1),
        ("thumbnail.ts", [(4, 1, True), (2, NUM_FRAMES, False)], 1),
        ("thumbnails.mp4", [(4, 3, True), (2, NUM_FRAMES, False)], 1),
        ("thumbnails.mkv", [(4, 2, True), (2, NUM_FRAMES, False)], 1),
        ("preview.mp4", [(1, NUM_FRAMES, True), (2, NUM_FRAMES, True)], 1),
        ("preview.mkv", [(1, NUM_FRAMES, False), (2, NUM_FRAMES, True)], 1),
        ("default.mkv", [(3, NUM_FRAMES, False), (2, NUM_FRAMES, True)], 1),
        ("preview_by_default.mp4", [(1, NUM_FRAMES, True), (2, NUM_FRAMES, False)], 1),
        ("preview_by_default.mkv", [(1, NUM_FRAMES, True), (2, NUM_FRAMES, False)], 1),
        ("first.mp4", [(2, NUM_FRAMES, True), (1, NUM_FRAMES, False)], 0),
        ("alike.mkv", [(2, NUM_FRAMES, True), (2, NUM_FRAMES, True)], 0),
    ],
)
def test_the_track_that_a_player_shows(
    tmp_path: Path, name: str, tracks: Sequence[tuple[int, int, bool]], taken: int
) -> None:
    sampled = sample_clip(write_tracks(tmp_path / name, tracks), CONFIG)
    assert (sampled.source_width, sampled.num_source_frames) == (96, NUM_FRAMES)
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices)
    (note,) = sampled.notes
    assert f"of 2 picture tracks track {taken} (" in note


# At which speed


@pytest.mark.parametrize("rate", [24, 50, 120])
@pytest.mark.parametrize(("name", "codec"), [("raw.h264", "libx264"), ("raw.hevc", "libx265"), ("raw.m4v", "mpeg4")])
def test_raw_streams_have_the_rate_of_their_codec(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    path = write_numbered(tmp_path / name, NUM_FRAMES, codec=codec, params=HEVC, rate=rate, muxer=name[4:])
    sampled = sample_clip(path, CONFIG)
    np.testing.assert_allclose(sampled.pts_seconds, sampled.indices / rate, atol=1e-4)
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices)
    assert sampled.notes == ()


@pytest.mark.parametrize(("name", "codec"), [("raw.hevc", "libx265"), ("raw.mjpeg", "mjpeg")])
def test_a_guessed_rate_is_said(tmp_path: Path, name: str, codec: str) -> None:
    params = HEVC + ":vui-timing-info=0"
    path = write_numbered(tmp_path / name, NUM_FRAMES, codec=codec, params=params, rate=50, muxer=name[4:])
    sampled = sample_clip(path, CONFIG)
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices)
    assert sampled.notes == ("the file states no frame rate: 25 frames a second are a guess",)


@pytest.mark.parametrize("ticks", [[0] * 60, [*range(20), *[20] * 30, *range(21, 31)]])
def test_times_that_stand_still_are_said(tmp_path: Path, ticks: list[int]) -> None:
    sampled = sample_clip(write_numbered(tmp_path / "v.mkv", 60, params="bframes=0", ticks=ticks), CONFIG)
    (note,) = sampled.notes
    assert f"times stand still for {max(ticks.count(0), 30)} frames" in note
    assert "30 frames a second are a guess" in note
    np.testing.assert_allclose(sampled.pts_seconds, sampled.indices / 30, atol=1e-3)
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices)


# To which end


@pytest.mark.parametrize("audio_s", [0.0, 1.5])
@pytest.mark.parametrize("copies", [2, 3])
def test_joined_transport_streams_go_on(tmp_path: Path, copies: int, audio_s: float) -> None:
    path = write_numbered(tmp_path / "joined.ts", NUM_FRAMES, audio_s=audio_s)
    path.write_bytes(path.read_bytes() * copies)
    sampled = sample_clip(path, CONFIG)
    assert sampled.num_source_frames == copies * NUM_FRAMES
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices % NUM_FRAMES)
    np.testing.assert_allclose(sampled.pts_seconds, sampled.indices / FPS, atol=1e-4)
    assert len(sampled.notes) == 1
    assert f"times run backwards at frame {NUM_FRAMES}" in sampled.notes[0]
    second = sample_clip(path, CONFIG, start_s=NUM_FRAMES / FPS, end_s=2 * NUM_FRAMES / FPS)
    assert second.num_source_frames == NUM_FRAMES


def test_times_go_on() -> None:
    assert going_on([5, 7, 9, 5, 7, 9, 9, 0]) == [5, 7, 9, 11, 13, 15, 15, 15]
    assert going_on([3]) == [3]


TRAILERS = {
    "line end": b"\n",
    "line ends": b"\r\n\r\n",
    "zeros": bytes(300),
    "ID3v1": b"TAG" + b"title".ljust(125, b"\0"),
    "ID3v2": b"ID3\x03\0\0\0\0\0\x15TIT2" + b"x" * 40,
    "XMP": b"<?xpacket begin=''?><x:xmpmeta xmlns:x='adobe:ns:meta/'/><?xpacket end='w'?>",
    "Samsung": b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data1234567890123SEFH\x6b\0\0\0\x01\0\0\0SEFT",
    "Insta360": b"\x9a\x01\x7f" + b"telemetry" * 30 + b"8db42d694ccc418790edff439fe026bf",
    "APE": b"APETAGEX\xd0\x07\0\0" + b"\0" * 52,
    "text": b"recorded by camera 3",
}


@pytest.mark.parametrize("options", [None, FRAGMENTED], ids=["plain", "fragmented"])
@pytest.mark.parametrize("name", TRAILERS)
def test_trailers_are_not_missing_bytes(tmp_path: Path, name: str, options: dict[str, str] | None) -> None:
    path = write_numbered(tmp_path / "dive.mp4", NUM_FRAMES, container_options=options)
    path.write_bytes(path.read_bytes() + TRAILERS[name])
    assert missing_bytes(path) is None
    assert sample_clip(path, CONFIG).num_source_frames == NUM_FRAMES


@pytest.mark.parametrize("options", [{"movflags": "faststart"}, FRAGMENTED], ids=["faststart", "fragmented"])
def test_no_cut_passes_for_a_trailer(tmp_path: Path, options: dict[str, str]) -> None:
    data = write_numbered(tmp_path / "dive.mp4", NUM_FRAMES, container_options=options).read_bytes()
    path = tmp_path / "cut.mp4"
    for at in positions(data, b"mdat") + positions(data, b"moof"):
        for end in (at - 3, at - 1, at + 1, at + 4, at + 20):
            path.write_bytes(data[:end])
            assert missing_bytes(path) is not None, (at, end)
