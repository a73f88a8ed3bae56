"""Decoders give the same pictures on every processor. ``tools/aarch64.py`` compares processors; this, the options."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mcore.video.container import EXACT
from mcore.video.pyav_reader import decode

DCT_CODECS = ("mjpeg", "mpeg2video", "mpeg4", "h263p")
CODECS = (*DCT_CODECS, "libx264")


def write(path: Path, codec: str) -> None:
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (12, 16, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for shift in range(8):
            frame = np.roll(colours, 3 * shift, 1) // 2 + random.integers(0, 99, colours.shape, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    rows = np.frombuffer(bytes(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
    return rows[:, : frame.width]


def decoded(path: Path, options: dict[str, str]) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.options = options
        return np.stack([luma(frame) for frame in container.decode(video=0)])


@pytest.mark.parametrize("codec", CODECS)
def test_files_are_decoded_exactly(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "dive.avi"
    write(path, codec)
    frames = np.stack([luma(frame) for frame in decode(path)])
    np.testing.assert_array_equal(frames, decoded(path, EXACT))


@pytest.mark.parametrize(("codec", "reached"), [*((codec, True) for codec in DCT_CODECS), ("libx264", False)])
def test_the_options_reach_the_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, reached: bool
) -> None:
    """Another transform gives other pictures, where the codec leaves the transform open."""
    path = tmp_path / "dive.avi"
    write(path, codec)
    monkeypatch.setitem(EXACT, "idct", "int")
    frames = np.stack([luma(frame) for frame in decode(path)])
    assert (frames != decoded(path, {"idct": "simple"})).any() == reached
