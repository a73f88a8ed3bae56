"""From a video frame to network input on the processor: native code, Pillow, OpenCV, FFmpeg and torch, in turns.

Every call gets another frame, of more than caches hold, as a decoder delivers them. Only native code and Pillow compute
the function that the network was trained with: each candidate says how far off it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import av
import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image

import mcore_native
from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.video import normalise
from mcore.video.yuv import conversion
from mcore_bench.output import JsonFile, begin_result, finish_result
from mcore_bench.timing import Call, TimingGroup, TimingSettings, compare

FloatArray = NDArray[np.float32]
Frame = NDArray[np.uint8]
Convert = Callable[[int], FloatArray]
"""From the number of a frame to (3, c, c)."""
BASELINE = "Pillow + NumPy"
BT601 = conversion(0.299, 0.114)

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
    size = f"{arguments.width} x {arguments.height}"
    groups = (
        measure(f"{size} RGB to 3 x {SIDE} x {SIDE} float32, one thread", rgb_candidates(frames), frames, arguments),
        measure(f"{size} NV12 to the same", nv12_candidates(frames), frames, arguments),
    )
    finish_result(replace(result, groups=groups), arguments.json)
    return 0


def measure(
    title: str, candidates: Mapping[str, Convert], frames: Sequence[Frame], arguments: PreprocessingArguments
) -> TimingGroup:
    """Time candidates in turns, each call on the next frame, and compare their results with the first one's."""
    first = {name: convert(0).copy() for name, convert in candidates.items()}
    reference = next(iter(first.values()))
    std = np.array(CONFIG.std, np.float32)[:, None, None]  # back to grey levels
    about = {
        name: f"off by at most {float(np.abs((result - reference) * std).max() * 255):.1f} of 255 grey levels"
        for name, result in first.items()
    }
    numbers = itertools.cycle(range(len(frames)))
    calls: dict[str, Call] = {
        name: lambda convert=convert: convert(next(numbers))  # type: ignore[misc]
        for name, convert in candidates.items()
    }
    return compare(title, calls, arguments.settings, about=about)


