"""Rules, by operator: where the batch goes, and what must hold so that no clip sees another.

A node of an operator that has no rule here is refused, and so is one that breaks its rule.
"""

from __future__ import annotations

import math

from mcore_export.batch_axis import BatchAxis, Node, Rule, attribute


def _elementwise(track: BatchAxis, node: Node) -> None:
    track.keep(node, track.only_data(node))


def _scaled(track: BatchAxis, node: Node) -> None:
    """Quantisation: a scale for all, or one for each channel."""
    per_channel = bool(track.shape(node.input[1]))
    axis = track.outside(node, attribute(node, "axis", 1)) if per_channel else track.only_data(node)
    track.keep(node, axis)


def _joined(track: BatchAxis, node: Node) -> None:
    """Sums and products: what is the same for every clip must not vary along the batch."""
    rank = max(len(track.shape(name)) for name in node.input)
    for _, axis in track.same_rows(node):
        for name in node.input:
            shape = track.shape(name)
            if name not in track.axis and len(shape) >= -axis and shape[axis] != 1:
                raise track.refuse(node, "has a constant that varies along the batch")
        track.keep(node, axis + rank)


def _frames_alone(track: BatchAxis, node: Node) -> None:
    if track.only_data(node) != 0 or attribute(node, "training_mode", 0):
        raise track.refuse(node, "does not have the batch on axis 0")
    track.keep(node, 0)


def _normalised(track: BatchAxis, node: Node) -> None:
    first = attribute(node, "axis", -1) % len(track.shape(node.input[0]))
    if track.only_data(node) >= first:
        raise track.refuse(node, "works along the batch")
    track.keep(node, track.axis[node.input[0]])


def _along_attribute(default: int) -> Rule:
    def rule(track: BatchAxis, node: Node) -> None:
        track.keep(node, track.outside(node, attribute(node, "axis", default)))

    return rule


def _matmul(track: BatchAxis, node: Node) -> None:
    left, right = node.input
    rank = len(track.shape(left))
    axis = track.axis.get(left)
    if right not in track.axis:
        valid = axis is not None and axis < rank - 1 and len(track.shape(right)) == 2
    else:
        valid = axis == track.axis[right] and rank == len(track.shape(right)) and axis < rank - 2
    if not valid or axis is None:
        raise track.refuse(node, "multiplies along the batch")
    track.keep(node, axis)


def _reduced(track: BatchAxis, node: Node) -> None:
    """Means, sums and maxima along other axes, which may disappear."""
    rank = len(track.shape(node.input[0]))
    if node.op_type == "ArgMax":
        axes = [attribute(node, "axis", 0)]
    else:
        axes = list(attribute(node, "axes", [])) or track.integers(node, 1)
    if not axes:
        raise track.refuse(node, "works along all axes")
    batch = track.outside(node, axes[0])
    for axis in axes:
        track.outside(node, axis)
    gone = 0 if attribute(node, "keepdims", 1) else sum(axis % rank < batch for axis in axes)
    track.keep(node, batch - gone)


def _transposed(track: BatchAxis, node: Node) -> None:
    track.keep(node, list(attribute(node, "perm", [])).index(track.only_data(node)))


def _concatenated(track: BatchAxis, node: Node) -> None:
    """What is the same for every clip is repeated for each."""
    (_, from_last), *_ = track.same_rows(node)
    rank = len(track.shape(node.input[0]))
    batch = from_last + rank
    if attribute(node, "axis", 0) % rank == batch:
        raise track.refuse(node, "works along the batch")
    for position, name in enumerate(node.input):
        if name in track.axis:
            continue
        shape = track.shape(name)
        track.constant(node, position)
        if shape[batch] != 1:
            raise track.refuse(node, "has a constant that varies along the batch")
        ones = [track.batch() if axis == batch else track.new_constant([1]) for axis in range(rank)]
        wanted = track.at_start(f"batched_shape_{rank}_{batch}", "Concat", ones, axis=0)
        node.input[position] = track.at_start(f"batched_{name}", "Expand", [name, wanted])
    track.keep(node, batch)


