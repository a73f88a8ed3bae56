"""The graphs' contract against what TensorRT made of it: names, types and shapes, before and after building."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcore_runtime.backends.base import BackendError
from mcore_runtime.bundle.records import GraphRecord, TensorSpec

DYNAMIC = -1
"""How TensorRT writes an axis that varies."""
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT32": "int32", "INT64": "int64"}


def tensor_spec(name: str, dtype: Any, shape: Any) -> TensorSpec:
    """Write a tensor of TensorRT as the manifest does, varying axes as ``?``.

    Args:
        name: of the tensor.
        dtype: TensorRT's ``DataType``.
        shape: TensorRT's ``Dims``.
    """
    axes = tuple("?" if axis == DYNAMIC else int(axis) for axis in shape)
    return TensorSpec(name, _DTYPES.get(dtype.name, dtype.name), axes)


def check_contract(what: str, record: GraphRecord, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Compare inputs and outputs with the graph's record.

    Raises:
        BackendError: a tensor is missing, is one too many, or has another type or shape.
    """
    for kind, wanted, found in (("inputs", record.inputs, inputs), ("outputs", record.outputs, outputs)):
        if _comparable(wanted) != _comparable(found):
            raise BackendError(
                f"{what} has the {kind} {_describe(found)}; the bundle's contract is {_describe(wanted)}. "
                "Build the engine again, or export the bundle again"
            )


def _comparable(specs: Sequence[TensorSpec]) -> dict[str, tuple[str, tuple[int | str, ...]]]:
    """By name, because TensorRT lists tensors in an order of its own."""
    return {
        spec.name: (spec.dtype, tuple("?" if isinstance(axis, str) else axis for axis in spec.shape)) for spec in specs
    }


def _describe(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs) or "none"
