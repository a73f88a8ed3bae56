"""The C++ scorer on an exported network: golden clips and rendered dives score as in Python."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from mcore.video import crop
from mcore.video.clip import SampledClip
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.scoring.scorer import Scorer
from tests.export.conftest import NUMBERS
from tests.native_scorer import build, engines, score

POINTS = 1e-3
"""Engines round differently, by 1e-5 points on trained networks."""


@pytest.fixture(autouse=True, scope="module")
def _is_built() -> None:
    build()


def test_golden_clips_score_as_in_python(bundle: Path, tmp_path: Path) -> None:
    golden = np.load(bundle / "golden.npz")
    config = Bundle.open(bundle).model.clip
    for i, frames in enumerate(golden["frames"]):
        path, number = tmp_path / f"{i}.npy", NUMBERS[i % 2]
        np.save(path, frames)
        times = np.arange(config.num_frames) / 25
        clip = SampledClip(frames, times, np.arange(config.num_frames), config.num_frames, 1.0, 1, 1, "golden", "none")
        assert crop(frames, config).shape == frames.shape
        for engine in engines():
            with Scorer(bundle, backend=engine) as scorer:
                expected = scorer.score_clip(clip, scorer.select(number))
            got = score(bundle, path, "--dive", number, "--rate", 25, "--engine", engine)
            # What PyTorch decoded, too.
            assert tuple(got["transitions"]) == expected.transitions == tuple(golden["transitions"][i])
            assert got["score"] == pytest.approx(expected.score, abs=POINTS)
            assert list(got["stage_deltas"].values()) == pytest.approx(expected.stage_deltas, abs=POINTS)
            assert (got["low"], got["high"]) == pytest.approx((expected.low, expected.high), abs=POINTS)
            assert got["backend"]["precision"] == expected.backend.precision


def test_videos_score_as_in_python(bundle: Path, dives: Path) -> None:
    """Decoded by FFmpeg and handed over as raw pixels, as a device without Python does it."""
    for number in NUMBERS:
        video = dives.parent / f"{number}-0.mp4"
        with av.open(str(video)) as container:
            rate = container.streams.video[0].average_rate
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        size = f"{frames[0].shape[1]}x{frames[0].shape[0]}"
        raw = ("--raw", "rgb24", "--size", size, "--rate", float(rate or 0))
        got = score(bundle, "-", "--dive", number, *raw, stdin=np.stack(frames).tobytes())
        with Scorer(bundle, backend=engines()[0]) as scorer:
            expected = scorer.score(video, number)
        assert tuple(got["transitions"]) == expected.transitions
        assert got["score"] == pytest.approx(expected.score, abs=POINTS)
        assert got["transitions_s"] == pytest.approx(expected.transitions_s, abs=1e-6)
        assert [e["name"] for e in got["exemplars"]] == [e.name for e in expected.exemplars]
        assert got["video"]["duration_s"] == pytest.approx(expected.video.duration_s, abs=1e-6)
