"""Image folders: order, what is ignored, and errors that name the file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mcore.common.errors import ClipError
from mcore.config import ClipConfig
from mcore.video import read_source_frames, sample_clip
from mcore.video.image_folder import IMAGE_SUFFIXES, image_numbers, list_images, read_image
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


@pytest.mark.parametrize(
    ("pattern", "numbers", "note"),
    [
        (
            "img_{}.png",
            [*range(20), *range(900, 920)],
            ("880 image(s) missing, first between img_19.png and img_900.png",),
        ),
        ("img_{}.png", [0, 2, 4, 6, 10, 12], ("1 image(s) missing, first between img_6.png and img_10.png",)),
        ("take 2, {}.png", [9, 10, 12], ("1 image(s) missing, first between take 2, 10.png and take 2, 12.png",)),
        ("{:.2f}.png", [0.0, 0.04, 0.08, 0.16], ("1 image(s) missing, first between 0.08.png and 0.16.png",)),
        ("img_{}.png", [0, 5, 10, 15], ()),  # every fifth frame of a film
    ],
)
def test_images_that_are_missing_are_said(
    tmp_path: Path, pattern: str, numbers: list[float], note: tuple[str, ...]
) -> None:
    sampled = sample_clip(write_images(tmp_path, [pattern.format(number) for number in numbers]), CONFIG)
    assert sampled.notes[: len(note)] == note
    assert len([text for text in sampled.notes if "missing" in text]) == len(note)


def test_windows_and_pictures(tmp_path: Path) -> None:
    folder = write_images(tmp_path, [f"{number}.png" for number in range(50)])
    sampled = sample_clip(folder, CONFIG, start_s=1.0)
    assert frame_numbers(sampled.frames).tolist() == (sampled.indices + 25).tolist()
    pictures = read_source_frames(folder, [9, 2], max_height=32)
    assert frame_numbers(np.stack(pictures)).tolist() == [9, 2]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_any_colour_mode(tmp_path: Path, mode: str) -> None:
    for number in range(3):
        suffix = "jpg" if mode == "CMYK" else "png"
        Image.fromarray(numbered_frame(number)).convert(mode).save(tmp_path / f"{number}.{suffix}")
    np.testing.assert_array_equal(frame_numbers(sample_clip(tmp_path, CONFIG).frames)[[0, 11]], [0, 2])


GREY: NDArray[np.uint8] = np.asarray(Image.fromarray(numbered_frame(5)).convert("L"))


@pytest.mark.parametrize("scale", [256, 257])  # both are used to make 16 bits of 8
def test_16_bits_mean_the_same_as_8(tmp_path: Path, scale: int) -> None:
    Image.fromarray(GREY.astype(np.uint16) * scale).save(tmp_path / "deep.png")
    rgb = read_image(tmp_path / "deep.png")
    assert rgb.shape == (*GREY.shape, 3)
    np.testing.assert_array_equal(rgb, np.repeat(GREY[..., None], 3, axis=2))


def write_png(path: Path, colour_type: int, pixels: NDArray[np.uint16]) -> None:
    """Write a PNG of 16 bits, which Pillow itself writes in grey only."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bits_of_several_channels(tmp_path: Path, colour_type: int, channels: int) -> None:
    colour = numbered_frame(5) if channels > 2 else np.repeat(GREY[..., None], 3, axis=2)
    shown = colour[..., : 3 if channels > 2 else 1].astype(np.uint16) * 257
    alpha = [np.full((*GREY.shape, 1), 65535, np.uint16)] if channels in (2, 4) else []
    write_png(tmp_path / "deep.png", colour_type, np.concatenate([shown, *alpha], axis=2))
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), colour)


def test_a_palette_with_transparency_keeps_its_colours(tmp_path: Path) -> None:
    palette = Image.fromarray(numbered_frame(5)).quantize(16)
    palette.save(tmp_path / "palette.png", transparency=3)
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))


TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: np.rot90(x, 2),
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x, 1),
}
"""What a viewer does with the stored pixels for each orientation of EXIF."""


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
@pytest.mark.parametrize("orientation", TURNS)
def test_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"1.{suffix}"
    Image.fromarray(numbered_frame(5)).save(path, exif=exif, lossless=True)
    with Image.open(path) as image:
        stored = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_image(path), TURNS[orientation](stored))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_orientation_is_refused_or_ignored_by_name(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    Image.fromarray(numbered_frame(5)).save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12\0\3\0\0\xff\xff\0\6")
    try:
        assert read_image(path).shape == (64, 96, 3)
    except ClipError as error:
        assert "1.jpg" in str(error)  # noqa: PT017 - one of two outcomes


def write_animation(path: Path) -> None:
    first, second = (Image.fromarray(numbered_frame(number)) for number in (1, 2))
    first.save(path, save_all=True, append_images=[second])


def write_huge(path: Path) -> None:
    """A head that speaks of 20,000 x 20,000 pixels, and nothing behind it."""
    write_png(path, 0, np.zeros((4, 4), np.uint16))
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


def write_postscript(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("1.webp", write_animation, "an animation"),
        ("1.png", write_animation, "an animation"),
        ("1.png", write_huge, "decompression bomb"),
        ("1.bmp", lambda path: Image.new("L", (9_000, 9_000)).save(path), "9000 x 9000 pixels"),
        ("1.png", lambda path: Image.new("RGB", (40_000, 16)).save(path), "40000 x 16 pixels; allowed: 8 to 32,767"),
        ("1.png", lambda path: Image.new("RGB", (16, 40_000)).save(path), "16 x 40000 pixels"),
        ("1.png", lambda path: Image.new("RGB", (1, 1)).save(path), "1 x 1 pixels"),
        ("1.png", write_postscript, "cannot identify"),
        ("1.png", lambda path: Image.new("F", (4, 4)).save(path, "TIFF"), "cannot identify"),
    ],
)
def test_pictures_that_are_refused(tmp_path: Path, name: str, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / name)
    with pytest.raises(ClipError, match=message):
        read_image(tmp_path / name)


def names(*patterns: str, numbers: Iterable[int] = range(1, 4)) -> list[str]:
    return [pattern.format(number) for pattern in patterns for number in numbers]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (names("img_{:05d}.jpg", "flow_x_{:05d}.jpg"), r"flow_x_#\.jpg \(3\), img_#\.jpg \(3\)"),
        (names("{:04d}.jpg", "{:04d}.png"), r"#\.jpg \(3\), #\.png \(3\)"),
        ([*names("{:04d}.jpg"), "0001 (1).jpg"], r"#\.jpg \(3\), # \(#\)\.jpg \(1\)"),
        ([*names("{:04d}.jpg"), "cover.jpg"], r"cover\.jpg \(1\)"),
        (names("cam1_{:03d}.jpg", "cam2_{:03d}.jpg"), r"cam1_#\.jpg \(3\), cam2_#\.jpg \(3\)"),
        (["a.png", "b.png", "c.png"], r"a\.png \(1\), b\.png \(1\), c\.png \(1\)"),
        (["1.png", "01.png"], r"two images of one number, 01\.png and 1\.png"),
        (["1.jpg", "1.jpeg", "2.jpg"], r"two images of one number, 1\.jpeg and 1\.jpg"),
        (["0.5.png", "0.25.png"], r"order .* is not certain"),
        (["shot1.9.png", "shot1.10.png"], r"order .* is not certain"),
        (["-1.png", "-2.png"], r"order .* is not certain"),
    ],
)
def test_one_series_to_a_folder(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(ClipError, match=message):
        list_images(write_images(tmp_path, files))


@pytest.mark.parametrize(
    "files",
    [
        ["0.96.png", "1.00.png", "1.04.png", "10.00.png"],
        ["-10.png", "-2.png", "0.png", "3.png"],
        ["t_-0.04.png", "t_0.00.png", "t_0.04.png"],
        ["dive-2.jpg", "dive-10.JPEG", "dive-11.jpg"],
        ["2024_heat3_9_left.png", "2024_heat3_10_left.png"],
        ["frame (2).png", "frame (10).png"],
    ],
)
def test_numbers_in_names(tmp_path: Path, files: list[str]) -> None:
    write_images(tmp_path, files)
    assert [path.name for path in list_images(tmp_path)] == files


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=12, unique=True), st.integers(1, 7), st.sampled_from("x_-( ")
)
def test_any_numbers_come_in_order(numbers: list[int], digits: int, before: str) -> None:
    paths = [Path(f"take{before}{number:0{digits}d}.png") for number in numbers]
    read = image_numbers(paths)
    assert len(numbers) == 1 or read == numbers


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
