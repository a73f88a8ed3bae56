"""Reading video files: every frame is the one asked for, in every container and codec, and windows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from mcore.common.errors import ClipError
from mcore.config import ClipConfig
from mcore.video import read_source_frames, sample_clip, sample_indices, sample_indices_by_time
from mcore.video.packets import scan_packets
from tests.numbered_video import FPS, HEVC, INTRA_REFRESH, OPEN_GOP, frame_numbers, numbered_frame, write_numbered

CONFIG = ClipConfig(num_frames=96, resize_height=40, resize_width=48, crop_size=32)
NUM_FRAMES = 150
TICKS = np.cumsum(np.random.default_rng(1).integers(1, 6, NUM_FRAMES)).tolist()
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
TIME_TOLERANCE_S = 0.6e-3  # Matroska rounds to milliseconds

VIDEOS: Mapping[str, Callable[..., Path]] = {
    "closed.mp4": write_numbered,
    "closed.mkv": write_numbered,
    "closed.mov": write_numbered,
    "open.mp4": partial(write_numbered, params=OPEN_GOP),
    "open.mkv": partial(write_numbered, params=OPEN_GOP),
    "refresh.mp4": partial(write_numbered, params=INTRA_REFRESH),
    "hevc.mp4": partial(write_numbered, codec="libx265", params=HEVC),
    "fragmented.mp4": partial(write_numbered, container_options=FRAGMENTED),
    "stream.ts": write_numbered,
    "vp9.webm": partial(write_numbered, codec="libvpx-vp9"),
    "mpeg4.avi": partial(write_numbered, codec="mpeg4"),
    "bframes.avi": write_numbered,  # AVI has no presentation times
    "raw.h264": write_numbered,  # nothing has times
    "live.flv": write_numbered,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def video(folder: Path) -> Callable[[str], Path]:
    """Encode a video when a test first asks for it."""

    def make(name: str) -> Path:
        path = folder / name
        return path if path.exists() else VIDEOS[name](path, NUM_FRAMES)

    return make


@pytest.mark.parametrize("name", VIDEOS)
def test_every_frame_is_the_one_asked_for(video: Callable[[str], Path], name: str) -> None:
    sampled = sample_clip(video(name), CONFIG)
    assert sampled.num_source_frames == NUM_FRAMES
    assert sampled.reader == "pyav"
    assert (sampled.source_width, sampled.source_height) == (96, 64)
    np.testing.assert_array_equal(sampled.indices, sample_indices(NUM_FRAMES, 96))
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices)
    np.testing.assert_allclose(sampled.pts_seconds, sampled.indices / FPS, atol=TIME_TOLERANCE_S)
    assert sampled.duration_s == pytest.approx(NUM_FRAMES / FPS, abs=2 * TIME_TOLERANCE_S)
    assert sampled.notes == ()


def test_the_open_gop_video_is_one(video: Callable[[str], Path]) -> None:
    """Otherwise the tests above would prove nothing: frames after a keyframe in the file, but shown before it."""
    packets = scan_packets(video("open.mp4")).packets
    leading = [
        later.pts
        for k, packet in enumerate(packets)
        if packet.is_keyframe
        for later in packets[k:]
        if later.pts is not None and packet.pts is not None and later.pts < packet.pts
    ]
    assert len(leading) > 5


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_frame_rate(tmp_path: Path, suffix: str) -> None:
    path = write_numbered(tmp_path / f"vfr.{suffix}", NUM_FRAMES, ticks=TICKS)
    pts_seconds = (np.array(TICKS) - TICKS[0]) / FPS
    sampled = sample_clip(path, CONFIG)
    expected = sample_indices_by_time(pts_seconds, 96)
    assert (expected != sample_indices(NUM_FRAMES, 96)).any()
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices)
    assert np.abs(sampled.indices - expected).max() <= (suffix == "mkv")  # milliseconds may decide a tie otherwise
    np.testing.assert_allclose(sampled.pts_seconds, pts_seconds[sampled.indices], atol=TIME_TOLERANCE_S)


def test_audio_longer_than_the_video_is_no_fault(tmp_path: Path) -> None:
    for name in ("sound.mp4", "sound.mkv"):
        sampled = sample_clip(write_numbered(tmp_path / name, 60, audio_s=3.5), CONFIG)
        assert sampled.num_source_frames == 60


def test_frames_cut_by_an_edit_list_do_not_count(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "whole.mp4", 60)
    cut = tmp_path / "cut.mp4"
    remux(source, cut, skip=0, earlier_frames=5)
    sampled = sample_clip(cut, CONFIG)
    assert sampled.num_source_frames == 55
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices + 5)


@pytest.mark.parametrize(("name", "params"), [("open.mkv", OPEN_GOP), ("middle.mp4", "keyint=24:min-keyint=24")])
def test_packets_that_decode_to_nothing_do_not_count(tmp_path: Path, name: str, params: str) -> None:
    """A recording cut between keyframes, or at an open one, begins with packets that cannot be decoded."""
    source = write_numbered(tmp_path / "whole.mp4", 100, params=params)
    cut = tmp_path / name
    remux(source, cut, skip=22)
    assert len(scan_packets(cut).packets) == 78
    sampled = sample_clip(cut, CONFIG)
    assert sampled.num_source_frames == 76
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices + 24)


def test_a_transport_stream_may_begin_anywhere(tmp_path: Path) -> None:
    data = write_numbered(tmp_path / "whole.ts", 100).read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(data[188 * (len(data) // 188 // 3) :])
    sampled = sample_clip(cut, CONFIG)
    numbers = frame_numbers(sampled.frames)
    assert sampled.num_source_frames == 100 - numbers[0]
    np.testing.assert_array_equal(numbers, sampled.indices + numbers[0])


def remux(source: Path, target: Path, *, skip: int, earlier_frames: int = 0) -> None:
    """Copy packets without the first ones, or shown earlier: what is before 0 is cut by an edit list."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for packet in [packet for packet in reader.demux(stream) if packet.size][skip:]:
            assert packet.pts is not None
            assert packet.dts is not None
            assert packet.time_base is not None
            shift = round(earlier_frames / FPS / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
            writer.mux(packet)


@pytest.mark.parametrize("name", ["closed.mp4", "open.mp4", "open.mkv", "refresh.mp4", "hevc.mp4", "stream.ts"])
@pytest.mark.parametrize(
    ("start_s", "end_s", "first", "stop"),
    [
        (None, 2.0, 0, 60),  # the frame at 2.0 s belongs to what follows
        (2.0, None, 60, 150),
        (1.61, 3.39, 49, 102),
        (4.0, 4.2, 120, 126),
        (0.0, 99.0, 0, 150),
        (49 / 30, 50.5 / 30, 49, 51),
    ],
)
def test_windows(
    video: Callable[[str], Path], name: str, start_s: float | None, end_s: float | None, first: int, stop: int
) -> None:
    sampled = sample_clip(video(name), CONFIG, start_s=start_s, end_s=end_s)
    assert sampled.num_source_frames == stop - first
    np.testing.assert_array_equal(sampled.indices, sample_indices(stop - first, 96))
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices + first)
    assert sampled.pts_seconds[0] == 0
    assert sampled.duration_s == pytest.approx((stop - first) / FPS, abs=4 * TIME_TOLERANCE_S)


