"""Clips cut from a stream: equal to those read from files, honest about what is missing, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.video import SampledClip, sample_clip
from mcore_runtime.live.recording import Recording
from mcore_runtime.live.ring import FrameRing, NotEnoughFrames
from mcore_runtime.sources import Frame, open_source
from tests.numbered_video import FPS, OPEN_GOP, frame_numbers, numbered_frame, write_numbered

CONFIG = ClipConfig(num_frames=16)
_MISSING = (3, 7, 8, 13, 14, 21, 22, 26, 27, 28, 35, 36, 37)
UNEVEN = [tick for tick in range(43) if tick not in _MISSING]


def frame(sequence: int, time_s: float, gap: str | None = None) -> Frame:
    return Frame(numbered_frame(sequence % 256), time_s, sequence, 0.0, gap)


def filled(times: list[float], gaps: dict[int, str] | None = None, capacity: int = 512) -> FrameRing:
    ring = FrameRing(CONFIG, capacity=capacity)
    for sequence, time_s in enumerate(times):
        ring.add(frame(sequence, time_s, (gaps or {}).get(sequence)))
    return ring


def assert_same(cut: SampledClip, read: SampledClip) -> None:
    np.testing.assert_array_equal(cut.frames, read.frames)
    np.testing.assert_array_equal(cut.indices, read.indices)
    np.testing.assert_array_equal(cut.pts_seconds, read.pts_seconds)
    assert (cut.num_source_frames, cut.duration_s) == (read.num_source_frames, read.duration_s)
    assert (cut.source_width, cut.source_height) == (read.source_width, read.source_height)
    assert (cut.source, cut.reader) == (read.source, read.reader)


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(None, None), (0.3, 0.9), (0.1, None), (None, 0.5), (7 / FPS, 21 / FPS)]
)
@pytest.mark.parametrize(("suffix", "ticks"), [(".mp4", None), (".mkv", None), (".mkv", UNEVEN), (".mp4", UNEVEN)])
def test_a_live_cut_equals_the_clip_read_from_the_file(
    tmp_path: Path, suffix: str, ticks: list[int] | None, start_s: float | None, end_s: float | None
) -> None:
    path = write_numbered(tmp_path / f"v{suffix}", 30, params=OPEN_GOP, ticks=ticks)
    ring = FrameRing(CONFIG, source=str(path))
    with open_source(str(path)) as source:
        for item in source:
            ring.add(item)
    cut = ring.cut(start_s, end_s, max_gap_s=1.0)
    assert_same(cut.clip, sample_clip(path, CONFIG, start_s=start_s, end_s=end_s))
    assert not cut.reasons


def test_a_ring_that_came_round_cuts_the_same_clip() -> None:
    times = [k / FPS for k in range(100)]
    assert_same(filled(times, capacity=40).cut(2.2, 3.0).clip, filled(times).cut(2.2, 3.0).clip)


def test_a_clip_does_not_change_when_the_ring_goes_on() -> None:
    ring = filled([k / FPS for k in range(40)], capacity=40)
    clip = ring.cut(None, None).clip
    before = clip.frames.copy()
    for sequence in range(40, 80):
        ring.add(frame(sequence, sequence / FPS))
    np.testing.assert_array_equal(clip.frames, before)


def test_the_small_picture_is_what_is_kept() -> None:
    ring = FrameRing(CONFIG, capacity=4)
    small = ring.add(frame(7, 0.0)).copy()
    ring.add(frame(8, 0.1))
    np.testing.assert_array_equal(ring.cut(None, None).clip.frames[0], small)


@pytest.mark.parametrize(
    ("times", "gaps", "window", "words"),
    [
        ([k / 25 for k in range(50)], {10: "the connection was lost for 0.1 s"}, (0.0, 1.0), "connection was lost"),
        ([k / 25 + (k > 10) for k in range(50)], {}, (0.0, 1.9), "no frames for 1.04 s"),
        ([k / 25 for k in range(50)], {}, (0.5, 3.0), "last 1.04 s are missing"),
        ([1 + k / 25 for k in range(50)], {}, (0.5, 2.0), "first 0.50 s are missing"),
    ],
)
def test_what_is_missing_makes_a_clip_invalid(
    times: list[float], gaps: dict[int, str], window: tuple[float, float], words: str
) -> None:
    cut = filled(times, gaps).cut(*window)
    assert words in " ".join(cut.reasons)


def test_a_gap_before_or_after_a_clip_does_not_concern_it() -> None:
    times = [k / 25 for k in range(50)]
    cut = filled(times, {10: "lost", 30: "lost"}).cut(10 / 25, 30 / 25)
    assert not cut.reasons
    assert cut.clip.num_source_frames == 20


def test_dropped_frames_are_counted_and_matter_where_they_leave_a_gap() -> None:
    ring = FrameRing(CONFIG)
    for sequence in [*range(10), *range(12, 30)]:
        ring.add(frame(sequence, sequence / 25))
    cut = ring.cut(None, None)
    assert (cut.dropped, cut.reasons) == (2, ())
    assert ring.cut(None, None, max_gap_s=0.1).reasons


def test_too_few_frames_are_no_clip() -> None:
    ring = filled([0.0, 0.1])
    with pytest.raises(NotEnoughFrames):
        ring.cut(5.0, 6.0)
    with pytest.raises(NotEnoughFrames):
        FrameRing(CONFIG).cut(None, None)


def test_memory_stays_the_same_however_long_the_stream() -> None:
    ring = FrameRing(ClipConfig(num_frames=4, resize_height=16, resize_width=16, crop_size=16), capacity=256)
    item = Frame(np.zeros((16, 16, 3), np.uint8), 0.0, 0)
    tracemalloc.start()
    peaks = []
    for hour in range(2):
        for k in range(4_000):
            ring.add(Frame(item.rgb, hour * 3600 + k * 0.9, k))
        peaks.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(ring) == 256
    assert peaks[1] - peaks[0] < 20_000


def recorded(frames: Iterable[Frame], start_s: float, end_s: float, **options: Any) -> tuple[bytes, float]:
    recording = Recording(**options)
    try:
        for item in frames:
            recording.add(item)
        return recording.mp4(start_s, end_s)
    finally:
        recording.close()


def test_a_recording_holds_what_was_shown(tmp_path: Path) -> None:
    times = [100 + tick / FPS for tick in UNEVEN]
    content, began_s = recorded((frame(k, time_s) for k, time_s in enumerate(times)), 100.7, 101.2)
    assert 100.2 <= began_s <= 100.7
    shown = [k for k, time_s in enumerate(times) if began_s - 1e-4 <= time_s < 101.2]
    (tmp_path / "dive.mp4").write_bytes(content)
    with open_source(str(tmp_path / "dive.mp4")) as source:
        frames = list(source)
    assert frame_numbers(np.stack([item.rgb for item in frames])).tolist() == shown
    np.testing.assert_allclose([item.time_s + began_s for item in frames], [times[k] for k in shown], atol=1e-4)


def test_a_recording_keeps_its_end_only() -> None:
    frames = [frame(k, k / FPS) for k in range(100)]
    assert recorded(frames, 0.0, 100 / FPS, seconds=1.0, max_height=48)[1] >= 100 / FPS - 1.1
    with pytest.raises(UserError, match="nothing is kept"):
        recorded(frames, -5.0, -4.0)


def test_a_recording_begins_anew_with_another_size() -> None:
    small = (Frame(np.zeros((51, 71, 3), np.uint8), k / FPS, k) for k in range(20, 40))
    frames = [*(frame(k, k / FPS) for k in range(20)), *small]
    assert recorded(frames, 0.0, 2.0)[1] == pytest.approx(20 / FPS)
