"""Dives and clips as a run would save them, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mcore.video import SampledClip
from mcore_runtime import Scorer
from mcore_runtime.scoring.scorer import video_facts
from mcore_runtime.session import DiveStatus, FoundBy, LiveDive, SessionStore

FACTS: dict[str, Any] = {"source": "rtsp://camera/…", "bundle": "bundle", "backend": "onnxruntime", "mode": "auto"}


def record(number: int, *, status: DiveStatus | str = DiveStatus.FAILED, **changes: Any) -> LiveDive:
    """A dive without a result; lists become tuples."""
    values: dict[str, Any] = {
        "dive_number": "407C",
        "found_by": FoundBy.OPERATOR,
        "created": "2026-11-23T12:01:00.000+00:00",
        "source": "rtsp://camera/…",
        "start_s": 10.0,
        "end_s": 13.0,
        "reasons": ("x",),
    }
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    return LiveDive(number=number, status=DiveStatus(status), **(values | given))


def noise(number: int, shape: tuple[int, int, int] = (8, 20, 12)) -> SampledClip:
    """A clip that is another one for every number, and does not get smaller."""
    frames, *size = shape
    random = np.random.default_rng(number)
    return SampledClip(
        frames=random.integers(0, 256, (frames, *size, 3), dtype=np.uint8),
        pts_seconds=0.4 * np.arange(frames) + random.uniform(0, 0.1, frames),
        indices=np.arange(frames),
        num_source_frames=frames + 3,
        duration_s=3.1,
        source_width=1280,
        source_height=720,
        source="rtsp://camera/…",
        reader="pyav",
        notes=("of 2 picture tracks track 1 was read",),
    )


def assert_same(found: SampledClip, expected: SampledClip) -> None:
    """Bit for bit."""
    for name in ("frames", "pts_seconds", "indices"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for name in ("num_source_frames", "duration_s", "source_width", "source_height", "source", "reader", "notes"):
        assert getattr(found, name) == getattr(expected, name), name


def scored_record(scorer: Scorer, number: int, **changes: Any) -> LiveDive:
    """A dive of ``noise(number)`` as a run saves it when it has a score."""
    clip = noise(number)
    values: dict[str, Any] = {
        "status": DiveStatus.SCORED,
        "found_by": FoundBy.MOTION,
        "created": f"2026-11-23T12:00:{number:02d}.000+00:00",
        "time_to_score_ms": 100.0 + number,
        "result": scorer.score_clip(clip, scorer.select("407C"), video=video_facts(clip, 10.0, 13.0)),
        "reasons": (),
    }
    return record(number, **(values | changes))


def make_session(folder: Path, bundle: Path) -> Path:
    """Five dives: one scored, one each that failed, is invalid, void, and was never finished."""
    facts = {**FACTS, "bundle": str(bundle), "precision": "fp32", "settings": {"threads": 1, "any_exemplar": True}}
    with Scorer(bundle, "onnxruntime", threads=1) as scorer, SessionStore.create(folder, facts) as store:
        store.save_dive(scored_record(scorer, 1), noise(1))
        store.save_dive(record(2, reasons=["RuntimeError: the device is gone"]), noise(2))
        store.save_dive(record(3, status="invalid", reasons=["no frames for 0.60 s"]), noise(3))
        store.save_dive(scored_record(scorer, 4), noise(4))
        store.save_dive(scored_record(scorer, 4, status="void", status_before=DiveStatus.SCORED))
        store.save_dive(record(5, status="scoring", reasons=[], dive_number=None), noise(5))
        store.log("source", "lost")
    return folder
