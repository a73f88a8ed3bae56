"""Frames that are neither wanted nor needed by others are not decoded; the rest are the same to the byte."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mcore.config import ClipConfig
from mcore.video import container, pyav_reader, sample_clip
from mcore.video.nal_units import read_picture
from mcore.video.packets import PacketScan
from tests.numbered_video import CLOSED_GOP, HEVC, OPEN_GOP, frame_numbers, write_numbered

CONFIG = ClipConfig(num_frames=24, resize_height=40, resize_width=48, crop_size=32)
NUM_FRAMES = 150
PYRAMID = "keyint=60:bframes=7:b-adapt=0:b-pyramid=normal:scenecut=0:ref=4:slices=3"
LAYERS = "keyint=40:bframes=4:b-adapt=0:temporal-layers=3:log-level=none"
VIDEOS: Mapping[str, Mapping[str, Any]] = {
    "closed.mp4": {"params": CLOSED_GOP},
    "open.mkv": {"params": OPEN_GOP},
    "pyramid.ts": {"params": PYRAMID},
    "interlaced.mp4": {"params": PYRAMID + ":tff=1"},
    "hevc.mp4": {"codec": "libx265", "params": HEVC},
    "hevc_layers.mkv": {"codec": "libx265", "params": LAYERS},
    "hevc.ts": {"codec": "libx265", "params": HEVC},
}


@pytest.mark.parametrize("name", VIDEOS)
def test_the_pictures_are_those_of_decoding_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = write_numbered(tmp_path / name, NUM_FRAMES, **VIDEOS[name])
    left_out: list[int] = []
    decode = pyav_reader.decode

    def count(
        path: Path, *, without: Collection[int | None] = (), **keywords: Any
    ) -> Generator[av.VideoFrame, None, None]:
        left_out.append(len(without))
        return decode(path, without=without, **keywords)

    monkeypatch.setattr(pyav_reader, "decode", count)
    for start_s, end_s in ((None, None), (1.3, None), (0.7, 4.1)):
        left_out.clear()
        fast = sample_clip(path, CONFIG, start_s=start_s, end_s=end_s)
        assert len(left_out) == 1
        assert left_out[0] > 25
        with monkeypatch.context() as patched:
            patched.setattr(PacketScan, "unneeded", lambda _: frozenset())
            patched.setattr(container, "_is_mp4", lambda _: False)  # nor is a file opened quickly
            slow = sample_clip(path, CONFIG, start_s=start_s, end_s=end_s)
        np.testing.assert_array_equal(fast.frames, slow.frames)
        np.testing.assert_array_equal(fast.indices, slow.indices)
        np.testing.assert_array_equal(fast.pts_seconds, slow.pts_seconds)
        first = round((start_s or 0) * 30)
        np.testing.assert_array_equal(frame_numbers(fast.frames), fast.indices + first)


@pytest.mark.parametrize(
    ("codec", "packet", "is_reference", "temporal_layer"),
    [
        ("h264", b"\0\0\1\x09\x10\0\0\1\x41\x9a", True, 0),  # delimiter, then a P slice
        ("h264", b"\0\0\1\x09\x10\0\0\1\x01\x9a", False, 0),
        ("h264", b"\0\0\1\x41\x9a\0\0\1\x01\x9a.", True, 0),  # two fields: the first one is referred to
        ("h264", b"\0\0\1\x06\x05", True, 0),  # no picture
        ("hevc", b"\0\0\1\x00\x01.", False, 0),  # TRAIL_N
        ("hevc", b"\0\0\1\x02\x03.", True, 2),  # TRAIL_R of the third layer
        ("hevc", b"\0\0\1\x12\x01.", True, 0),  # RASL_R
        ("hevc", b"\0\0\1\x10\x01.", False, 0),  # RASL_N
        ("vp9", b"\0\0\1\x01\x9a.", True, 0),
        ("h264", b"", True, 0),
    ],
)
def test_headers_tell_who_needs_a_picture(codec: str, packet: bytes, is_reference: bool, temporal_layer: int) -> None:
    picture = read_picture(codec, packet, b"")
    assert (picture.is_reference, picture.temporal_layer) == (is_reference, temporal_layer)
