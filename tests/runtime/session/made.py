"""Dives and clips as a run would save them, without a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from mcore.video import SampledClip

FACTS: dict[str, Any] = {"source": "rtsp://camera/…", "bundle": "bundle", "backend": "onnxruntime", "mode": "auto"}


def record(number: int, **changes: Any) -> dict[str, Any]:
    """A dive without a result."""
    return {"number": number, "status": "failed", "dive_number": "407C", "result": None, "reasons": ["x"], **changes}


def noise(number: int, shape: tuple[int, int, int] = (8, 20, 12)) -> SampledClip:
    """A clip that is another one for every number, and does not get smaller."""
    frames, *size = shape
    random = np.random.default_rng(number)
    return SampledClip(
        frames=random.integers(0, 256, (frames, *size, 3), dtype=np.uint8),
        pts_seconds=np.sort(random.uniform(0, 3, frames)),
        indices=np.arange(frames),
        num_source_frames=frames + 3,
        duration_s=3.1,
        source_width=1280,
        source_height=720,
        source="rtsp://camera/…",
        reader="pyav",
    )


def assert_same(found: SampledClip, expected: SampledClip) -> None:
    """Bit for bit."""
    for name in ("frames", "pts_seconds", "indices"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for name in ("num_source_frames", "duration_s", "source_width", "source_height", "source", "reader"):
        assert getattr(found, name) == getattr(expected, name), name
