"""The native resize against Pillow, bit for bit, on sizes, crops and strides drawn at random."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mcore.config import ClipConfig
from mcore.video import yuv
from mcore.video.yuv import Planes, conversion

if TYPE_CHECKING:
    import mcore_native as native
else:
    native = pytest.importorskip("mcore_native", reason="the native code is not built here")

MAX_SIDE = 90
SIDES = st.integers(1, MAX_SIDE) | st.sampled_from([1, 2, 1500])


@pytest.fixture(params=native.instruction_sets())
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    before = native.instruction_set()
    native.use_instruction_set(request.param)
    yield request.param
    native.use_instruction_set(before)


def pillow(rgb: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Pillow's two passes, horizontal first whatever its version prefers."""
    narrowed = Image.fromarray(rgb).resize((width, rgb.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(narrowed.resize((width, height), Image.Resampling.BILINEAR))


class Geometry:
    """A size, another one, and a crop of that."""

    def __init__(self, data: st.DataObject) -> None:
        self.width, self.height, self.out_width, self.out_height = (data.draw(SIDES) for _ in range(4))
        self.crop_width = data.draw(st.integers(1, self.out_width))
        self.crop_height = data.draw(st.integers(1, self.out_height))
        self.left = data.draw(st.integers(0, self.out_width - self.crop_width))
        self.top = data.draw(st.integers(0, self.out_height - self.crop_height))
        self.random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))

    def plan(self) -> native.Plan:
        out = (self.out_width, self.out_height)
        return native.Plan(self.width, self.height, *out, self.left, self.top, self.crop_width, self.crop_height)

    def expected(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        resized = pillow(rgb, self.out_width, self.out_height)
        return resized[self.top : self.top + self.crop_height, self.left : self.left + self.crop_width]


@settings(max_examples=200)
@given(data=st.data())
def test_equals_pillow_in_every_instruction_set(data: st.DataObject) -> None:
    geometry = Geometry(data)
    channels, bgr = data.draw(st.sampled_from([3, 4])), data.draw(st.booleans())
    flips = [data.draw(st.sampled_from([1, -1])) for _ in range(2)]
    wide = geometry.random.integers(0, 256, (geometry.height, geometry.width + 3, channels), np.uint8)
    frame = wide[:: flips[0], 3:][:, :: flips[1]]
    expected = geometry.expected(np.ascontiguousarray(frame[..., 2::-1] if bgr else frame[..., :3]))
    plan = geometry.plan()
    got = np.empty((geometry.crop_height, geometry.crop_width, 5), np.uint8)[..., 1:4]
    before = native.instruction_set()
    for name in native.instruction_sets():
        native.use_instruction_set(name)
        for _ in range(2):  # the second frame of a plan meets the scratch of the first
            plan.resize(frame, got, bgr=bgr)
            np.testing.assert_array_equal(got, expected, name)
    native.use_instruction_set(before)


@settings(max_examples=60)
@given(data=st.data())
def test_yuv_is_converted_and_then_resized(data: st.DataObject) -> None:
    """Without a whole RGB picture in between: the same bytes as with one, wherever the crop begins."""
    geometry = Geometry(data)
    sides = (geometry.height, geometry.width)
    halved = data.draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2)]))
    depth = data.draw(st.sampled_from([8, 10]))
    kind = np.uint8 if depth == 8 else np.uint16
    sizes = (sides, *[(-(-sides[0] // halved[0]), -(-sides[1] // halved[1]))] * 2)
    y, u, v = (geometry.random.integers(0, 1 << depth, size, kind) for size in sizes)
    numbers = conversion(0.2126, 0.0722, depth=depth, full_range=data.draw(st.booleans()))
    expected = geometry.expected(yuv.to_rgb(Planes(y, u, v, numbers)))
    plan, got = geometry.plan(), np.empty((geometry.crop_height, geometry.crop_width, 3), np.uint8)
    before = native.instruction_set()
    for name in native.instruction_sets():
        native.use_instruction_set(name)
        plan.resize_yuv(y, u, v, numbers, got)
        np.testing.assert_array_equal(got, expected, name)
    native.use_instruction_set(before)


def test_sizes_of_real_cameras(instructions: str) -> None:
    config = ClipConfig()
    random = np.random.default_rng(0)
    for width, height in [(1920, 1080), (1080, 2340), (455, 256), (3840, 2160), (640, 480), (200, 112)]:
        frame = random.integers(0, 256, (height, width, 3), np.uint8)
        out = np.empty((config.resize_height, config.resize_width, 3), np.uint8)
        native.Plan(width, height, out.shape[1], out.shape[0], 0, 0, out.shape[1], out.shape[0]).resize(frame, out)
        np.testing.assert_array_equal(out, pillow(frame, out.shape[1], out.shape[0]), f"{width} x {height}")


def test_threads_may_share_a_plan() -> None:
    frames = np.random.default_rng(2).integers(0, 256, (2, 300, 500, 3), np.uint8)
    plan = native.Plan(500, 300, 60, 40, 3, 2, 50, 30)
    expected = [np.empty((30, 50, 3), np.uint8) for _ in frames]
    for frame, out in zip(frames, expected, strict=True):
        plan.resize(frame, out)
    wrong = []

    def work(i: int) -> None:
        out = np.empty((30, 50, 3), np.uint8)
        for _ in range(200):
            plan.resize(frames[i], out)
            if not np.array_equal(out, expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 4, 4, 4, 0, 0, 4, 4), "a side is out of range"),
        ((4, 40_000, 4, 4, 0, 0, 4, 4), "allowed: 1 to 32767"),
        ((4, 4, 4, 4, 1, 0, 4, 4), "the crop does not lie"),
        ((4, 4, 4, 4, 0, -1, 4, 4), "the crop does not lie"),
        ((4, 4, 4, 4, 0, 0, 5, 1), "the crop does not lie"),
    ],
)
def test_impossible_geometry_is_refused(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        native.Plan(*sizes)


FRAME, OUT = np.zeros((4, 5, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)
LOCKED = OUT.copy()
LOCKED.setflags(write=False)


@pytest.mark.parametrize(
    ("frame", "out", "message"),
    [
        (FRAME[:3], OUT, r"the frame is 3 x 5, this plan takes 4 x 5 \(height x width\)"),
        (FRAME[..., :2], OUT, "the frame has 2 channels; allowed: 3 or 4"),
        (FRAME, OUT[:1], "the output must be 2 x 3 x 3"),
        (FRAME.astype(np.float32), OUT, "incompatible function arguments"),
        (FRAME[..., 0], OUT, "incompatible function arguments"),
        (None, OUT, "incompatible function arguments"),
        (FRAME, None, "incompatible function arguments"),
        (FRAME, LOCKED, "incompatible function arguments"),
    ],
)
def test_wrong_arrays_are_refused(frame: NDArray[np.uint8], out: NDArray[np.uint8], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        native.Plan(5, 4, 6, 4, 1, 1, 3, 2).resize(frame, out)


def test_planes_of_another_size_are_refused() -> None:
    planes = (np.zeros((4, 4), np.uint8), None, None)
    with pytest.raises(ValueError, match="luma is 4 x 4, this plan takes 4 x 5"):
        native.Plan(5, 4, 6, 4, 1, 1, 3, 2).resize_yuv(*planes, conversion(0.299, 0.114), OUT.copy())


def test_unknown_instructions_are_refused() -> None:
    with pytest.raises(ValueError, match="no instruction set 'mmx'"):
        native.use_instruction_set("mmx")
