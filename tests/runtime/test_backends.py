"""The choice of an inference engine: what ``auto`` does, and that it says so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from mcore_runtime import Scorer
from mcore_runtime.backends import BackendError, ort


def cuda_without_a_gpu() -> Any:
    """ONNX Runtime as onnxruntime-gpu behaves on a machine without a GPU: CUDA is listed, the CPU computes."""

    def session(path: str, options: Any, providers: list[Any]) -> Any:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    return SimpleNamespace(
        __version__=onnxruntime.__version__,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=session,
    )


def test_auto_says_that_listed_cuda_cannot_be_used(
    tiny_bundle: Path, dive_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "_import", lambda name: cuda_without_a_gpu())
    with Scorer(tiny_bundle, backend="auto") as scorer:
        result = scorer.score(dive_video, "407C")
    assert (result.backend.name, result.backend.provider) == ("onnxruntime", "CPUExecutionProvider")
    assert result.notes[0].startswith("runs on the CPU: asked ONNX Runtime for CUDAExecutionProvider")


def test_cuda_is_refused_where_it_was_not_built_in(tiny_bundle: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(BackendError, match=r"needs ONNX Runtime's CUDAExecutionProvider.*mcore-edge\[gpu\]"):
        Scorer(tiny_bundle, backend="onnxruntime-cuda")


def test_a_closed_scorer_says_so(tiny_bundle: Path, dive_video: Path) -> None:
    with Scorer(tiny_bundle, threads=1) as scorer:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        scorer.score(dive_video, "407C")
