"""Inference backends (ONNX Runtime, OpenVINO, TensorRT) behind one interface; each is imported when it is asked for."""

from mcore_runtime.backends.base import BFLOAT16, Backend, BackendError
from mcore_runtime.backends.select import BACKENDS, BackendName, open_backend, open_variant

__all__ = [
    "BACKENDS",
    "BFLOAT16",
    "Backend",
    "BackendError",
    "BackendName",
    "open_backend",
    "open_variant",
]
