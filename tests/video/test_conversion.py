"""The conversion of decoded frames to RGB: the same bytes on every machine, and those that libjpeg would give.

Needs neither torch nor a bundle: run it on a device that is new.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mcore.video import native, yuv
from mcore.video.picture import as_shown, to_rgb
from mcore.video.pixel_formats import PIXEL_FORMATS, planes_of
from mcore.video.yuv import Planes, conversion

WIDTH, HEIGHT = 75, 47  # odd, and wider than two vectors
BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
HASH = "c8cbb75fbc009dbb5d1b3144e92f9d6276047051dccfb766c7652cb43ab5945c"
"""SHA-256 of all frames below as RGB, each followed by its resized picture. It changes with CONVERSION_VERSION only."""
MATRICES, RANGES = (1, 2, 4, 5, 7, 9), (1, 2)


@pytest.fixture(params=["NumPy", *(native.instruction_sets())])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    with native.computing_with(request.param):
        yield request.param


def drawn_frame(pixel_format: str, matrix: int, value_range: int) -> av.VideoFrame:
    """A frame of numbers without any pattern, the same on every machine."""
    frame = av.VideoFrame(WIDTH, HEIGHT, pixel_format)
    frame.colorspace, frame.color_range = matrix, value_range
    bits = max(component.bits for component in frame.format.components)
    shift = 16 - bits if pixel_format.startswith("p") else 0
    for number, plane in enumerate(frame.planes):
        # By row and column, not by place: how far rows lie apart depends on the processor.
        rows, columns = np.ogrid[: plane.buffer_size // plane.line_size, : plane.line_size // (1 + (bits > 8))]
        places = (rows << 16) + columns + 1_000_003 * number
        values = (places.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
        words = (values & np.uint64((1 << bits) - 1)) << np.uint64(shift)
        plane.update(words.astype(np.uint8 if bits == 8 else "<u2").tobytes())
    return frame


def test_every_machine_converts_to_the_same_bytes(way: str) -> None:
    digest = hashlib.sha256()
    small: NDArray[np.uint8] = np.empty((20, 30, 3), np.uint8)
    for pixel_format in PIXEL_FORMATS:
        for matrix in MATRICES:
            for value_range in RANGES:
                frame = drawn_frame(pixel_format, matrix, value_range)
                digest.update(to_rgb(frame).tobytes())
                native.resize(as_shown(frame), small)
                digest.update(small.tobytes())
    assert digest.hexdigest() == HASH


def plane(data: st.DataObject, height: int, width: int, kind: type[np.uint8] | type[np.uint16]) -> NDArray[np.uint8]:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    step, upside_down = data.draw(st.sampled_from([1, 1, 2, 3, 4])), data.draw(st.booleans())
    values = random.integers(0, np.iinfo(kind).max + 1, (height, width * step), kind)[:, ::step]
    return values[::-1] if upside_down else values


@settings(max_examples=150)
@given(data=st.data())
def test_native_code_computes_the_definition(data: st.DataObject) -> None:
    """On any size, strides, halving, depth and range, and where samples are larger than they may be."""
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 200))
    down, across = data.draw(st.booleans()), data.draw(st.booleans())
    depth = data.draw(st.sampled_from([8, 9, 10, 12]))
    shift = data.draw(st.sampled_from([0, 16 - depth])) if depth > 9 else 0
    kind = np.uint8 if depth == 8 else np.uint16
    shares = data.draw(st.sampled_from([BT601, BT709, BT2020]))
    numbers = conversion(*shares, depth=depth, full_range=data.draw(st.booleans()), shift=shift)
    size = (-(-height // (1 + down)), -(-width // (1 + across)))
    y = plane(data, height, width, kind)
    u, v = (plane(data, *size, kind), plane(data, *size, kind)) if data.draw(st.integers(0, 9)) else (None, None)
    picture = Planes(y, u, v, numbers)
    expected = yuv.to_rgb(picture)
    for name in native.instruction_sets():
        with native.computing_with(name):
            np.testing.assert_array_equal(native.to_rgb(picture), expected, name)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("shares", [BT601, BT709, BT2020])
@pytest.mark.parametrize("depth", [8, 10, 12])
def test_flat_colours_are_those_of_the_standard(shares: tuple[float, float], full_range: bool, depth: int) -> None:
    """Up to what is lost to whole samples, and to 8 bits before the colours are mixed, as in a JPEG."""
    red, blue = shares
    colours = np.random.default_rng(0).integers(0, 256, (500, 3)) / 255
    luma = colours @ [red, 1 - red - blue, blue]
    chroma = (colours[:, 2] - luma) / (2 - 2 * blue), (colours[:, 0] - luma) / (2 - 2 * red)
    unit, top = 1 << (depth - 8), (1 << depth) - 1
    black, white, span = (0, top, top) if full_range else (16 * unit, 219 * unit, 224 * unit)
    samples = [luma * white + black, *(c * span + 128 * unit for c in chroma)]
    kind = np.uint8 if depth == 8 else np.uint16
    y, u, v = (np.clip(np.rint(x), 0, top).astype(kind)[None] for x in samples)
    got = yuv.to_rgb(Planes(y, u, v, conversion(red, blue, depth=depth, full_range=full_range)))
    off = np.abs(got[0] - colours * 255)
    assert off.max() <= 3.5
    assert off.mean() < 0.7


@pytest.mark.parametrize(("subsampling", "down", "across"), [(2, 2, 2), (1, 1, 2), (0, 1, 1)])
def test_a_full_range_frame_is_what_libjpeg_makes_of_the_same_planes(
    way: str, subsampling: int, down: int, across: int
) -> None:
    """Squares of one colour each survive a JPEG without loss; between them lies what the upsampling makes."""
    squares = np.random.default_rng(3).integers(0, 256, (5, 7, 3), np.uint8)
    rgb = squares.repeat(16, 0).repeat(16, 1)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "jpeg", quality=100, subsampling=subsampling, qtables=[[1] * 64] * 2)
    expected = np.asarray(Image.open(file).convert("RGB"))
    stored = Image.open(file)
    stored.draft("YCbCr", stored.size)
    ycc = np.asarray(stored)[8::16, 8::16]  # in the middle of a square nothing is mixed
    y, u, v = (ycc[..., n].repeat(16, 0).repeat(16, 1) for n in range(3))
    planes = Planes(y, u[::down, ::across], v[::down, ::across], conversion(*BT601, full_range=True))
    np.testing.assert_array_equal(native.to_rgb(planes), expected)


def test_chroma_lies_between_its_pixels() -> None:
    """A step of chroma from 0 to 160 becomes quarters of it: libjpeg's "fancy upsampling"."""
    y = np.full((2, 8), 100, np.uint8)
    u = np.array([[128, 128, 128, 128]], np.uint8)
    v = np.array([[48, 48, 208, 208]], np.uint8)
    red = yuv.to_rgb(Planes(y, u, v, conversion(*BT601, full_range=True)))[0, :, 0].astype(int)
    np.testing.assert_array_equal(
        red, np.clip(100 + np.rint(1.402 * np.array([-80, -80, -80, -40, 40, 80, 80, 80])), 0, 255)
    )


