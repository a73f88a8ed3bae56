"""One scorer, several threads: right scores, or a refusal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mcore_runtime.scoring.scorer import Scorer


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("streaming", [False, True])
def test_threads_that_share_a_scorer_get_their_own_scores(tiny_bundle: Path, backend: str, streaming: bool) -> None:
    """On OpenVINO without a lock a thread got another's."""
    if backend == "openvino":
        pytest.importorskip("openvino", reason="needs OpenVINO: pip install '.[openvino]'")
    with Scorer(tiny_bundle, backend, threads=1, streaming=streaming) as scorer, ThreadPoolExecutor(4) as pool:
        clip = scorer.clip_config
        shape = (4, 3, clip.num_frames, clip.crop_size, clip.crop_size)
        clips = np.random.default_rng(0).standard_normal(shape, np.float32)
        expected = [scorer.encode(clip).tokens.copy() for clip in clips]
        for _ in range(50):
            for encoded, tokens in zip(pool.map(scorer.encode, clips), expected, strict=True):
                np.testing.assert_allclose(encoded.tokens, tokens, atol=1e-4)
