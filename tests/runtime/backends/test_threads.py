"""One scorer, several threads: right scores, or a refusal."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from mcore_runtime.scoring.scorer import Scorer


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("streaming", [False, True])
def test_threads_that_share_a_scorer_get_their_own_scores(tiny_bundle: Path, backend: str, streaming: bool) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino", reason="needs OpenVINO: pip install openvino")
    with Scorer(tiny_bundle, backend, threads=1, streaming=streaming) as scorer:
        config = scorer.clip_config
        shape = (3, config.num_frames, config.crop_size, config.crop_size)
        clips = [np.random.default_rng(seed).standard_normal(shape).astype(np.float32) for seed in range(4)]
        wanted = [scorer.encode(clip).tokens.copy() for clip in clips]
        wrong: list[int] = []

        def work(number: int) -> None:
            tokens = [scorer.encode(clips[number]).tokens for _ in range(30)]
            wrong.extend(number for found in tokens if not np.allclose(found, wanted[number], atol=1e-4))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not np.allclose(wanted[0], wanted[1], atol=1e-3)
    assert wrong == []
