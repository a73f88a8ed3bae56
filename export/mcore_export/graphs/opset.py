"""Write a graph in operator set 17, which ``torch.onnx.export`` cannot: it leaves the graph at 18 with a warning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnxscript import ir

from mcore.common.errors import ExportError

OLDEST_TRACED = 18
"""The oldest operator set that torch exports to by itself."""


def to_opset_17(model: Any) -> None:
    """Rewrite a graph of operator set 18, in place.

    Args:
        model: ``onnx_ir.Model``.

    Raises:
        ExportError: the graph has an operator that 18 changed and that is not known here.
    """
    for node in model.graph:
        if _since(node.op_type, 17) != _since(node.op_type, 18):
            if node.op_type not in _REWRITES:
                raise ExportError(f"the operator {node.op_type} cannot be written in operator set 17; use --opset 18")
            _REWRITES[node.op_type](node)
        node.version = 17
    model.opset_imports[""] = 17


def _since(operator: str, opset: int) -> int | None:
    """Operator set in which the definition that holds in ``opset`` appeared; None: there is none."""
    try:
        return int(onnx.defs.get_schema(operator, opset, "").since_version)
    except onnx.defs.SchemaError:
        return None


def _axes_as_attribute(node: Any) -> None:
    axes = node.inputs[1].const_value if len(node.inputs) > 1 and node.inputs[1] is not None else None
    if axes is None or axes.size == 0:
        raise ExportError(f"{node.op_type} without constant axes cannot be written in operator set 17")
    node.attributes["axes"] = ir.AttrInt64s("axes", axes.numpy().tolist())
    node.attributes.pop("noop_with_empty_axes", None)  # says nothing where there are axes
    node.resize_inputs(1)


def _equal_parts(node: Any) -> None:
    node.attributes.pop("num_outputs", None)  # 17 always splits into equal parts unless told the sizes


def _pad_all_axes(node: Any) -> None:
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        raise ExportError("Pad of chosen axes cannot be written in operator set 17; use --opset 18")


_REWRITES: dict[str, Callable[[Any], None]] = {
    "ReduceMax": _axes_as_attribute,
    "ReduceMean": _axes_as_attribute,
    "Split": _equal_parts,
    "Pad": _pad_all_axes,
}
