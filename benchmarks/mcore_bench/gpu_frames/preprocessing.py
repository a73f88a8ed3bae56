"""What all ways from a batch of frames to network input share: memory, streams and plans of one geometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mcore_bench.gpu_frames.frames import NV12, RGB, SIDE, Frame, as_nv12, differing, plans, split, table_of_values
from mcore_bench.gpu_frames.result import DifferentError


@dataclass(frozen=True)
class Way:
    """From a batch of frames to network input."""

    kind: str
    name: str
    queue: Callable[[], None]
    """Queue the whole batch; ends on the stream of the kernels."""
    clip: torch.Tensor
    """(3, T, c, c), where results appear."""
    moved: tuple[str, int] | None
    """Over which bandwidth ("device" or "host") how many bytes a frame must come."""


class Preprocessing:
    """A batch of frames as RGB and NV12, on the host and on the device, and what ways work with.

    Args:
        frames: RGB, (H, W, 3) each.
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.height, self.width = (int(side) for side in frames[0].shape[:2])
        self.cpu_plan, self.plan = plans(self.width, self.height)
        self.count = len(frames)
        self.host = {RGB: _pinned(frames), NV12: _pinned([as_nv12(frame) for frame in frames])}
        self.device = {kind: batch.to("cuda") for kind, batch in self.host.items()}
        self.table = table_of_values()
        values = torch.from_numpy(self.table).to("cuda")
        self.tables = {dtype: values.to(dtype) for dtype in (torch.float32, torch.float16)}
        shape = (3, self.count, SIDE, SIDE)
        self.clips = {dtype: torch.zeros(shape, dtype=dtype, device="cuda") for dtype in self.tables}
        self.copies, self.kernels = torch.cuda.Stream(), torch.cuda.Stream()
        self.expected = {kind: self._on_processor(kind) for kind in self.host}
        torch.cuda.synchronize()

    def _on_processor(self, kind: str) -> NDArray[np.float32]:
        """What the processor's code computes, (3, T, c, c)."""
        clip = np.empty((3, self.count, SIDE, SIDE), np.float32)
        for t, frame in enumerate(self.host[kind].numpy()):
            self.write_on_processor(kind, frame, clip[:, t])
        return clip

    def write_on_processor(self, kind: str, frame: Frame, slot: NDArray[np.float32]) -> None:
        """One frame to its slot (3, c, c), in this thread."""
        if kind == RGB:
            self.cpu_plan.write(frame, self.table, slot)
        else:
            self.cpu_plan.write_yuv(*split(frame), self.table, slot)

    def launcher(self, kind: str, dtype: torch.dtype) -> Callable[[int, int, int], None]:
        """A function that queues the kernels: address of a frame, its number, address of the stream."""
        clip, table = self.clips[dtype], self.tables[dtype].data_ptr()
        channel, _, row, column = clip.stride()
        outs = [clip[:, t].data_ptr() for t in range(self.count)]
        half, strides = dtype is torch.float16, (channel, row, column)
        width, pixels = self.width, self.width * self.height

        def rgb(address: int, t: int, stream: int) -> None:
            self.plan.write(
                frame=address,
                row_stride=3 * width,
                pixel_stride=3,
                table=table,
                out=outs[t],
                out_strides=strides,
                half=half,
                stream=stream,
            )

        def nv12(address: int, t: int, stream: int) -> None:
            self.plan.write_yuv(
                luma=address,
                luma_stride=width,
                u=address + pixels,
                v=address + pixels + 1,
                chroma_stride=width,
                chroma_step=2,
                table=table,
                out=outs[t],
                out_strides=strides,
                half=half,
                stream=stream,
            )

        return rgb if kind == RGB else nv12

    def check(self, way: Way) -> None:
        """Run a way once; what it writes must be the processor's result."""
        way.clip.fill_(float("nan"))
        torch.cuda.synchronize()
        way.queue()
        torch.cuda.synchronize()
        got = way.clip.cpu().numpy()
        wrong = differing(got, self.expected[way.kind].astype(got.dtype))
        if wrong:
            raise DifferentError(f"{wrong} of {got.size} values differ from the processor's")

    def seconds(self, way: Way) -> float:
        """Run a way once, between two events."""
        torch.cuda.synchronize()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record(self.kernels)
        self.copies.wait_event(begin)
        way.queue()
        end.record(self.kernels)
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3


def _pinned(frames: Sequence[Frame]) -> torch.Tensor:
    """Copy frames into memory that the GPU copies from by itself, (T, ...)."""
    batch = torch.empty((len(frames), *frames[0].shape), dtype=torch.uint8, pin_memory=True)
    for slot, frame in zip(batch.numpy(), frames, strict=True):
        slot[:] = frame
    return batch
