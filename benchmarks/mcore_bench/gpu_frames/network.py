"""Decoded frames to network input, from the device and from the host."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import zip_longest

import av
import numpy as np
import torch

from mcore_bench.gpu_frames.frames import CONFIG, SIDE, differing, plans, split, table_of_values
from mcore_bench.gpu_frames.result import DifferentError
from mcore_bench.gpu_frames.video import device_planes, planes

HELD = 2
"""Decoded frames that kernels may still read; a decoder has few to lend."""


class Network:
    """Decoded frames to network input: one slot after the other of a clip on the device.

    Args:
        width: of the frames, pixels.
        height: of the frames, pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.cpu_plan, self.plan = plans(width, height)
        self.table = table_of_values()
        self.device_table = torch.from_numpy(self.table).to("cuda")
        shape = (CONFIG.num_frames, 3, SIDE, SIDE)
        self.clip = torch.zeros(shape, device="cuda")
        self.crops = torch.zeros(shape, pin_memory=True)

    def from_device(self, frames: Iterable[av.VideoFrame]) -> Iterator[torch.Tensor]:
        """Yield slots (3, c, c) on the device that NVDEC's frames were written to, without a copy of a frame."""
        held: deque[tuple[av.VideoFrame, torch.cuda.Event]] = deque()
        for t, frame in enumerate(frames):
            luma, chroma = device_planes(frame)
            slot = self.clip[t % len(self.clip)]
            channel, row, column = slot.stride()
            self.plan.write_yuv(
                luma=luma.data_ptr(),
                luma_stride=luma.stride(0),
                u=chroma.data_ptr(),
                v=chroma.data_ptr() + 1,
                chroma_stride=chroma.stride(0),
                chroma_step=2,
                table=self.device_table.data_ptr(),
                out=slot.data_ptr(),
                out_strides=(channel, row, column),
            )
            read = torch.cuda.Event()
            read.record()
            held.append((frame, read))
            del luma, chroma, frame
            if len(held) > HELD:
                held[0][1].synchronize()
                held.popleft()
            yield slot
        torch.cuda.synchronize()

    def from_host(self, frames: Iterable[av.VideoFrame]) -> Iterator[torch.Tensor]:
        """As ``from_device``, by the processor's code, from frames of the processor's decoder."""
        for t, frame in enumerate(frames):
            crop, slot = self.crops[t % len(self.crops)], self.clip[t % len(self.clip)]
            self.cpu_plan.write_yuv(*split(planes(frame)), self.table, crop.numpy())
            slot.copy_(crop, non_blocking=True)
            yield slot

    def compare(self, expected: Iterable[av.VideoFrame], got: Iterable[av.VideoFrame]) -> int:
        """Count frames, all of which must give the same network input by both ways.

        Raises:
            DifferentError: they do not; says where first.
        """
        count, want = 0, np.empty((3, SIDE, SIDE), np.float32)
        for count, (frame, slot) in enumerate(zip_longest(expected, self.from_device(got)), 1):
            if frame is None or slot is None:
                raise DifferentError(f"one decoder ends after {count - 1} frames, the other goes on")
            self.cpu_plan.write_yuv(*split(planes(frame)), self.table, want)
            wrong = differing(slot.cpu().numpy(), want)
            if wrong:
                raise DifferentError(f"frame {count - 1}: {wrong} of {want.size} values differ from the processor's")
        return count
