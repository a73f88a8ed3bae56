"""Streams from files and from a real server that is killed, frozen, restarted, resized and made to send rubbish."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mcore.common.errors import ClipError
from mcore.video import native
from mcore.video.pyav_reader import pick_frames
from mcore_runtime.sources import Frame, SourceError, SourceState, open_source
from mcore_runtime.sources.frame import Picture
from mcore_runtime.sources.queue import FrameQueue
from mcore_runtime.sources.timeline import FileTimeline, LiveTimeline
from tests.numbered_video import FPS, OPEN_GOP, write_numbered
from tests.runtime.sources.mjpeg_server import MjpegServer, jpeg
from tests.runtime.sources.reading import TIMEOUT_S, numbers_of, take, wait_for


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    with MjpegServer() as running:
        yield running


@pytest.mark.parametrize("ticks", [None, [0, 1, 2, 5, 6, 9, 10, 11, 15, 16]])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_file_gives_every_frame_at_the_times_of_the_reader(
    tmp_path: Path, suffix: str, ticks: list[int] | None
) -> None:
    if suffix == ".avi" and ticks:
        pytest.skip("AVI has no times")
    path = write_numbered(tmp_path / f"v{suffix}", 10 if ticks else 40, params=OPEN_GOP, ticks=ticks)
    with open_source(str(path)) as source:
        frames = list(source)
    reference = pick_frames(path, lambda pts: np.arange(len(pts)), native.to_rgb)
    assert [frame.time_s for frame in frames] == reference.pts_seconds.tolist()
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    for frame, index in zip(frames, reference.indices.tolist(), strict=True):
        np.testing.assert_array_equal(frame.rgb, reference.pictures[index])
    assert all(frame.gap is None for frame in frames)
    assert source.status().state is SourceState.ENDED
    assert source.status().dropped == 0


def test_a_truncated_file_gives_its_frames_and_then_says_so(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mkv", 90)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(str(path)) as source:
        assert len(take(source, 10)) == 10
        with pytest.raises(ClipError, match=r"truncated|damaged"):
            list(source)
    assert source.status().state is SourceState.FAILED


def test_a_missing_file_fails_when_it_is_read(tmp_path: Path) -> None:
    with open_source(str(tmp_path / "none.mp4")) as source, pytest.raises(ClipError, match="no file"):
        source.read()


@pytest.mark.parametrize(("rotation", "turns"), [(90, -1), (180, 2), (270, 1)])
def test_rotation_turns_clockwise(tmp_path: Path, rotation: int, turns: int) -> None:
    path = write_numbered(tmp_path / "v.mp4", 3)
    with open_source(str(path)) as upright, open_source(f"file:{path}?rotation={rotation}") as turned:
        np.testing.assert_array_equal(take(turned, 1)[0].rgb, np.rot90(take(upright, 1)[0].rgb, turns))


def test_a_file_at_its_own_pace_takes_its_time(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 16)
    began = time.monotonic()
    with open_source(f"file:{path}?pace=realtime&queue=100") as source:
        frames = list(source)
    assert time.monotonic() - began > 14 / FPS
    assert len(frames) == 16
    np.testing.assert_allclose(np.diff([frame.time_s for frame in frames]), 1 / FPS, atol=1e-3)


def test_mjpeg_over_http(server: MjpegServer) -> None:
    with open_source(f"{server.url}video?camera=2&size=1x1#rotation=0") as source:
        frames = take(source, 30)
        status = source.status()
    assert server.requests == ["/video?camera=2&size=1x1"]
    assert (np.diff(numbers_of(frames)) >= 1).all()
    spacing = np.diff([frame.time_s for frame in frames])
    assert (spacing > 0).all()
    assert not np.allclose(spacing, 0.04, atol=1e-6)  # what FFmpeg would guess
    assert (status.state, status.reader, status.size) == (SourceState.STREAMING, "pyav", (96, 64))
    assert frames[0].gap is None


def test_a_killed_server_is_waited_for(server: MjpegServer) -> None:
    with open_source(server.url, first_delay_s=0.05) as source:
        take(source, 5)
        server.close()
        wait_for(source, SourceState.RETRYING)
        assert source.status().error
        with MjpegServer(server.port):
            wait_for(source, SourceState.STREAMING)
            frames = take(source, 5)
            status = source.status()
    gaps = [frame.gap for frame in frames if frame.gap]
    assert len(gaps) == 1
    assert "connection was lost" in gaps[0]
    assert status.connections == 2
    assert status.failures >= 1


def test_a_frozen_server_is_given_up_and_asked_again(server: MjpegServer) -> None:
    with open_source(f"{server.url}#timeout=0.3", first_delay_s=0.05) as source:
        take(source, 5)
        server.frozen.set()
        wait_for(source, SourceState.RETRYING)
        assert "0.3 s" in str(source.status().error)
        server.frozen.clear()
        wait_for(source, SourceState.STREAMING)
    assert len(server.requests) >= 2


def test_a_server_that_was_never_there_is_waited_for(server: MjpegServer) -> None:
    server.close()
    with open_source(server.url, first_delay_s=0.05) as source:
        wait_for(source, SourceState.RETRYING)
        assert source.read(0.01) is None
        assert not source.is_over
        with MjpegServer(server.port):
            assert take(source, 1)[0].gap is None  # nothing is missing before the first frame


def test_refused_credentials_end_the_first_attempt_only() -> None:
    with MjpegServer(status=401) as server:
        url = f"http://user:hush@127.0.0.1:{server.port}/"
        with open_source(url) as source, pytest.raises(SourceError, match="user name or password") as caught:
            source.read(TIMEOUT_S)
    assert "hush" not in str(caught.value)


def test_another_size_is_a_gap_and_not_a_loss() -> None:
    growing = MjpegServer(body=lambda number: jpeg(number, scale=1 if number < 10 else 2))
    with growing as server, open_source(f"{server.url}#queue=100") as source:
        frames = take(source, 20)
    gaps = [frame.gap for frame in frames if frame.gap]
    assert gaps == ["the picture changed from 96x64 to 192x128"]
    assert frames[-1].rgb.shape == (128, 192, 3)


def test_rubbish_between_pictures_is_counted_and_passed_over() -> None:
    faulty = MjpegServer(body=lambda number: b"\xff\xd8rubbish" if number % 5 == 4 else jpeg(number))
    with faulty as server, open_source(f"{server.url}#queue=100") as source:
        frames = take(source, 20)
        assert source.status().connections == 1
    assert any("damaged" in (frame.gap or "") for frame in frames)


def test_closing_while_nothing_comes_ends_the_thread(server: MjpegServer) -> None:
    server.frozen.set()
    source = open_source(f"{server.url}#timeout=0.5&open-timeout=0.5")
    time.sleep(0.1)
    source.close()
    assert not source._thread.is_alive()


def frame(sequence: int, gap: str | None = None) -> Frame:
    return Frame(np.zeros((2, 2, 3), np.uint8), float(sequence), sequence, 0.0, gap)


def test_a_full_live_queue_keeps_the_newest_and_what_it_knows_of_gaps() -> None:
    queue = FrameQueue(2)
    for sequence, gap in enumerate([None, "lost", None, None]):
        assert queue.put(frame(sequence, gap), wait=False)
    first, second = queue.get(0), queue.get(0)
    assert first is not None
    assert second is not None
    assert (first.sequence, first.gap, second.sequence, second.gap) == (2, "lost", 3, None)
    assert queue.dropped == 2


def test_a_queue_of_one_passes_gaps_on() -> None:
    queue = FrameQueue(1)
    queue.put(frame(0, "a"), wait=False)
    queue.put(frame(1, "b"), wait=False)
    kept = queue.get(0)
    assert kept is not None
    assert kept.gap == "a; b"


def test_a_slow_consumer_of_a_file_loses_nothing(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 30)
    with open_source(f"file:{path}?queue=1") as source:
        frames = []
        for item in source:
            time.sleep(0.002)
            frames.append(item)
    assert numbers_of(frames) == list(range(30))


def picture(received_s: float, media_s: float | None) -> Picture:
    return Picture(np.zeros((2, 2, 3), np.uint8), received_s, media_s)


def test_live_times_keep_the_cameras_spacing_on_our_clock() -> None:
    timeline, rng = LiveTimeline(), np.random.default_rng(0)
    media = np.arange(500) / 50 + 1234.5
    placed = [timeline.place(picture(100 + m - 1234.5 + rng.uniform(0, 0.1), m)) for m in media]
    times = np.array([time_s for time_s, _ in placed])
    assert all(jumped is None for _, jumped in placed)
    np.testing.assert_allclose(np.diff(times), 0.02, atol=2e-4)
    assert abs(times[-1] - (100 + media[-1] - 1234.5)) < 0.15


def test_live_times_follow_a_drifting_clock_for_a_day_without_a_gap() -> None:
    timeline = LiveTimeline()
    for second in range(86_400):
        time_s, jumped = timeline.place(picture(float(second), second * (1 - 100e-6)))
        assert jumped is None
    assert abs(time_s - 86_399) < 0.2


@pytest.mark.parametrize("stall_s", [1.0, 2.1, 4.0, 9.0])
@pytest.mark.parametrize("catch_up", [2.0, 20.0])
def test_a_stream_that_stalls_and_catches_up_is_a_burst(stall_s: float, catch_up: float) -> None:
    """Pictures of 25 a second; from the hundredth on they come late, then at a multiple of their rate."""
    timeline, placed, free_s = LiveTimeline(), [], 0.0
    for number in range(600):
        due_s = number / 25
        held_s = 4.0 + stall_s if 4.0 <= due_s < 4.0 + stall_s else due_s
        free_s = max(held_s, free_s + 0.04 / catch_up)
        placed.append(timeline.place(picture(100 + free_s, 50 + due_s)))
    assert all(jumped is None for _, jumped in placed)
    np.testing.assert_allclose(np.diff([time_s for time_s, _ in placed]), 0.04, atol=3e-4)


def test_a_stream_that_begins_with_what_a_server_had_kept_is_a_burst_too() -> None:
    timeline = LiveTimeline()
    placed = [timeline.place(picture(max(0.001 * n, n / 25 - 5), n / 25)) for n in range(500)]
    assert all(jumped is None for _, jumped in placed)
    np.testing.assert_allclose(np.diff([time_s for time_s, _ in placed]), 0.04, atol=3e-4)


def test_a_stream_that_never_catches_up_has_a_gap() -> None:
    timeline = LiveTimeline()
    placed = [timeline.place(picture(n / 25 + (5.0 if n > 100 else 0.0), n / 25)) for n in range(600)]
    gaps = [jumped for _, jumped in placed if jumped]
    assert len(gaps) == 1
    assert "stood still for" in gaps[0]


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_jumping_clock_is_a_gap_and_time_goes_on(jump_s: float) -> None:
    timeline = LiveTimeline()
    before, _ = timeline.place(picture(10.0, 5.0))
    after, jumped = timeline.place(picture(10.1, 5.1 + jump_s))
    assert jumped
    assert after - before == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("moves", [0.0, 1.0])
def test_a_clock_that_stands_still_is_none(moves: float) -> None:
    """It never moves, or by a second each second."""
    timeline = LiveTimeline()
    placed = [timeline.place(picture(100 + k / 25, 7 + moves * (k // 25))) for k in range(250)]
    times = np.array([time_s for time_s, _ in placed])
    assert (np.diff(times) > 0).all()
    np.testing.assert_allclose(times[10:], 100 + np.arange(10, 250) / 25, atol=1e-9)
    assert [k for k, (_, gap) in enumerate(placed) if gap] == [5]
    assert "stands still" in str(placed[5][1])
    timeline.restart()
    assert timeline.place(picture(200.0, 3.0)) == (200.0, None)
    time_s, gap = timeline.place(picture(200.5, 3.04))
    assert (round(time_s, 2), gap) == (200.04, None)


def test_two_pictures_of_one_time_are_no_standstill() -> None:
    """Coarse times: two pictures share each."""
    timeline = LiveTimeline()
    gaps = [timeline.place(picture(100 + k / 50, (k // 2) / 25))[1] for k in range(200)]
    assert gaps == [None] * 200


def test_file_times_that_run_backwards_go_on_with_a_gap() -> None:
    timeline = FileTimeline()
    placed = [timeline.place(picture(0.0, media_s)) for media_s in (0.0, 0.5, 0.0, 0.5)]
    assert [time_s for time_s, _ in placed] == [0.0, 0.5, 1.0, 1.5]
    assert [jumped is not None for _, jumped in placed] == [False, False, True, False]
