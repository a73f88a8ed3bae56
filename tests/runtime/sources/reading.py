"""Reading of a source in tests, with a limit to every wait."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from mcore_runtime.sources import Frame, Source, SourceState
from mcore_runtime.sources.frame import Picture
from tests.numbered_video import frame_numbers
from tests.runtime.waiting import wait_until

TIMEOUT_S = 10.0
"""A test fails when nothing has come for so long."""


def take(source: Source, count: int) -> list[Frame]:
    """The next frames."""
    frames: list[Frame] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(frames) < count:
        assert time.monotonic() < deadline, f"{len(frames)} of {count} frames: {source.status()}"
        frame = source.read(0.1)
        if frame is not None:
            frames.append(frame)
    return frames


def wait_for(source: Source, state: SourceState) -> None:
    wait_until(lambda: source.state is state, source.status)


def numbers_of(frames: Sequence[Frame | Picture]) -> list[int]:
    """The numbers that ``tests.numbered_video`` painted into frames."""
    return frame_numbers(np.stack([frame.rgb for frame in frames])).tolist() if frames else []
