"""The video that is decoded, its frames by any decoder, and whether two decoders agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import numpy as np
import torch
from av.codec.hwaccel import HWAccel
from torch.utils.dlpack import from_dlpack

from mcore_bench.gpu_frames.frames import Frame, differing, split
from mcore_bench.gpu_frames.result import DifferentError


def encode(path: Path, frames: Iterable[Frame]) -> None:
    """Write RGB frames (H, W, 3) as H.264 with B-frames, as cameras and sites do; ``write_video`` makes none."""
    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                options = {"preset": "veryfast", "crf": "18", "bf": "3", "g": "60"}
                stream = container.add_stream("libx264", rate=Fraction(60), options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())


def decode(path: Path, hwaccel: HWAccel | None = None, threads: int = 1) -> Iterator[av.VideoFrame]:
    """Yield a video's frames.

    Args:
        path: of the video.
        hwaccel: of another decoder than the processor.
        threads: 0: as many as FFmpeg likes. NVDEC gets one: each takes surfaces, of which there are 32.
    """
    with av.open(str(path), hwaccel=hwaccel) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE" if threads == 1 else "AUTO"
        stream.codec_context.thread_count = threads
        yield from container.decode(stream)


def planes(frame: av.VideoFrame) -> Frame:
    """The planes of a frame of any of the decoders as NV12, (H * 3 / 2, W), on the host."""
    if frame.format.name == "cuda":
        luma, chroma = (plane.cpu().numpy() for plane in device_planes(frame))
        return np.concatenate([luma, chroma.reshape(chroma.shape[0], -1)])
    if frame.format.name not in ("nv12", "yuv420p", "yuvj420p"):
        raise DifferentError(f"a frame is {frame.format.name}; expected are yuv420p and nv12")
    rows = [np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    packed = np.empty((frame.height * 3 // 2, frame.width), np.uint8)
    luma, chroma = split(packed)
    luma[:] = rows[0][:, : frame.width]
    if len(rows) == 2:
        packed[frame.height :] = rows[1][:, : frame.width]
    else:
        chroma[..., 0], chroma[..., 1] = (plane[:, : frame.width // 2] for plane in rows[1:])
    return packed


def device_planes(frame: av.VideoFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """Luma (H, W) and chroma (H / 2, W / 2, 2) of a frame on the device, without a copy."""
    # A capsule, because torch names a stream to whoever has __dlpack__, and PyAV 18 refuses any. Decoder and torch both
    # work on the default stream of one context, so nothing needs to wait.
    luma, chroma = (from_dlpack(plane.__dlpack__()) for plane in frame.planes[:2])
    return luma, chroma


def compare_decoders(expected: Iterable[av.VideoFrame], got: Iterable[av.VideoFrame]) -> int:
    """Count the frames of two decoders, which must agree in number, time stamps and every byte of their planes.

    Raises:
        DifferentError: they do not; says where first.
    """
    count = 0
    for count, (a, b) in enumerate(zip_longest(expected, got), 1):
        if a is None or b is None:
            raise DifferentError(f"one decoder ends after {count - 1} frames, the other goes on")
        if a.pts != b.pts:
            raise DifferentError(f"frame {count - 1} has the time stamp {b.pts}, expected {a.pts}")
        wrong = differing(other := planes(b), planes(a))
        if wrong:
            raise DifferentError(f"frame {count - 1}: {wrong} of {other.size} bytes differ")
    return count
