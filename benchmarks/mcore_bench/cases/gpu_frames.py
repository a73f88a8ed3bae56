"""From a video frame to network input on an NVIDIA GPU, by native CUDA kernels.

Every result is compared with the processor's, bit for bit, before it is timed. Not run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import tyro

import mcore_native
from mcore.common.errors import UserError
from mcore.common.optional import require
from mcore_bench.cases.preprocessing import BT601, SIDE, Frame, as_nv12, draw_frames, geometry, split_nv12, value_table
from mcore_bench.output import JsonFile, begin_result, finish_result
from mcore_bench.timing import Call, TimingGroup, TimingSettings, compare


@dataclass(frozen=True)
class GpuFramesArguments(JsonFile):
    """Time how a video frame becomes network input on an NVIDIA GPU.

        mcore-bench gpu-frames --json gpu_frames.json

    Every result is compared with the processor's first. Exit code: 0; 2 without a GPU, or where a result differs.
    """

    width: int = 1920
    """Width of the frame, pixels."""
    height: int = 1080
    """Height of the frame, pixels."""
    frames: int = 96
    """Frames in a batch, each another: a clip has 96."""
    settings: tyro.conf.OmitArgPrefixes[TimingSettings] = field(
        default_factory=lambda: TimingSettings(runs=15, seconds=0.0)
    )
    """Duration of the measurement."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.width, self.height) < 64 or self.width % 2 or self.height % 2 or self.frames < 1:
            raise UserError(f"{self.width}x{self.height}, {self.frames} frames; sides are even, at least 64 pixels")


def measure_gpu_frames(arguments: GpuFramesArguments) -> int:
    """Run ``mcore-bench gpu-frames``."""
    torch = require("torch", "bench", "Timing frames on a GPU")
    if not torch.cuda.is_available():
        raise UserError(f"torch {torch.__version__} finds no NVIDIA GPU; nothing was run. nvidia-smi shows the driver")
    if not mcore_native.HAS_CUDA:
        raise UserError("mcore_native was built without a CUDA compiler; with nvcc on the PATH: pip install .")
    result = begin_result("From a video frame to network input on the GPU")
    frames = list(draw_frames(arguments.width, arguments.height, arguments.frames))
    nv12 = [as_nv12(frame) for frame in frames]
    groups = tuple(measure_kernels(each, kind, arguments.settings) for kind, each in (("RGB", frames), ("NV12", nv12)))
    finish_result(replace(result, groups=groups), arguments.json)
    return 0


def measure_kernels(frames: list[Frame], kind: str, settings: TimingSettings) -> TimingGroup:
    """Check the kernels against the processor's code, then time batches of frames.

    Args:
        frames: RGB (H, W, 3), or NV12 (H * 3 / 2, W).
        kind: ``RGB`` or ``NV12``.
        settings: how long.

    Raises:
        UserError: the results differ.
    """
    import torch

    rgb = kind == "RGB"
    height, width = frames[0].shape[0] if rgb else frames[0].shape[0] * 2 // 3, frames[0].shape[1]
    processor_plan, plan = mcore_native.Plan(*geometry(width, height)), mcore_native.CudaPlan(*geometry(width, height))
    table, crops = value_table(), torch.empty((len(frames), 3, SIDE, SIDE), pin_memory=True)
    pinned = torch.from_numpy(np.stack(frames)).pin_memory()
    on_device, values = pinned.cuda(), torch.from_numpy(table).cuda()
    clip = torch.zeros((len(frames), 3, SIDE, SIDE), device="cuda")
    stream = torch.cuda.current_stream().cuda_stream

    picture = np.empty((SIDE, SIDE, 3), np.uint8)

    def on_processor() -> None:
        for frame, crop in zip(frames, crops.numpy(), strict=True):
            if rgb:
                processor_plan.resize(frame, picture)
            else:
                processor_plan.resize_yuv(*split_nv12(frame), BT601, picture)
            mcore_native.normalise(picture[None], table, crop.reshape(3, 1, SIDE, SIDE))
        clip.copy_(crops, non_blocking=True)

    def launch(batch: Any) -> None:
        for frame, slot in zip(batch, clip, strict=True):
            out: dict[str, Any] = {"table": values.data_ptr(), "out": slot.data_ptr(), "out_strides": slot.stride()}
            if rgb:
                plan.write(frame=frame.data_ptr(), row_stride=3 * width, pixel_stride=3, stream=stream, **out)
            else:
                u = frame.data_ptr() + width * height
                plan.write_yuv(luma=frame.data_ptr(), luma_stride=width, u=u, v=u + 1, chroma_stride=width,
                               chroma_step=2, conversion=BT601, stream=stream, **out)  # fmt: skip

    candidates: dict[str, Call] = {
        "processor, upload of the crops": on_processor,
        "upload of the frames, kernels": lambda: launch(pinned.to("cuda", non_blocking=True)),
        "frames on the device, kernels": lambda: launch(on_device),
    }
    on_processor()
    expected = crops.numpy().copy()
    for name, call in list(candidates.items())[1:]:
        clip.fill_(float("nan"))
        call()
        torch.cuda.synchronize()
        if not np.array_equal(clip.cpu().numpy(), expected):
            raise UserError(f"{kind}, {name}: not the processor's network input")
    calls = {name: partial(_finished, call, torch.cuda.synchronize) for name, call in candidates.items()}
    return compare(f"{len(frames)} {kind} frames of {width} x {height} to network input", calls, settings)


def _finished(call: Call, synchronize: Callable[[], None]) -> None:
    call()
    synchronize()
