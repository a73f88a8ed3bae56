"""The ways from a batch of frames to network input: processor and upload, copies and kernels, kernels, a graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from mcore_bench.gpu_frames.frames import NV12, RGB, SIDE, bytes_needed, rows_needed
from mcore_bench.gpu_frames.preprocessing import Preprocessing, Way

BUFFERS = 4
"""Frames that may be on their way to the device at once."""


def makers(work: Preprocessing) -> dict[str, Callable[[], Way]]:
    """How each way is made; making may fail."""
    found: dict[str, Callable[[], Way]] = {}
    for kind in (RGB, NV12):
        found[f"{kind}, processor"] = partial(_processor, work, kind)
        found[f"{kind}, host"] = partial(_in_place, work, kind, torch.float32, where="host")
        for dtype in (torch.float32, torch.float16):
            found[f"{kind}, copied, {_short(dtype)}"] = partial(_copied, work, kind, dtype)
            found[f"{kind}, device, {_short(dtype)}"] = partial(_in_place, work, kind, dtype, where="device")
            found[f"{kind}, graph, {_short(dtype)}"] = partial(_in_place, work, kind, dtype, where="device", graph=True)
    return found


def _processor(work: Preprocessing, kind: str) -> Way:
    """The processor's code in one thread, and the upload of each float32 crop as soon as it is there."""
    clip = work.clips[torch.float32]
    crops = torch.empty((work.count, 3, SIDE, SIDE), pin_memory=True)
    uploaded = torch.empty_like(crops, device="cuda")
    frames, slots = work.host[kind].numpy(), crops.numpy()

    def queue() -> None:
        with torch.cuda.stream(work.kernels):
            for t, frame in enumerate(frames):
                work.write_on_processor(kind, frame, slots[t])
                uploaded[t].copy_(crops[t], non_blocking=True)
            clip.copy_(uploaded.transpose(0, 1))

    return Way(kind, f"{kind}: processor + upload, float32", queue, clip, None)


def _copied(work: Preprocessing, kind: str, dtype: torch.dtype) -> Way:
    """The rows that the crop needs from pinned memory, copied while the kernels work on the frames before."""
    batch, launch = work.host[kind], work.launcher(kind, dtype)
    buffers = [torch.empty_like(batch[0], device="cuda") for _ in range(BUFFERS)]
    pieces = rows_needed(kind, work.height)
    sources = [[frame[rows] for rows in pieces] for frame in batch]  # made here: Python must not be what is timed
    targets = [[buffer[rows] for rows in pieces] for buffer in buffers]
    ready, done = ([torch.cuda.Event() for _ in buffers] for _ in range(2))
    addresses, stream = [buffer.data_ptr() for buffer in buffers], work.kernels.cuda_stream

    def queue() -> None:
        with torch.cuda.stream(work.copies):
            for t, source in enumerate(sources):
                k = t % BUFFERS
                if t >= BUFFERS:
                    work.copies.wait_event(done[k])
                for target, rows in zip(targets[k], source, strict=True):
                    target.copy_(rows, non_blocking=True)
                ready[k].record(work.copies)
                work.kernels.wait_event(ready[k])
                launch(addresses[k], t, stream)
                done[k].record(work.kernels)

    moved = ("host", bytes_needed(kind, work.width, work.height, whole_rows=True))
    return Way(kind, f"{kind} pinned: copy + kernels, {_short(dtype)}", queue, work.clips[dtype], moved)


def _in_place(work: Preprocessing, kind: str, dtype: torch.dtype, *, where: str, graph: bool = False) -> Way:
    """Kernels alone: frames are read where they lie ("device" or "host"), queued one by one or as a CUDA graph."""
    batch, launch = (work.device if where == "device" else work.host)[kind], work.launcher(kind, dtype)
    addresses = [frame.data_ptr() for frame in batch]

    def queue(stream: torch.cuda.Stream) -> None:
        for t, address in enumerate(addresses):
            launch(address, t, stream.cuda_stream)

    place = "on the device" if where == "device" else "pinned"
    name = f"{kind} {place}: kernels{' as a graph' if graph else ''}, {_short(dtype)}"
    moved = (where, bytes_needed(kind, work.width, work.height, whole_rows=False))
    if not graph:
        return Way(kind, name, partial(queue, work.kernels), work.clips[dtype], moved)
    capturing = torch.cuda.Stream()
    queue(capturing)  # kernels are loaded when they first run, which a capture forbids
    torch.cuda.synchronize()
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded, stream=capturing):
        queue(capturing)

    def replay() -> None:
        with torch.cuda.stream(work.kernels):
            recorded.replay()

    return Way(kind, name, replay, work.clips[dtype], moved)


def _short(dtype: torch.dtype) -> str:
    """The name without torch's."""
    return str(dtype).removeprefix("torch.")
