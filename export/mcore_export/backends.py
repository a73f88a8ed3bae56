"""The backends of this machine that can run a bundle's ONNX graphs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from mcore_export.log import Log
from mcore_runtime.backends import Backend, BackendError, open_backend
from mcore_runtime.backends.ort import cuda_is_listed
from mcore_runtime.bundle.records import GraphSet


def cpu_backends() -> tuple[str, ...]:
    """Name the backends that this machine's CPU has."""
    return ("onnxruntime",) if importlib.util.find_spec("openvino") is None else ("onnxruntime", "openvino")


def parity_backends(graphs: GraphSet, log: Log) -> Iterator[Backend]:
    """Open, one after the other, every backend that runs here, alone; ONNX Runtime on the CPU must.

    Args:
        graphs: what they load.
        log: gets a line for each engine that is left out, with its reason.

    Raises:
        BackendError: ONNX Runtime cannot load the graphs on the CPU, or OpenVINO is installed and cannot.
    """
    for name in cpu_backends():
        yield open_backend(graphs, name, mixed=False)
    if cuda_is_listed():
        try:
            yield open_backend(graphs, "onnxruntime-cuda")
        except BackendError as error:  # it is listed on machines without a GPU too
            log(f"not compared on onnxruntime-cuda: {error}")
