"""Types of both halves of the fake TensorRT: its enumerations, and the tensors of a graph."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any

import numpy as np


class DataType(enum.Enum):
    FLOAT = np.dtype(np.float32)
    HALF = np.dtype(np.float16)
    INT64 = np.dtype(np.int64)


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class BuilderFlag(enum.Enum):
    TF32, REFIT = range(2)


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH, STRONGLY_TYPED = range(2)


class ComputeCapability(enum.Enum):
    NONE, CURRENT, SM75, SM87, SM89 = range(5)


class CudaGraphStrategy(enum.Enum):
    DISABLED, WHOLE_GRAPH_CAPTURE = range(2)


class Dims(tuple[int, ...]):
    pass


def tensors_of(onnx_bytes: bytes) -> dict[str, Any]:
    """Inputs and outputs of a graph by name, as TensorRT describes them."""
    import onnx
    from onnx import helper

    graph = onnx.load_from_string(onnx_bytes).graph
    found = {}
    for mode, values in ((TensorIOMode.INPUT, graph.input), (TensorIOMode.OUTPUT, graph.output)):
        for value in values:
            kind = value.type.tensor_type
            shape = Dims(-1 if axis.dim_param else axis.dim_value for axis in kind.shape.dim)
            dtype = DataType(helper.tensor_dtype_to_np_dtype(kind.elem_type))
            found[value.name] = SimpleNamespace(name=value.name, mode=mode, shape=shape, dtype=dtype)
    return found
