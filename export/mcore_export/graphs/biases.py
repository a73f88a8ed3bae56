"""Biases that several convolutions share become one for each: OpenVINO fuses only those that no other node reads."""

from __future__ import annotations

from typing import Any

from onnxscript import ir


def own_biases(model: Any) -> None:
    """Give every convolution a bias of its own, in place; weights stay shared.

    Args:
        model: ``onnx_ir.Model``.
    """
    graph = model.graph
    seen: set[str] = set()
    for node in graph:
        if node.op_type != "Conv" or len(node.inputs) < 3 or node.inputs[2].const_value is None:
            continue
        bias = node.inputs[2]
        if bias.name in seen:
            name = f"{bias.name}.{len(seen)}"
            own = ir.Value(name=name, shape=bias.shape, type=bias.type, const_value=bias.const_value)
            graph.initializers[name] = own
            node.replace_input_with(2, own)
            bias = own
        seen.add(bias.name)