def _sliced(track: BatchAxis, node: Node) -> None:
    batch = track.only_data(node)
    rank = len(track.shape(node.input[0]))
    axes = [axis % rank for axis in (track.integers(node, 3) or range(len(track.integers(node, 1))))]
    if axes == [batch] == [0] and len(node.input) == 5:
        track.shift(node)
    elif batch in axes:
        raise track.refuse(node, "takes apart the axis that holds the batch")
    track.keep(node, batch)


def _padded(track: BatchAxis, node: Node) -> None:
    batch, rank = track.only_data(node), len(track.shape(node.input[0]))
    pads = track.integers(node, 1)
    if len(node.input) > 3 and node.input[3]:
        given, axes = pads, track.integers(node, 3)
        pads = [0] * (2 * rank)
        for index, axis in enumerate(axes):
            pads[axis % rank], pads[axis % rank + rank] = given[index], given[index + len(axes)]
        del node.input[3:]
        node.input[1] = track.new_constant(pads)
    if pads[batch] or pads[batch + rank]:
        track.unshift(node, pads)
    track.keep(node, batch)


def _gathered(track: BatchAxis, node: Node) -> None:
    axis = attribute(node, "axis", 0) % len(track.shape(node.input[0]))
    batch = track.outside(node, axis)
    track.keep(node, batch + (len(track.shape(node.input[1])) - 1 if axis < batch else 0))


def _gru(track: BatchAxis, node: Node) -> None:
    """Time is axis 0 and the batch axis 1; the state before the first frame must be zero, which is the default."""
    if track.only_data(node) != 1 or attribute(node, "layout", 0) or (len(node.input) > 4 and node.input[4]):
        raise track.refuse(node, "does not take time first and clips of one length")
    before = track.constant(node, 5)
    if before is not None and before.any():
        raise track.refuse(node, "starts from a state that is not zero")
    del node.input[4:]
    for name, axis in zip(node.output, (2, 1), strict=False):
        track.axis[name] = axis


def _reshaped(track: BatchAxis, node: Node) -> None:
    """An axis that starts with the batch stays one: what lies before it keeps its number of elements."""
    batch, before, after = track.only_data(node), track.shape(node.input[0]), track.shape(node.output[0])
    axes = [axis for axis in range(len(after)) if math.prod(after[:axis]) == math.prod(before[:batch])]
    if track.shift_rows or not axes or 0 in track.integers(node, 1):
        raise track.refuse(node, "mixes the batch with other axes")
    node.input[1] = track.new_constant([-1 if axis == axes[0] else size for axis, size in enumerate(after)])
    track.keep(node, axes[0])


def _squeezed(track: BatchAxis, node: Node) -> None:
    rank = len(track.shape(node.input[0]))
    axes = track.integers(node, 1)
    for axis in axes:
        track.outside(node, axis)
    if not axes:
        raise track.refuse(node, "removes every axis of one element")
    batch = track.axis[node.input[0]]
    track.keep(node, batch - sum(axis % rank < batch for axis in axes))


def _unsqueezed(track: BatchAxis, node: Node) -> None:
    batch, rank = track.only_data(node), len(track.shape(node.output[0]))
    new = {axis % rank for axis in track.integers(node, 1)}
    kept = [axis for axis in range(rank) if axis not in new]
    track.keep(node, kept[batch])


RULES: dict[str, Rule] = {
    **dict.fromkeys(("Abs", "Cast", "Clip", "Erf", "Gelu", "Identity", "Relu", "Sigmoid", "Tanh"), _elementwise),
    **dict.fromkeys(("Add", "Div", "Mul", "Sub"), _joined),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _scaled),
    **dict.fromkeys(("BatchNormalization", "Conv"), _frames_alone),
    **dict.fromkeys(("ArgMax", "ReduceMean", "ReduceSum"), _reduced),
    "Concat": _concatenated,
    "GRU": _gru,
    "Gather": _gathered,
    "LayerNormalization": _normalised,
    "MatMul": _matmul,
    "Pad": _padded,
    "Reshape": _reshaped,
    "Slice": _sliced,
    "Softmax": _along_attribute(-1),
    "Split": _along_attribute(0),
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