@pytest.mark.parametrize("pixel_format", ["yuv420p16le", "yuv411p", "rgb48le", "gbrp", "bgra", "rgb565le"])
def test_other_formats_go_by_swscale(pixel_format: str) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (200, 120, 40), np.uint8), format="rgb24")
    other = frame.reformat(format=pixel_format)
    assert planes_of(other) is None
    assert np.abs(to_rgb(other).astype(int) - (200, 120, 40)).max() <= 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros((4, 6), np.float32)}, "uint8 or uint16"),
        ({"u": np.zeros((2, 2), np.uint8)}, "both planes of chroma must have one size"),
        ({"u": np.zeros((3, 3), np.uint8), "v": np.zeros((3, 3), np.uint8)}, "neither as large as luma"),
        ({"u": np.zeros((2, 3), np.uint16), "v": np.zeros((2, 3), np.uint16)}, "one type"),
        ({"u": None}, "both its planes"),
        ({"conversion": (0, 255, 16, 0, 128, 37303, 45941, 11277, 23401, 58065)}, "a factor of levels"),
        ({"out": np.zeros((4, 6, 4), np.uint8)}, "output must be 4 x 6 x 3"),
        ({"y": np.zeros((0, 6), np.uint8), "u": None, "v": None}, "a side is out of range"),
    ],
)
def test_wrong_planes_are_refused(change: dict[str, object], message: str) -> None:
    module = pytest.importorskip("mcore_native", reason="the native code is not built here")
    half = np.zeros((2, 3), np.uint8)
    right = {
        "y": np.zeros((4, 6), np.uint8),
        "u": half,
        "v": half,
        "conversion": conversion(*BT601),
        "out": np.zeros((4, 6, 3), np.uint8),
    }
    module.convert(**right)
    with pytest.raises(ValueError, match=message):
        module.convert(**{**right, **change})
