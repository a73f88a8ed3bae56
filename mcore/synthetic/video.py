"""Encoding of frames to H.264 in MP4, the kind of file that cameras write."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.common.files import replacing


def write_video(path: str | Path, frames: Iterable[NDArray[np.uint8]], fps: int, *, crf: int = 23) -> None:
    """Write frames to a video file; it appears whole or not at all.

    Args:
        path: file to write, ending in ``.mp4``; its folder is made.
        frames: (H, W, 3) uint8 RGB, H and W even.
        fps: frames a second.
        crf: x264's quality, 0 (lossless) to 51; about 18 looks like the original.

    Raises:
        UserError: another ending, or no frames.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise UserError(f"{path}: videos are written as .mp4, got {path.suffix or 'no ending'!r}")
    with replacing(path) as temporary:
        _encode(temporary, frames, fps, crf)


def _encode(path: Path, frames: Iterable[NDArray[np.uint8]], fps: int, crf: int) -> None:
    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                # One thread and no B-frames: with either, x264 writes other bytes, and other pictures, for the same
                # frames from one run to the next (seen with PyAV 18.1), and a training on them is not repeatable.
                options = {"crf": str(crf), "preset": "veryfast", "bf": "0", **_without_avx512()}
                stream = container.add_stream("libx264", rate=fps, options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.thread_count = 1
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is None:
            raise UserError(f"{path}: no frames to write")
        container.mux(stream.encode())


@cache
def _without_avx512() -> dict[str, str]:
    """Keep x264 from AVX-512, so that files are those of processors with AVX2, and the same every time.

    With it rate control computes other bits than with AVX2, and now and then others than the run before: in 19 of 1,200
    runs on one video of 64 x 36 pixels, with AVX2 in none (libx264 of PyAV 18.1).
    """
    try:
        has_it = " avx512f" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        has_it = False
    return {"x264-params": "asm=avx2"} if has_it else {}  # what has AVX-512 has AVX2
