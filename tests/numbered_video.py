"""Small videos whose frames carry their number as black and white blocks, which survives lossy compression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

NUM_BITS = 8
WIDTH, HEIGHT = 96, 64
FPS = 30

CLOSED_GOP = "keyint=24:min-keyint=2:bframes=2:b-adapt=0:scenecut=0:open-gop=0"
OPEN_GOP = "keyint=24:min-keyint=2:bframes=2:b-adapt=0:scenecut=0:open-gop=1"
INTRA_REFRESH = "keyint=24:min-keyint=2:bframes=0:scenecut=0:intra-refresh=1"
HEVC = "keyint=24:min-keyint=24:log-level=none"

_BACKGROUND = np.random.default_rng(0).integers(40, 90, (HEIGHT, WIDTH + 256, 3), dtype=np.uint8)


def numbered_frame(number: int) -> NDArray[np.uint8]:
    """A moving background with the number's bits, lowest first, as blocks across the upper half."""
    frame: NDArray[np.uint8] = _BACKGROUND[:, number : number + WIDTH].copy()
    block = WIDTH // NUM_BITS
    for bit in range(NUM_BITS):
        frame[: HEIGHT // 2, bit * block : (bit + 1) * block] = 255 if number >> bit & 1 else 0
    return frame


def frame_numbers(frames: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Read the numbers back from frames (T, h, w, 3) of any size."""
    height, width = frames.shape[1:3]
    columns = ((np.arange(NUM_BITS) + 0.5) * width / NUM_BITS).astype(int)
    bits = frames[:, height // 6][:, columns, 1] > 128  # (T, bits)
    numbers: NDArray[np.int64] = (bits << np.arange(NUM_BITS)).sum(axis=1)
    return numbers


def write_numbered(
    path: Path,
    num_frames: int = 150,
    *,
    codec: str = "libx264",
    params: str = CLOSED_GOP,
    rate: int = FPS,
    muxer: str | None = None,
    container_options: Mapping[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    audio_s: float = 0.0,
) -> Path:
    """Encode a numbered video.

    Args:
        path: its suffix chooses the container, unless ``muxer`` is given.
        num_frames: at most 256.
        codec: libx264, libx265 or another encoder.
        params: x264's or x265's own options.
        rate: frames per second.
        muxer: FFmpeg's name of the format.
        container_options: of the muxer.
        ticks: presentation times in frame periods, for a variable rate.
        audio_s: seconds of silence beside the video.
    """
    names = {"libx264": "x264-params", "libx265": "x265-params"}
    with av.open(str(path), "w", format=muxer, options=dict(container_options or {})) as container:
        options = {names[codec]: params} if codec in names else {}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1  # on a busy machine x264's threads write another file now and then
        if codec not in names:
            stream.codec_context.bit_rate = 2_000_000
        if audio_s:
            write_silence(container, audio_s)
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame.pts = number if ticks is None else ticks[number]
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_silence(container: av.container.OutputContainer, seconds: float) -> None:
    """Add a silent sound track."""
    rate, samples = 16_000, 1_024
    stream = container.add_stream("aac", rate=rate)
    for k in range(int(seconds * rate / samples)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, k * samples
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
