"""Follows the batch axis through an ONNX graph of one clip, node by node, and rewrites what assumed one clip.

``batch_rules`` says for each operator where the batch goes. Shapes are those of the graph for one clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mcore.common.errors import ExportError

Node = onnx.NodeProto
Rule = Callable[["BatchAxis", Node], None]


class BatchAxis:
    """One graph while it gets its batch axis.

    Args:
        model: whose nodes ``follow`` will see; rewritten in place. Shapes of all its tensors must be inferable for one
            clip.
        title: name of the graph, for messages.
        shift_rows: axis 0 holds frames of several clips, frame by frame and each frame's clips together; a slice and a
            pad of one frame then become those of one frame of every clip. Without it, an axis that holds the batch
            has the batch outermost.
    """

    def __init__(self, model: onnx.ModelProto, title: str, *, shift_rows: bool = False) -> None:
        self.title, self.shift_rows = title, shift_rows
        self.axis: dict[str, int] = {}
        """Where the batch is, by tensor; a tensor that is not here is the same for every clip."""
        self.nodes: list[Node] = []
        """The rewritten nodes, in order."""
        self._first: dict[str, Node] = {}
        self._graph = model.graph
        self._shapes = _infer_shapes(model, title)
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._dropped: dict[str, str] = {}
        self._uses = [name for node in model.graph.node for name in node.input] + [o.name for o in model.graph.output]
        self._extent_source = ""

    def follow(self, nodes: Sequence[Node], extent_source: str, rules: Mapping[str, Rule]) -> None:
        """Apply the rules to nodes in their order.

        Args:
            nodes: of the graph.
            extent_source: graph input whose axis 0 is the batch.
            rules: ``batch_rules.RULES``.

        Raises:
            ExportError: a node could mix clips, or has no rule.
        """
        self._extent_source = extent_source
        for node in nodes:
            if any(name in self.axis for name in node.input):
                if node.op_type not in rules or node.domain:
                    raise self.refuse(node, "is not known to keep clips apart")
                rules[node.op_type](self, node)
            self.nodes.append(node)
        self.nodes[:0] = self._first.values()

    def refuse(self, node: Node, why: str) -> ExportError:
        """Return the error about a node."""
        name = node.name or node.output[0]
        return ExportError(f"{self.title} cannot take several clips at once: node {name!r} ({node.op_type}) {why}")

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape in the graph for one clip.

        Raises:
            ExportError: the graph does not say.
        """
        shape = self._shapes.get(name)
        if shape is None or 0 in shape:
            raise ExportError(f"{self.title} cannot take several clips at once: the shape of {name!r} is not known")
        return shape

    def constant(self, node: Node, position: int) -> NDArray[Any] | None:
        """Return the value of an input; None where it is left out.

        Raises:
            ExportError: it is not a constant.
        """
        name = node.input[position] if position < len(node.input) else ""
        if not name:
            return None
        if name not in self._constants:
            raise self.refuse(node, f"has an input {name!r} that is not a constant")
        return numpy_helper.to_array(self._constants[name])

    def integers(self, node: Node, position: int) -> list[int]:
        """Return a constant input as a list of numbers."""
        value = self.constant(node, position)
        return [] if value is None else [int(item) for item in value.reshape(-1)]

    def new_constant(self, values: Sequence[int]) -> str:
        """Add a constant of int64, or find the one that is there."""
        name = "batched_" + "_".join(str(value).replace("-", "minus") for value in values)
        if name not in self._constants:
            tensor = numpy_helper.from_array(np.array(values, np.int64), name)
            self._constants[name] = tensor
            self._graph.initializer.append(tensor)
        return name

    def at_start(self, output: str, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node before all others, once, and return its output."""
        if output not in self._first:
            self._first[output] = helper.make_node(operator, list(inputs), [output], name=output, **attributes)
        return output

    def batch(self) -> str:
        """Return the name of the number of clips, (1,) int64."""
        return self.at_start("batched_b", "Shape", [self._extent_source], start=0, end=1)

    def only_use(self, name: str) -> bool:
        """Tell whether a tensor is used exactly once."""
        return self._uses.count(name) == 1

    def keep(self, node: Node, axis: int) -> None:
        """Record that all outputs have the batch on this axis."""
        self.axis.update((name, axis) for name in node.output if name)

    def only_data(self, node: Node) -> int:
        """Return the batch axis of the first input; all others must be the same for every clip."""
        if any(name in self.axis for name in node.input[1:]) or node.input[0] not in self.axis:
            raise self.refuse(node, "takes a clip where a constant was expected")
        return self.axis[node.input[0]]

    def outside(self, node: Node, axis: int) -> int:
        """Return the batch axis of the first input, which must not be the axis that the node works on."""
        batch = self.only_data(node)
        if axis % len(self.shape(node.input[0])) == batch:
            raise self.refuse(node, "works along the batch")
        return batch

    def same_rows(self, node: Node) -> Iterator[tuple[str, int]]:
        """Give inputs that carry the batch, with the axis counted from the last; they must agree on it."""
        found = [(name, self.axis[name] - len(self.shape(name))) for name in node.input if name in self.axis]
        if len({(axis, self.shape(name)[axis]) for name, axis in found}) != 1:
            raise self.refuse(node, "joins tensors whose batches lie on different axes")
        return iter(found)

    def shift(self, node: Node) -> None:
        """A slice that drops the first or the last frame: of every clip."""
        frames = self.shape(node.input[0])[0]
        start, end, _, step = (self.integers(node, position)[0] for position in range(1, 5))
        end = min(end + frames if end < 0 else end, frames)
        if not self.shift_rows or step != 1 or (start, end) not in ((1, frames), (0, frames - 1)):
            raise self.refuse(node, "takes apart the axis that holds the batch")
        if not self.only_use(node.output[0]):
            raise self.refuse(node, "drops a frame that no pad gives back")
        if start:
            node.input[1] = self.batch()
            self._dropped[node.output[0]] = "first"
        else:
            node.input[2] = self.at_start("batched_minus_b", "Neg", [self.batch()])
            self._dropped[node.output[0]] = "last"

    def unshift(self, node: Node, pads: Sequence[int]) -> None:
        """The pad behind such a slice: a frame of zeros for every clip, at the other end."""
        rank = len(pads) // 2
        position = {"first": rank, "last": 0}.get(self._dropped.get(node.input[0], ""))
        value = self.constant(node, 2)
        zero = value is None or not value.any()
        one_frame = [int(index == position) for index in range(2 * rank)]
        if (
            position is None
            or list(pads) != one_frame
            or not zero
            or attribute(node, "mode", b"constant") != b"constant"
        ):
            raise self.refuse(node, "adds frames that no slice took away")
        parts = [self.batch() if one else self.new_constant([0]) for one in one_frame]
        node.input[1] = self.at_start(f"batched_pads_{position}", "Concat", parts, axis=0)
        del node.input[2:]


def _infer_shapes(model: onnx.ModelProto, title: str) -> dict[str, tuple[int, ...]]:
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise ExportError(f"{title} cannot take several clips at once, it is not a valid graph: {error}") from error
    shapes = {
        value.name: tuple(int(axis.dim_value) for axis in value.type.tensor_type.shape.dim)
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    return shapes | {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}


def attribute(node: Node, name: str, default: Any) -> Any:
    """Return a node's attribute, or what holds where it is left out."""
    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)
