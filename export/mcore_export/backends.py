"""The engines of this machine that can run a bundle's ONNX graphs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator

from mcore_runtime.backends import Backend, BackendError, open_backend
from mcore_runtime.backends.ort import cuda_is_listed
from mcore_runtime.bundle.records import GraphSet


def cpu_backends() -> tuple[str, ...]:
    """Name the engines that this machine's CPU has."""
    return ("onnxruntime",) if importlib.util.find_spec("openvino") is None else ("onnxruntime", "openvino")


def gate_backends(graphs: GraphSet, say: Callable[[str], None]) -> Iterator[Backend]:
    """Open, one after the other, every engine that runs here, alone; ONNX Runtime on the CPU must.

    Args:
        graphs: what they load.
        say: gets a line for each engine that is left out, with its reason.

    Raises:
        BackendError: ONNX Runtime cannot load the graphs on the CPU, or OpenVINO is installed and cannot.
    """
    for name in cpu_backends():
        yield open_backend(graphs, name, mixed=False)
    if cuda_is_listed():
        try:
            yield open_backend(graphs, "onnxruntime-cuda")
        except BackendError as error:  # it is listed on machines without a GPU too
            say(f"not compared on onnxruntime-cuda: {error}")
