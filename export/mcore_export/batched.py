"""The graphs of a bundle with a batch axis, for servers: the same nodes for any number of clips.

A bundle's graphs take exactly one clip, which is fastest at the edge. In its backbone frames are axis 0, and a gated
shift drops one frame and adds another. With the frames of B clips in turn (row = frame * B + clip), a shift by one
frame is a shift by B rows, exactly and for every clip, so the rewrite adds no 5-D tensors: one transpose at each end
and a few numbers. The regressor's batch is one of pairs, each query beside its exemplar. Needs onnx only, no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mcore.common.errors import ExportError, UserError
from mcore.common.optional import require
from mcore_runtime.bundle.records import PARTS, GraphRecord, GraphSet, TensorSpec

if TYPE_CHECKING:
    import onnx

    from mcore_export.batch_axis import BatchAxis, Rule

# Shapes: B clips or pairs, T frames, D features, P tokens, c pixels.

BATCH_AXIS = "B"
"""Name of the axis that varies: clips, and pairs in the regressor."""


def batched_records(graphs: GraphSet) -> dict[str, GraphRecord]:
    """Describe the graphs that ``write_batched`` makes: every tensor has the batch first.

    backbone: clip (B, 3, T, c, c) -> features (B, T, D). segmenter: features -> logits (B, T, 2), transitions (B, 2),
    tokens (B, P, D). regressor: query (B, P, D), exemplars (B, P, D) -> delta (B,), stage_deltas (B, 3).
    """

    def with_batch(specs: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple(replace(spec, shape=(BATCH_AXIS, *spec.shape[1:])) for spec in specs)

    return {
        part: GraphRecord(f"{part}.onnx", with_batch(record.inputs), with_batch(record.outputs))
        for part, record in graphs.records.items()
    }


def write_batched(graphs: GraphSet, folder: Path) -> GraphSet:
    """Write the three graphs with a batch axis.

    Args:
        graphs: one precision of a bundle.
        folder: gets ``backbone.onnx``, ``segmenter.onnx`` and ``regressor.onnx``.

    Raises:
        ExportError: a graph has a node that could mix clips.
        UserError: the backbone was exported for CPUs, in tiles.
        MissingDependencyError: onnx is not installed.
    """
    onnx = require("onnx", "triton", "Giving the graphs a batch axis")
    written = GraphSet(folder, batched_records(graphs), graphs.precision, graphs.variant)
    for part in PARTS:
        model = onnx.load(str(graphs.path(part)))
        batch_graph(part, model, written.records[part])
        onnx.save(model, str(written.path(part)))
    return written


def batch_graph(part: str, model: onnx.ModelProto, record: GraphRecord) -> None:
    """Give one graph its batch axis, in place.

    Args:
        part: ``backbone``, ``segmenter`` or ``regressor``.
        model: that graph of a bundle, of any precision and operator set.
        record: what it becomes, from ``batched_records``.

    Raises:
        ExportError: a node could mix clips, or the result is not what ``record`` says; the message names the node.
    """
    del model.graph.value_info[:]  # shapes for one clip; what is needed of them is inferred anew
    {"backbone": _batch_backbone, "segmenter": _batch_all, "regressor": _batch_pairs}[part](part, model)
    for tensor, spec in zip((*model.graph.input, *model.graph.output), (*record.inputs, *record.outputs), strict=True):
        tensor.type.tensor_type.shape.dim[0].dim_param = str(spec.shape[0])
    _drop_unused_constants(model)
    _check(part, model, record)


def _batch_backbone(part: str, model: onnx.ModelProto) -> None:
    """From clips to frames in turn, and back."""
    from onnx import helper

    track = _track(part, model, shift_rows=True)
    nodes = list(model.graph.node)
    clip, features = model.graph.input[0].name, model.graph.output[0].name
    entry: list[onnx.NodeProto] = []
    source = clip
    while not entry or entry[-1].op_type != "Transpose":
        node = _only_user(track, nodes, source)
        if node.op_type == "Split":
            raise UserError("a bundle of --for-cpu has tiles, which servers cannot batch: export one without it")
        entry.append(node)
        source = node.output[0]
    exit_ = next(node for node in nodes if features in node.output)
    squeeze, transpose = entry[-2:] if len(entry) > 1 else entry * 2
    if (
        any(node.op_type != "Cast" for node in entry[:-2])
        or squeeze.op_type != "Squeeze"
        or track.integers(squeeze, 1) != [0]
        or list(transpose.attribute[0].ints) != [1, 0, 2, 3]
    ):
        raise track.refuse(entry[0], "does not begin the way from a clip to its frames")
    if exit_.op_type != "Unsqueeze" or track.integers(exit_, 1) != [0]:
        raise track.refuse(exit_, "does not make features from frames")
    frames, *pixels = track.shape(source)
    rows = exit_.input[0]
    track.axis[source] = 0
    track.follow([node for node in nodes if node not in (*entry, exit_)], clip, _rules())
    if track.axis.get(rows) != 0 or track.shape(rows)[0] != frames:
        raise track.refuse(exit_, "does not get one row of each frame")
    in_turn, by_frame = f"{source}_of_clips", f"{rows}_by_frame"
    dim = track.shape(rows)[1]
    head = [
        *entry[:-2],
        helper.make_node("Transpose", [squeeze.input[0]], [in_turn], name=in_turn, perm=[2, 0, 1, 3, 4]),  # (T, B, ...)
        helper.make_node("Reshape", [in_turn, track.new_constant([-1, *pixels])], [source], name=source),  # (T*B, ...)
    ]
    tail = [
        helper.make_node("Reshape", [rows, track.new_constant([frames, -1, dim])], [by_frame], name=by_frame),
        helper.make_node("Transpose", [by_frame], [features], name=features, perm=[1, 0, 2]),  # (B, T, D)
    ]
    _replace_nodes(model, [*head, *track.nodes, *tail])


def _batch_all(part: str, model: onnx.ModelProto) -> None:
    """The batch is axis 0 of all inputs already."""
    track = _track(part, model)
    track.axis.update((tensor.name, 0) for tensor in model.graph.input)
    track.follow(list(model.graph.node), model.graph.input[0].name, _rules())
    for tensor in model.graph.output:
        if track.axis.get(tensor.name) != 0:
            raise ExportError(
                f"{part} cannot take several clips at once: its output {tensor.name} lost them on the way"
            )
    _replace_nodes(model, track.nodes)


def _batch_pairs(part: str, model: onnx.ModelProto) -> None:
    """The query is not repeated for each exemplar in the graph: pairs may be of several dives."""
    query, exemplars = (tensor.name for tensor in model.graph.input)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    track = _track(part, model)
    nodes = list(model.graph.node)
    expand = _only_user(track, nodes, query)
    while expand.op_type == "Cast":
        expand = _only_user(track, nodes, expand.output[0])
    makers = {output: node for node in nodes for output in node.output}
    shape = makers.get(expand.input[1]) if expand.op_type == "Expand" else None
    count = None if shape is None else makers.get(shape.input[0])
    if shape is None or count is None or shape.op_type != "Concat" or list(count.input) != [exemplars]:
        raise track.refuse(expand, "does not repeat the query for each exemplar")
    ones = [track.integers(shape, position) for position in range(1, len(shape.input))]
    if count.op_type != "Shape" or any(value != [1] for value in ones):
        raise track.refuse(shape, "is not the number of exemplars")
    for name in (count.output[0], shape.output[0]):
        _only_user(track, nodes, name)
    kept = [node for node in nodes if node not in (count, shape, expand)]
    for node in kept:
        for position, name in enumerate(node.input):
            if name == expand.output[0]:
                node.input[position] = expand.input[0]
    _replace_nodes(model, kept)
    _batch_all(part, model)


def _track(part: str, model: onnx.ModelProto, *, shift_rows: bool = False) -> BatchAxis:
    from mcore_export.batch_axis import BatchAxis

    return BatchAxis(model, part, shift_rows=shift_rows)


def _rules() -> Mapping[str, Rule]:
    from mcore_export.batch_rules import RULES

    return RULES


def _only_user(track: BatchAxis, nodes: list[onnx.NodeProto], name: str) -> onnx.NodeProto:
    users = [node for node in nodes if name in node.input]
    if len(users) != 1:
        raise ExportError(f"{track.title} cannot take several clips at once: {len(users)} nodes take {name!r}, not one")
    return users[0]


def _replace_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    nodes = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _drop_unused_constants(model: onnx.ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _check(part: str, model: onnx.ModelProto, record: GraphRecord) -> None:
    """A valid graph, whose outputs are those of the record as far as onnx can infer them from its inputs."""
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{part} cannot take several clips at once: {error}") from error
    for kind, specs, tensors in (
        ("inputs", record.inputs, model.graph.input),
        ("outputs", record.outputs, model.graph.output),
    ):
        found = [(tensor.name, *(_extents(tensor))) for tensor in tensors]
        if found != [(spec.name, *spec.shape) for spec in specs]:
            raise ExportError(f"{part} cannot take several clips at once: it would have the {kind} {found}")


def _extents(tensor: onnx.ValueInfoProto) -> list[int | str]:
    return [axis.dim_param or axis.dim_value for axis in tensor.type.tensor_type.shape.dim]
