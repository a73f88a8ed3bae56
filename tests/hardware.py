"""Marks of tests that need hardware: they skip where it is not, and fail where MCORE_EXPECT_GPU promises it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., None])
_PROMISED = "MCORE_EXPECT_GPU" in os.environ


def _torch_sees_a_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def _onnxruntime_has_cuda() -> bool:
    try:
        import onnxruntime
    except ImportError:
        return False
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def needs_gpu(*, onnxruntime_gpu: bool = False) -> Callable[[Test], Test]:
    """Mark a test ``cuda``: it skips without a GPU that torch sees, and if asked for without onnxruntime-gpu."""
    there = _torch_sees_a_gpu() and (not onnxruntime_gpu or _onnxruntime_has_cuda())
    what = "an NVIDIA GPU" + (" and onnxruntime-gpu" if onnxruntime_gpu else "")
    skip = pytest.mark.skipif(not there and not _PROMISED, reason=f"needs {what}")
    return lambda test: pytest.mark.cuda(skip(test))