def draw_frames(width: int, height: int, count: int) -> Iterator[Frame]:
    """Yield frames (H, W, 3) of a smooth picture that moves under the camera."""
    size = (width + 128, height + 64)
    small = np.random.default_rng(0).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), np.uint8)
    canvas = np.array(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
    for t in range(count):
        x, y = 2 * t % 128, t % 64
        yield np.ascontiguousarray(canvas[y : y + height, x : x + width])


def value_table() -> FloatArray:
    """Return the network input of every grey level, (3, 256)."""
    levels = np.arange(256, dtype=np.uint8)[None, None, :, None].repeat(3, -1)  # (1, 1, 256, 3)
    return np.ascontiguousarray(normalise(levels, CONFIG)[:, 0, 0])


def geometry(width: int, height: int) -> tuple[int, int, int, int, int, int, int, int]:
    """Arguments of the native plans for frames of this size."""
    return width, height, *SIZE, LEFT, TOP, SIDE, SIDE


def rgb_candidates(frames: Sequence[Frame]) -> dict[str, Convert]:
    """Return the ways from packed RGB frames (H, W, 3) to (3, c, c)."""
    height, width = frames[0].shape[:2]
    table, crop, out = value_table(), np.empty((SIDE, SIDE, 3), np.uint8), np.empty((3, 1, SIDE, SIDE), np.float32)
    plan = mcore_native.Plan(*geometry(width, height))
    pictures = [av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames]
    reformatter = av.video.reformatter.VideoReformatter()

    def native(i: int, name: str) -> FloatArray:
        mcore_native.use_instruction_set(name)
        plan.resize(frames[i], crop)
        mcore_native.normalise(crop[None], table, out)
        return out[:, 0]

    def swscale(i: int) -> FloatArray:
        bilinear = av.video.reformatter.Interpolation.BILINEAR
        return _crop_and_normalise(reformatter.reformat(pictures[i], *SIZE, interpolation=bilinear).to_ndarray(), table)

    found: dict[str, Convert] = {BASELINE: lambda i: _by_pillow(frames[i], table)}
    for name in mcore_native.instruction_sets():
        found[f"native, {name}"] = lambda i, name=name: native(i, name)  # type: ignore[misc]
    found["FFmpeg swscale, bilinear"] = swscale
    return {**found, **_opencv_candidates(frames, table), **_torch_candidate(frames)}


def nv12_candidates(frames: Sequence[Frame]) -> dict[str, Convert]:
    """Return the ways from NV12 frames, as hardware decoders deliver them."""
    height, width = frames[0].shape[:2]
    table, crop, out = value_table(), np.empty((SIDE, SIDE, 3), np.uint8), np.empty((3, 1, SIDE, SIDE), np.float32)
    plan = mcore_native.Plan(*geometry(width, height))
    nv12 = [as_nv12(frame) for frame in frames]
    pictures = [av.VideoFrame.from_ndarray(frame, format="nv12") for frame in nv12]

    def native(i: int) -> FloatArray:
        plan.resize_yuv(*split_nv12(nv12[i]), BT601, crop)
        mcore_native.normalise(crop[None], table, out)
        return out[:, 0]

    return {
        f"swscale to RGB, {BASELINE}": lambda i: _by_pillow(pictures[i].to_ndarray(format="rgb24"), table),
        "native": native,
    }


def as_nv12(frame: Frame) -> Frame:
    """Take an RGB frame's values for luma and chroma, (H * 3 / 2, W)."""
    height, width = frame.shape[:2]
    chroma = frame[: height // 2, : width // 2, 1:].reshape(height // 2, width)
    return np.concatenate([frame[..., 0], chroma])


def split_nv12(nv12: Frame) -> tuple[Frame, Frame, Frame]:
    """Return luma (H, W) and both chromas (H / 2, W / 2) of an NV12 frame."""
    height = len(nv12) * 2 // 3
    return nv12[:height], nv12[height:, ::2], nv12[height:, 1::2]


def _by_pillow(frame: NDArray[Any], table: FloatArray) -> FloatArray:
    resized = Image.fromarray(frame).resize(SIZE, Image.Resampling.BILINEAR)
    return _crop_and_normalise(np.asarray(resized), table)


def _crop_and_normalise(picture: NDArray[Any], table: FloatArray) -> FloatArray:
    cut = picture[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    return np.stack([table[channel][cut[..., channel]] for channel in range(3)])


def _opencv_candidates(frames: Sequence[Frame], table: FloatArray) -> dict[str, Convert]:
    """OpenCV's resize with one thread, where it is installed."""
    try:
        import cv2
    except ImportError:
        return {}
    cv2.setNumThreads(1)

    def resize(i: int, interpolation: int) -> FloatArray:
        return _crop_and_normalise(np.asarray(cv2.resize(frames[i], SIZE, interpolation=interpolation)), table)

    return {
        "OpenCV, INTER_AREA": lambda i: resize(i, cv2.INTER_AREA),
        "OpenCV, INTER_LINEAR": lambda i: resize(i, cv2.INTER_LINEAR),
    }


def _torch_candidate(frames: Sequence[Frame]) -> dict[str, Convert]:
    """Preprocessing by torchvision: float32, channels first, antialiased bilinear; nothing without torch."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)
    mean, std = (torch.tensor(values)[:, None, None] for values in (CONFIG.mean, CONFIG.std))

    def run(i: int) -> FloatArray:
        pixels = torch.from_numpy(frames[i]).permute(2, 0, 1)[None].float() / 255
        resized = torch.nn.functional.interpolate(pixels, SIZE[::-1], mode="bilinear", antialias=True)[0]
        values: FloatArray = ((resized[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE] - mean) / std).numpy()
        return values

    return {"torch, antialiased": run}
