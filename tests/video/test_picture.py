"""Pictures as they are meant to be shown: orientation, colour tags and pixel formats."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.config import ClipConfig
from mcore.video import read_source_frames, sample_clip
from mcore.video.picture import to_rgb
from tests.numbered_video import write_numbered

Picture = NDArray[np.uint8]
ONE = 1 << 16
CODING_LOSS = 4  # levels, of a flat colour at high quality
CONFIG = ClipConfig(num_frames=4, resize_height=40, resize_width=48, crop_size=32)

# name: (a, b, c, d) of the display matrix, and the same turn in NumPy
ORIENTATIONS: Mapping[str, tuple[tuple[int, int, int, int], Callable[[Picture], Picture]]] = {
    "upright": ((1, 0, 0, 1), lambda x: x),
    "90 clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "180": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "90 counterclockwise": ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda x: x[::-1]),
    "transposed": ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
    "transverse": ((0, -1, -1, 0), lambda x: np.rot90(x, 2).swapaxes(0, 1)),
}


def set_display_matrix(path: Path, values: tuple[int, int, int, int]) -> None:
    """Write an orientation into an MP4's track header, as a phone does (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    body = data.index(b"tkhd") + 4
    position = body + 4 + (32 if data[body] == 1 else 20) + 16
    a, b, c, d = (value * ONE for value in values)
    data[position : position + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_orientation(tmp_path: Path, name: str) -> None:
    matrix, turn = ORIENTATIONS[name]
    path = write_numbered(tmp_path / "video.mp4", 5)
    plain = read_source_frames(path, [3], max_height=1_000)[0]
    set_display_matrix(path, matrix)
    turned = read_source_frames(path, [3], max_height=1_000)[0]
    np.testing.assert_array_equal(turned, turn(plain))
    sampled = sample_clip(path, CONFIG)
    assert (sampled.source_height, sampled.source_width) == turned.shape[:2]


def write_colour(
    path: Path, rgb: tuple[int, int, int], pixel_format: str, matrix: int = 1, value_range: int = 1
) -> None:
    """Encode ten frames of one colour; matrix 1 is BT.709, 5 BT.601, 2 untagged; range 1 is limited, 2 full."""
    colour: NDArray[np.uint8] = np.full((48, 64, 3), rgb, np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        stream.options = {"crf": "1"}
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, value_range
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(colour, format="rgb24")
            standard = "ITU709" if matrix == 1 else "ITU601"
            frame = frame.reformat(
                format=pixel_format, dst_colorspace=standard, dst_color_range="JPEG" if value_range == 2 else "MPEG"
            )
            frame.colorspace, frame.color_range = matrix, value_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("value_range", [1, 2])
@pytest.mark.parametrize("matrix", [1, 5, 2])
@pytest.mark.parametrize("rgb", [(30, 200, 90), (200, 40, 30), (255, 255, 255)])
def test_colour_tags_are_followed(tmp_path: Path, rgb: tuple[int, int, int], matrix: int, value_range: int) -> None:
    """Read with the wrong matrix, (30, 200, 90) is off by 24 levels; untagged video counts as BT.601."""
    write_colour(tmp_path / "colour.mp4", rgb, "yuv420p", matrix, value_range)
    picture = read_source_frames(tmp_path / "colour.mp4", [5], max_height=48)[0]
    assert np.abs(picture.astype(int) - rgb).max() <= CODING_LOSS


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p", "yuv444p", "nv12"])
def test_pixel_formats(tmp_path: Path, pixel_format: str) -> None:
    write_colour(tmp_path / "colour.mp4", (200, 120, 40), pixel_format)
    picture = read_source_frames(tmp_path / "colour.mp4", [5], max_height=48)[0]
    assert picture.dtype == np.uint8
    assert np.abs(picture.astype(int) - (200, 120, 40)).max() <= CODING_LOSS


def test_grey_video_has_three_equal_channels(tmp_path: Path) -> None:
    write_colour(tmp_path / "grey.mkv", (120, 120, 120), "gray")
    picture = read_source_frames(tmp_path / "grey.mkv", [5], max_height=48)[0]
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture.astype(int) - 120).max() <= CODING_LOSS


def test_odd_sizes_and_alpha(tmp_path: Path) -> None:
    """PNG video carries alpha and any size; 4:2:0 could not."""
    path = tmp_path / "odd.mov"
    rgba: NDArray[np.uint8] = np.full((37, 51, 4), (10, 200, 100, 128), np.uint8)
    rgba[:, :7] = (255, 0, 0, 255)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=30)
        stream.width, stream.height, stream.pix_fmt = 51, 37, "rgba"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
        container.mux(stream.encode(None))
    picture = read_source_frames(path, [2], max_height=100)[0]
    np.testing.assert_array_equal(picture, rgba[..., :3])


def test_frames_of_any_size_and_format_are_close_to_swscale() -> None:
    """swscale repeats chroma, which is smooth here."""
    ramps = np.stack(np.meshgrid(np.arange(0, 140, 2), np.arange(0, 92, 2)), -1)[:46, :70]
    colour = np.dstack([ramps + 60, 200 - ramps[..., :1]]).astype(np.uint8)
    frames = []
    for height, width, pixel_format in (
        (46, 70, "yuv420p"),
        (40, 64, "yuv422p"),
        (46, 64, "yuv444p"),
        (46, 70, "rgb24"),
    ):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colour[:height, :width]), format="rgb24")
        frames.append(frame.reformat(format=pixel_format))
    with ThreadPoolExecutor(2) as pool:
        elsewhere = list(pool.map(to_rgb, frames))
    for frame, other in zip(frames, elsewhere, strict=True):
        picture = to_rgb(frame)
        np.testing.assert_array_equal(other, picture)
        off = np.abs(picture.astype(int) - frame.to_ndarray(format="rgb24"))
        assert off.max() <= 6
        assert off.mean() < 1.5
        assert picture.flags.c_contiguous
