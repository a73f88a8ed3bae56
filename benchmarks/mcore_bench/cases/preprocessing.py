"""From a video frame to network input on the processor: native code, Pillow, OpenCV, FFmpeg and torch, in turns.

Every call gets another frame, of more than caches hold, as a decoder delivers them. Only native code and Pillow compute
the function that the network was trained with: each candidate says how far off it is. Frames as decoders deliver them,
in YUV, are in ``mcore-bench reading``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial

import av
import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image

import mcore_native
from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.video import normalise
from mcore_bench.report import finish_result
from mcore_bench.result import JsonFile, begin_result
from mcore_bench.timing import Call, TimingGroup, TimingSettings, compare

Frame = NDArray[np.uint8]
Convert = Callable[[Frame], NDArray[np.float32]]
"""From a frame (H, W, 3) to network input (3, c, c)."""
BASELINE = "Pillow + NumPy"

CONFIG = ClipConfig()
SIDE = CONFIG.crop_size
LEFT, TOP = (CONFIG.resize_width - SIDE) // 2, (CONFIG.resize_height - SIDE) // 2
SIZE = (CONFIG.resize_width, CONFIG.resize_height)


@dataclass(frozen=True)
class PreprocessingArguments(JsonFile):
    """Time what turns a video frame into network input.

        mcore-bench preprocessing --json benchmarks/results/preprocessing.json

    Only native code and Pillow compute what the network was trained with; each candidate says how far off it is.
    """

    width: int = 1920
    """Width of the frame, pixels."""
    height: int = 1080
    """Height of the frame, pixels."""
    frames: int = 24
    """Different frames, each of which is used again only after all the others."""
    settings: tyro.conf.OmitArgPrefixes[TimingSettings] = field(
        default_factory=lambda: TimingSettings(runs=200, seconds=0.0)
    )
    """Duration of the measurement."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.width, self.height) < 16 or self.frames < 1:
            raise UserError(f"{self.width}x{self.height}, {self.frames} frames; at least 16 pixels, 1 frame")


def measure_preprocessing(arguments: PreprocessingArguments) -> int:
    """Run ``mcore-bench preprocessing``."""
    result = begin_result("From a video frame to network input", threads=1)
    frames = list(draw_frames(arguments.width, arguments.height, arguments.frames))
    finish_result(replace(result, groups=(_measure(frames, arguments.settings),)), arguments.json)
    return 0


def draw_frames(width: int, height: int, count: int) -> Iterator[Frame]:
    """Yield frames (H, W, 3) of a smooth picture that moves under the camera."""
    size = (width + 128, height + 64)
    small = np.random.default_rng(0).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), np.uint8)
    canvas = np.array(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
    for t in range(count):
        x, y = 2 * t % 128, t % 64
        yield np.ascontiguousarray(canvas[y : y + height, x : x + width])


def _measure(frames: Sequence[Frame], settings: TimingSettings) -> TimingGroup:
    """Time candidates in turns, each call on the next frame, and compare their results with the first one's."""
    height, width = frames[0].shape[:2]
    candidates = {BASELINE: _by_pillow, **_native(width, height), **_others(frames)}
    first = {name: convert(frames[0]).copy() for name, convert in candidates.items()}
    std = np.array(CONFIG.std, np.float32)[:, None, None]  # back to grey levels
    about = {
        name: f"off by at most {float(np.abs((result - first[BASELINE]) * std).max() * 255):.1f} of 255 grey levels"
        for name, result in first.items()
    }
    turns = itertools.cycle(frames)
    calls: dict[str, Call] = {
        name: lambda convert=convert: convert(next(turns))  # type: ignore[misc]
        for name, convert in candidates.items()
    }
    title = f"{width} x {height} RGB to 3 x {SIDE} x {SIDE} float32, one thread"
    return compare(title, calls, settings, about=about)


def _native(width: int, height: int) -> dict[str, Convert]:
    """Native code with each instruction set of this processor."""
    table, cut, out = _value_table(), np.empty((SIDE, SIDE, 3), np.uint8), np.empty((3, 1, SIDE, SIDE), np.float32)
    plan = mcore_native.Plan(width, height, *SIZE, LEFT, TOP, SIDE, SIDE)

    def convert(frame: Frame, name: str) -> NDArray[np.float32]:
        mcore_native.use_instruction_set(name)
        plan.resize(frame, cut)
        mcore_native.normalise(cut[None], table, out)
        return out[:, 0]

    return {f"native, {name}": partial(convert, name=name) for name in mcore_native.instruction_sets()}


def _others(frames: Sequence[Frame]) -> dict[str, Convert]:
    """Other libraries' resizing, where they are installed, and then the same cut and table."""
    reformatter, bilinear = av.video.reformatter.VideoReformatter(), av.video.reformatter.Interpolation.BILINEAR
    # Made beforehand: FFmpeg has its pictures from a decoder, so copying them does not count.
    pictures = {id(frame): av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames}

    def swscale(frame: Frame) -> NDArray[np.float32]:
        resized = reformatter.reformat(pictures[id(frame)], *SIZE, interpolation=bilinear)
        return _crop_and_normalise(np.asarray(resized.to_ndarray(), np.uint8))

    found: dict[str, Convert] = {"FFmpeg swscale, bilinear": swscale}
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
        for name in ("INTER_AREA", "INTER_LINEAR"):
            resize = partial(cv2.resize, dsize=SIZE, interpolation=getattr(cv2, name))
            found[f"OpenCV, {name}"] = lambda frame, resize=resize: _crop_and_normalise(np.asarray(resize(frame)))  # type: ignore[misc]
    with suppress(ImportError):
        import torch

        torch.set_num_threads(1)
        mean, std = (torch.tensor(values)[:, None, None] for values in (CONFIG.mean, CONFIG.std))

        def by_torch(frame: Frame) -> NDArray[np.float32]:
            pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
            resized = torch.nn.functional.interpolate(pixels, SIZE[::-1], mode="bilinear", antialias=True)[0]
            values: NDArray[np.float32] = ((resized[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE] - mean) / std).numpy()
            return values

        found["torch, antialiased"] = by_torch
    return found


def _by_pillow(frame: Frame) -> NDArray[np.float32]:
    return _crop_and_normalise(np.asarray(Image.fromarray(frame).resize(SIZE, Image.Resampling.BILINEAR)))


def _crop_and_normalise(picture: Frame) -> NDArray[np.float32]:
    cut, table = picture[TOP : TOP + SIDE, LEFT : LEFT + SIDE], _value_table()
    return np.stack([table[channel][cut[..., channel]] for channel in range(3)])


@cache
def _value_table() -> NDArray[np.float32]:
    """Network input of every grey level, (3, 256)."""
    levels = np.arange(256, dtype=np.uint8)[None, None, :, None].repeat(3, -1)  # (1, 1, 256, 3)
    return np.ascontiguousarray(normalise(levels, CONFIG)[:, 0, 0])
