"""Preprocessing: the golden network input, channel order, crops, and a second implementation of each step."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.video import crop, native, normalise, read_clip, resize_frame, sample_clip

CONFIG = ClipConfig()
SMALL = ClipConfig(num_frames=6, resize_height=20, resize_width=14, crop_size=12)
FLOAT32_STEPS = 4e-7  # two roundings of values up to 2.7
MEAN_TOLERANCE = 1e-6  # order of summation


@pytest.mark.reference
@pytest.mark.parametrize("name", ["exemplar1"])  # the shortest; the other two run through the whole network elsewhere
def test_golden_network_input(golden: ModuleType, reference_dir: Path, tmp_path: Path, name: str) -> None:
    for k, frame in enumerate(golden.frames(name, 1), start=1):
        Image.fromarray(frame).save(tmp_path / f"{k:05d}.png", compress_level=0)
    clip = read_clip(tmp_path)
    values = np.load(reference_dir / "golden_a.npz")
    assert clip.shape == (3, 96, 112, 112)
    np.testing.assert_array_equal(clip[::3, ::8, ::7, ::7], values[f"{name}/input_probe"])
    assert clip.mean(dtype=np.float64) == pytest.approx(float(values[f"{name}/input_mean"]), abs=MEAN_TOLERANCE)


def test_channels_are_red_green_blue() -> None:
    frames = np.empty((1, 112, 112, 3), np.uint8)
    frames[:] = (255, 128, 0)
    clip = normalise(frames, CONFIG)
    expected = [(1 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (0 - 0.406) / 0.225]
    np.testing.assert_allclose(clip[:, 0, 50, 50], expected, rtol=0, atol=FLOAT32_STEPS)


def test_normalise_is_the_plain_formula_for_every_value() -> None:
    frames = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    plain = (frames.astype(np.float32) / 255 - np.array(CONFIG.mean, np.float32)) / np.array(CONFIG.std, np.float32)
    clip = normalise(frames, CONFIG)
    assert clip.dtype == np.float32
    assert clip.flags.c_contiguous
    np.testing.assert_array_equal(clip, plain.transpose(3, 0, 1, 2))


def test_resize_is_antialiased_and_ignores_the_aspect_ratio() -> None:
    stripes = np.zeros((400, 1_120, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than the resized frame can show
    small = resize_frame(stripes, CONFIG)
    assert small.shape == (200, 112, 3)
    assert np.abs(small[:, 2:-2].astype(int) - 127).max() <= 4


@pytest.mark.parametrize(("place", "first_row"), [((), 44), ((0, 0), 0), ((88, 0), 88), ((13, 0), 13)])
def test_crop(place: tuple[int, ...], first_row: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 200, 112, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop(frames, CONFIG, *place), frames[:, first_row : first_row + 112])


@pytest.mark.parametrize(("top", "left"), [(-1, 0), (89, 0), (0, 1)])
def test_crop_outside_the_frame(top: int, left: int) -> None:
    with pytest.raises(UserError, match="does not lie in a frame"):
        crop(np.zeros((1, 200, 112, 3), np.uint8), CONFIG, top, left)


@pytest.mark.parametrize("way", ["NumPy", *native.instruction_sets()])
def test_the_centre_alone_is_the_centre_of_the_whole(way: str) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (270, 480, 3), dtype=np.uint8)
    with native.computing_with(way):
        centre = resize_frame(picture, CONFIG, central=True)
        np.testing.assert_array_equal(centre, crop(resize_frame(picture, CONFIG)[None], CONFIG)[0])
        np.testing.assert_array_equal(crop(centre[None], CONFIG)[0], centre)
        with pytest.raises(ValueError, match=r"crop does not lie|larger than"):
            native.resize(picture, np.empty((300, 112, 3), np.uint8), (200, 112))


def test_short_clips_repeat_frames(tmp_path: Path) -> None:
    for k, value in enumerate((10, 200)):
        Image.new("RGB", (30, 20), (value, value, value)).save(tmp_path / f"{k}.png")
    sampled = sample_clip(tmp_path, SMALL)
    assert sampled.indices.tolist() == [0, 0, 0, 0, 0, 1]
    assert sampled.frames[:, 0, 0, 0].tolist() == [10, 10, 10, 10, 10, 200]
    assert read_clip(tmp_path, SMALL).shape == (3, 6, 12, 12)
