"""Image folders: order, what is ignored, and errors that name the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcore.common.errors import ClipError
from mcore.config import ClipConfig
from mcore.video import read_source_frames, sample_clip
from mcore.video.image_folder import IMAGE_SUFFIXES, list_images
from tests.numbered_video import frame_numbers, numbered_frame

CONFIG = ClipConfig(num_frames=12, resize_height=40, resize_width=48, crop_size=32)


def write_images(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(numbered_frame(number)).save(folder / name)
    return folder


@pytest.mark.parametrize("pattern", ["{}.jpg", "{:05d}.png", "img_{}.webp", "take2_{}.bmp", "{}.JPEG", "000{}.png"])
def test_frames_follow_their_numbers(tmp_path: Path, pattern: str) -> None:
    folder = write_images(tmp_path, [pattern.format(number) for number in range(1, 25)])
    sampled = sample_clip(folder, CONFIG)
    assert sampled.reader == "images"
    assert sampled.num_source_frames == 24
    np.testing.assert_array_equal(frame_numbers(sampled.frames), sampled.indices)
    np.testing.assert_allclose(sampled.pts_seconds, sampled.indices / 25)  # television's rate: images do not say
    assert (sampled.source_width, sampled.source_height) == (96, 64)


def test_other_files_are_ignored(tmp_path: Path) -> None:
    folder = write_images(tmp_path, ["1.png", "2.png", "10.png"])
    (folder / ".hidden.png").write_bytes(b"no image")
    (folder / "._1.png").write_bytes(b"resource fork")
    (folder / "labels.json").write_text("{}")
    (folder / "more.png").mkdir()
    assert [path.name for path in list_images(folder)] == ["1.png", "2.png", "10.png"]


def test_windows_and_pictures(tmp_path: Path) -> None:
    folder = write_images(tmp_path, [f"{number}.png" for number in range(50)])
    sampled = sample_clip(folder, CONFIG, start_s=1.0)
    assert frame_numbers(sampled.frames).tolist() == (sampled.indices + 25).tolist()
    pictures = read_source_frames(folder, [9, 2], max_height=32)
    assert frame_numbers(np.stack(pictures)).tolist() == [9, 2]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_any_colour_mode(tmp_path: Path, mode: str) -> None:
    for number in range(3):
        suffix = "jpg" if mode == "CMYK" else "png"
        Image.fromarray(numbered_frame(number)).convert(mode).save(tmp_path / f"{number}.{suffix}")
    np.testing.assert_array_equal(frame_numbers(sample_clip(tmp_path, CONFIG).frames)[[0, 11]], [0, 2])


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2_000])


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (7, lambda path: path.write_bytes(b""), r"7\.png cannot be read as an image"),
        (7, lambda path: path.write_bytes(b"no image at all"), r"7\.png cannot be read as an image"),
        (7, cut_short, r"7\.png cannot be read as an image"),
        (
            5,
            lambda path: Image.new("RGB", (20, 10)).save(path),
            r"5\.png is 20 x 10 pixels, the frames before it are 96 x 64",
        ),
    ],
)
def test_a_bad_image_is_named(tmp_path: Path, number: int, change: Callable[[Path], object], message: str) -> None:
    folder = write_images(tmp_path, [f"{number}.png" for number in range(12)])
    change(folder / f"{number}.png")
    with pytest.raises(ClipError, match=message):
        sample_clip(folder, CONFIG)


def test_no_clip(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="holds no images") as caught:
        sample_clip(tmp_path, CONFIG)
    assert all(suffix in str(caught.value) for suffix in IMAGE_SUFFIXES)
    with pytest.raises(ClipError, match="needs at least 2"):
        sample_clip(write_images(tmp_path, ["1.png"]), CONFIG)
    with pytest.raises(ClipError, match="needs a folder of images"):
        sample_clip(tmp_path / "1.png", CONFIG, reader="images")
