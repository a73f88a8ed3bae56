"""decord: exact where it is accepted, and refused where its random access returns other frames than asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.common.errors import ClipError, MissingDependencyError
from mcore.config import ClipConfig
from mcore.video import sample_clip, sample_indices
from tests.numbered_video import CLOSED_GOP, HEVC, INTRA_REFRESH, OPEN_GOP, frame_numbers, write_numbered

CONFIG = ClipConfig(num_frames=96, resize_height=40, resize_width=48, crop_size=32)
NUM_FRAMES = 200
TICKS = np.cumsum(np.random.default_rng(1).integers(1, 6, NUM_FRAMES)).tolist()
COLOUR_TOLERANCE = 3  # two builds of swscale


@pytest.fixture(scope="module")
def decord() -> Any:
    return pytest.importorskip("decord", reason="decord is not installed (extra: decord)")


EXACT: Mapping[str, Callable[..., Path]] = {
    "closed.mp4": write_numbered,
    "closed.mkv": write_numbered,
    "pyramid.mp4": partial(write_numbered, params="keyint=40:bframes=5:b-pyramid=normal:open-gop=0"),
    "fragmented.mp4": partial(write_numbered, container_options={"movflags": "frag_keyframe+empty_moov"}),
    "vfr.mp4": partial(write_numbered, ticks=TICKS),
}
WRONG: Mapping[str, Callable[..., Path]] = {
    "open.mp4": partial(write_numbered, params=OPEN_GOP),
    "open.mkv": partial(write_numbered, params=OPEN_GOP),
    "refresh.mp4": partial(write_numbered, params=INTRA_REFRESH),
    "hevc.mp4": partial(write_numbered, codec="libx265", params=HEVC.replace("min-keyint=24", "bframes=4")),
    "stream.ts": partial(write_numbered, params=CLOSED_GOP),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_where_accepted(decord: Any, tmp_path: Path, name: str) -> None:
    path = EXACT[name](tmp_path / name, NUM_FRAMES)
    sampled = sample_clip(path, CONFIG, reader="decord")
    ours = sample_clip(path, CONFIG, reader="pyav")
    assert sampled.reader == "decord"
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices)
    np.testing.assert_array_equal(sampled.indices, ours.indices)
    np.testing.assert_array_equal(sampled.pts_seconds, ours.pts_seconds)
    assert np.abs(sampled.frames.astype(int) - ours.frames).max() <= COLOUR_TOLERANCE
    assert (sampled.source_width, sampled.source_height) == (ours.source_width, ours.source_height)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_frames_are_the_reason_for_the_refusal(decord: Any, tmp_path: Path, name: str) -> None:
    """When decord gets these right one day, this test says so and the refusal can go."""
    path = WRONG[name](tmp_path / name, NUM_FRAMES)
    indices = sample_indices(NUM_FRAMES, 96)
    video = decord.VideoReader(str(path))
    raw = np.stack([video[index].asnumpy() for index in indices.tolist()])
    assert (frame_numbers(raw) != indices).sum() > 10
    np.testing.assert_array_equal(frame_numbers(sample_clip(path, CONFIG).frames), indices)
    with pytest.raises(ClipError, match=r"decord does not read .* exactly: .*Use reader=pyav"):
        sample_clip(path, CONFIG, reader="decord")


def test_windows(decord: Any, tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "closed.mp4", NUM_FRAMES)
    sampled = sample_clip(path, CONFIG, reader="decord", start_s=2.0, end_s=3.0)
    assert sampled.num_source_frames == 30
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices + 60)


def test_bad_files_are_reported_as_by_the_default_reader(decord: Any, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 100)
    with pytest.raises(ClipError, match="not a video file"):
        sample_clip(text, CONFIG, reader="decord")


def test_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_numbered(tmp_path / "closed.mp4", 20)
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(MissingDependencyError, match=r"\[decord\]"):
        sample_clip(path, CONFIG, reader="decord")
