"""What is done only for show, videos and pictures of dives: whatever happens to it becomes a note, and ends nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.video import sample_clip
from mcore_runtime.live import strips, writer
from mcore_runtime.live.broadcast import ProblemNews
from mcore_runtime.live.pipeline import LiveSettings
from mcore_runtime.live.recording import Recording
from mcore_runtime.session import read_session
from mcore_runtime.sources.frame import Frame
from tests.numbered_video import numbered_frame
from tests.runtime.live.conftest import THREE, begin, dive_of, rows
from tests.runtime.session.made import record


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    return fail


FAULTS = (ValueError("equal times"), MemoryError(), OSError(22, "Invalid argument"))


@pytest.mark.parametrize(
    ("place", "error"),
    [
        *((f"recording.Recording.{part}", error) for part in ("_encode", "_begin", "_mux") for error in FAULTS),
        ("recording.Recording._between", UserError("nothing is kept")),
        ("writer.replacing", ValueError("embedded null byte")),
    ],
)
def test_a_video_that_fails_is_a_note_of_the_dive(
    video: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    monkeypatch.setattr(f"mcore_runtime.live.{place}", raising(error))
    with begin(video, tiny_bundle, tmp_path / "s", dives=THREE[:2], settings=LiveSettings()) as session:
        session.run()
        assert rows(session, "status", "has_clip") == [("scored", False)] * 2
        assert "no video was kept" in dive_of(session, 1).notes[0]


def frame(number: int, time_s: float, size: tuple[int, int] | None = None) -> Frame:
    rgb = numbered_frame(number % 256) if size is None else np.zeros((size[1], size[0], 3), np.uint8)
    return Frame(rgb, time_s, number, time_s)


@pytest.mark.parametrize("step_s", [0.0, 1e-6, 5e-6, -1e-3])
def test_frames_of_one_time_can_be_recorded(step_s: float) -> None:
    """As a stream gives them that catches up, or whose clock runs backwards."""
    recording, time_s = Recording(), 100.0
    for number in range(150):
        recording.add(frame(number, time_s))
        time_s += step_s if 50 <= number < 100 else 1 / 30
    content, _ = recording.mp4(99.0, time_s)
    recording.close()
    assert len(content) > 10_000


@pytest.mark.parametrize("size", [(1, 1), (40_000, 2), (2, 40_000), (1, 500)])
def test_one_strange_picture_costs_a_recording_its_past_only(size: tuple[int, int]) -> None:
    recording = Recording()
    for number in range(60):
        recording.add(frame(number, number / 30, size if number == 20 else None))
    content, first_s = recording.mp4(0.0, 2.0)
    recording.close()
    assert content
    assert first_s == pytest.approx(21 / 30)


def test_pictures_that_cannot_be_drawn_are_a_note_once(
    video: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "draw", raising(ZeroDivisionError("no width")))
    with begin(video, tiny_bundle, tmp_path / "s", dives=THREE[:1]) as session:
        session.run()
        assert session.strip(1) is None
        assert session.exemplar_comparison(1) is None
        session.drain()
        assert dive_of(session, 1).notes == ("its pictures cannot be drawn: ZeroDivisionError: no width",)
        assert rows(session, "status") == [("scored",)]


def test_narrow_pictures_are_drawn_again_once_the_video_is_there(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow, wide = (sample_clip(video, ClipConfig(8, height, width, 1)) for height, width in ((20, 12), (180, 320)))
    recorded = tmp_path / "1.mp4"
    monkeypatch.setattr(strips, "from_video", lambda folder, dive, clip: wide if recorded.exists() else None)
    pictures, dive = strips.Strips(lambda number: narrow, 1, tmp_path), replace(record(1), recording=recorded.name)
    first = pictures.get(dive)
    recorded.touch()
    second, third = pictures.get(dive), pictures.get(dive)
    assert first is not None
    assert second is not None
    assert second.strip != first.strip
    assert third is second


def test_a_folder_that_was_moved_away_is_noticed_before_the_next_dive(
    video: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_CHECK_S", 0.02)
    with begin(video, tiny_bundle, tmp_path / "s") as session, session.subscribe(1000) as news:
        (tmp_path / "s").rename(tmp_path / "elsewhere")
        while not isinstance(said := news.get(1.0), ProblemNews):
            pass
        assert "there is no folder" in str(said.problem)
        assert "there is no folder" in session.snapshot()["session"]["problem"]
        assert "put it back" in str(said.problem)
        (tmp_path / "elsewhere").rename(tmp_path / "s")
        while session.snapshot()["session"]["problem"] is not None:
            news.get(0.05)


def test_no_video_makes_a_new_folder_where_the_session_was(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", dives=THREE[:1], settings=LiveSettings()) as session:
        (tmp_path / "s").rename(tmp_path / "elsewhere")
        session.run()
        assert not (tmp_path / "s").exists()
        assert "no video was kept: the session's folder is not there" in dive_of(session, 1).notes[0]
        (tmp_path / "elsewhere").rename(tmp_path / "s")
    assert [dive.number for dive in read_session(tmp_path / "s").dives] == [1]
