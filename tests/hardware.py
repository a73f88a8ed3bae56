"""Marks of tests that need hardware: they skip where it is not, and fail where MCORE_EXPECT_GPU promises it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import onnxruntime
import pytest
import torch

Test = TypeVar("Test", bound=Callable[..., None])
_PROMISED = "MCORE_EXPECT_GPU" in os.environ
_CUDA_PROVIDER = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def needs_gpu(*, onnxruntime_gpu: bool = False) -> Callable[[Test], Test]:
    """Mark a test ``cuda``: it skips without a GPU that torch sees, and if asked for without onnxruntime-gpu."""
    there = torch.cuda.is_available() and (_CUDA_PROVIDER or not onnxruntime_gpu)
    what = "an NVIDIA GPU" + (" and onnxruntime-gpu" if onnxruntime_gpu else "")
    skip = pytest.mark.skipif(not there and not _PROMISED, reason=f"needs {what}")
    return lambda test: pytest.mark.cuda(skip(test))