@pytest.mark.parametrize(
    ("start_s", "end_s", "message"),
    [
        (5.0, None, r"has 0 frame\(s\)"),
        (4.95, None, r"has 1 frame\(s\)"),
        (1.0, 1.02, r"has 1 frame\(s\) from 1.0 s to 1.02"),
        (2.0, 1.0, "not after"),
        (-1.0, None, "0 or more"),
        (float("nan"), None, "0 or more"),
        (None, float("inf"), "0 or more"),
    ],
)
def test_windows_without_a_clip(
    video: Callable[[str], Path], start_s: float | None, end_s: float | None, message: str
) -> None:
    with pytest.raises(ClipError, match=message):
        sample_clip(video("closed.mp4"), CONFIG, start_s=start_s, end_s=end_s)


def test_source_frames_for_pictures(video: Callable[[str], Path]) -> None:
    path = video("closed.mp4")
    pictures = read_source_frames(path, [100, 3, 100, 0], max_height=32)
    assert [picture.shape for picture in pictures] == [(32, 48, 3)] * 4
    assert frame_numbers(np.stack(pictures)).tolist() == [100, 3, 100, 0]
    whole = read_source_frames(path, np.array([7]), max_height=1_000)[0]
    assert whole.shape == (64, 96, 3)
    assert np.abs(whole.astype(int) - numbered_frame(7)).mean() < 12  # the encoder's loss
    windowed = read_source_frames(path, [0, 10], max_height=32, start_s=2.0)
    assert frame_numbers(np.stack(windowed)).tolist() == [60, 70]
    assert read_source_frames(path, [], max_height=32) == []
    with pytest.raises(ClipError, match=r"frames 0\.\.149; asked for 3\.\.150"):
        read_source_frames(path, [3, 150], max_height=32)


def test_unknown_reader(video: Callable[[str], Path]) -> None:
    with pytest.raises(ClipError, match="allowed: auto, pyav, images"):
        sample_clip(video("closed.mp4"), CONFIG, reader="opencv")  # type: ignore[arg-type]


def test_titles_need_not_be_utf8(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "title.mkv", 20)
    with av.open(str(path)) as reader:
        tool = reader.metadata["ENCODER"].encode()
    path.write_bytes(path.read_bytes().replace(tool, b"\xb4" * len(tool)))
    assert sample_clip(path, CONFIG).num_source_frames == 20


def test_names_that_look_like_something_else(tmp_path: Path) -> None:
    """FFmpeg takes what precedes a colon for a protocol, and a percent sign for a numbered sequence."""
    path = write_numbered(tmp_path / "dive:10m %03d ü.mp4", 20)
    assert sample_clip(path, CONFIG).num_source_frames == 20
