"""Graphs with a batch axis: each clip gets what it gets alone, and a graph that could mix clips is refused."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from mcore.common.errors import ExportError
from mcore.config import BackboneConfig, ModelConfig
from mcore.network.model import MCoRe
from mcore_export import batched_proof
from mcore_export.batched import batch_graph, batched_records, write_batched
from mcore_export.batched_proof import prove_batched
from mcore_export.engines.build import EngineBuilder
from mcore_export.graphs.onnx import export_graphs
from mcore_export.parity.golden import load_golden
from mcore_export.quantise.qdq import calibrate, convolutions, insert_pairs, load_graph
from mcore_runtime.backends.tensorrt.flavours import load_flavour
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, GraphSet, Precision, standard_graphs
from tests.reference_network import random_model

BATCHES = (1, 2, 5)
ROUNDING = {"fp32": 1e-6, "int8": 1e-6, "fp16": 1e-3}
"""Relative: sums of a matrix product may be taken in another order for another number of rows."""
VARIANTS = [(17, "fp16"), (20, "fp32")]
"""Operator set and precision; the bundle of the other tests is of 18 and fp32."""


@pytest.fixture(scope="module")
def small_config(tiny_config: ModelConfig) -> ModelConfig:
    """Every kind of node, in fewer of them: exporting takes longer than all else here."""
    one_layer = BackboneConfig(stem_width=16, widths=(16, 32), depths=(1, 1))
    return dataclasses.replace(tiny_config, backbone=one_layer, decoder_layers=1)


@pytest.fixture(scope="module")
def exported(
    small_config: ModelConfig, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int, Precision], GraphSet]:
    """Export the small network, each variant once."""

    @functools.cache
    def export(opset: int, precision: Precision) -> GraphSet:
        folder, records = tmp_path_factory.mktemp("graphs"), standard_graphs(small_config)
        for _ in export_graphs(random_model(MCoRe(small_config)), records, folder, opset, precision):
            pass
        return GraphSet(folder, records, dict.fromkeys(PARTS, precision), precision)

    return export


def session(path: Path) -> Any:
    """Both graphs must run the same kernels, so without the rearrangement that needs fixed shapes."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def random_inputs(graphs: GraphSet, part: str, count: int) -> dict[str, Any]:
    rng = np.random.default_rng(count)
    return {
        spec.name: rng.standard_normal((count, *map(int, spec.shape[1:]))).astype(np.float32)
        for spec in graphs.records[part].inputs
    }


def check_equal(single: GraphSet, batched: GraphSet, parts: tuple[str, ...] = PARTS) -> None:
    for part in parts:
        alone, together = session(single.path(part)), session(batched.path(part))
        for count in BATCHES:
            inputs = random_inputs(single, part, count)
            found = together.run(None, inputs)
            for i in range(count):
                expected = alone.run(None, {name: values[i : i + 1] for name, values in inputs.items()})
                for got, want in zip(found, expected, strict=True):
                    assert got.dtype == want.dtype
                    np.testing.assert_allclose(
                        got[i : i + 1], want, rtol=0, atol=ROUNDING[single.variant] * np.abs(want).max()
                    )


@pytest.mark.parametrize(("opset", "precision"), VARIANTS)
def test_each_clip_gets_what_it_gets_alone(
    opset: int, precision: Precision, exported: Callable[[int, Precision], GraphSet], tmp_path: Path
) -> None:
    single = exported(opset, precision)
    batched = write_batched(single, tmp_path)
    check_equal(single, batched)
    for part in PARTS:
        model = onnx.load(str(batched.path(part)))
        assert [opset_.version for opset_ in model.opset_import if not opset_.domain] == [opset]
        for tensor in (*model.graph.input, *model.graph.output):
            assert tensor.type.tensor_type.shape.dim[0].dim_param == "B"


def test_the_graphs_of_a_bundle_take_a_batch(bundle: Path, tmp_path: Path) -> None:
    graphs = Bundle.open(bundle).graphs()
    check_equal(graphs, write_batched(graphs, tmp_path))


def test_the_rewrite_adds_a_handful_of_nodes(bundle: Path, tmp_path: Path) -> None:
    graphs = Bundle.open(bundle).graphs()
    batched = write_batched(graphs, tmp_path)
    more = {
        part: len(onnx.load(str(batched.path(part))).graph.node) - len(onnx.load(str(graphs.path(part))).graph.node)
        for part in PARTS
    }
    # Backbone: B, -B, two pads, and a second node at the exit. Segmenter: B, its shape, two repeated constants.
    # Regressor: without counting exemplars and repeating the query.
    assert more == {"backbone": 5, "segmenter": 4, "regressor": -3}


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_int8_graphs_take_a_batch(activations: Any, bundle: Path, tiny_config: ModelConfig, tmp_path: Path) -> None:
    graphs = Bundle.open(bundle).graphs()
    rng = np.random.default_rng(0)
    clip = rng.standard_normal((3, 12, 32, 32)).astype(np.float32)
    model = load_graph(graphs.path("backbone"))
    ranges = calibrate(graphs.path("backbone"), [clip], "minmax")
    quantised = insert_pairs(model, ranges, [conv.node for conv in convolutions(model)], activations)
    onnx.save(quantised, str(tmp_path / "backbone.onnx"))
    single = GraphSet(tmp_path, {**graphs.records}, {**graphs.precision, "backbone": "int8"}, "int8")
    record = batched_records(single)["backbone"]
    batch_graph("backbone", quantised, record)
    (tmp_path / "batched").mkdir()
    onnx.save(quantised, str(tmp_path / "batched" / "backbone.onnx"))
    batched = GraphSet(tmp_path / "batched", batched_records(single), single.precision, "int8")
    check_equal(single, batched, ("backbone",))


def change(name: str, operator: str, **attributes: Any) -> Callable[[onnx.GraphProto], None]:
    """Put another node in the place of the first one of this operator."""

    def apply(graph: onnx.GraphProto) -> None:
        index = next(i for i, node in enumerate(graph.node) if node.op_type == name)
        old = graph.node[index]
        new = helper.make_node(operator, list(old.input), list(old.output), name="changed", **attributes)
        graph.node[index].CopyFrom(new)

    return apply


def edit(operator: str, changes: dict[int, Any]) -> Callable[[onnx.GraphProto], None]:
    """Give the first node of this operator other constants, by position."""

    def apply(graph: onnx.GraphProto) -> None:
        node = next(node for node in graph.node if node.op_type == operator)
        node.name = "changed"
        for position, value in changes.items():
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"edited_{position}"))
            node.input.extend([""] * (position + 1 - len(node.input)))
            node.input[position] = f"edited_{position}"

    return apply


def look_at_slice(graph: onnx.GraphProto) -> None:
    """Use what a slice left over for something else too."""
    node = next(node for node in graph.node if node.op_type == "Slice")
    node.name = "changed"
    graph.node.append(helper.make_node("Relu", [node.output[0]], ["seen"]))


REFUSED: list[tuple[str, Callable[[onnx.GraphProto], None], str]] = [
    ("backbone", change("Tanh", "Softmax", axis=0), r"'changed' \(Softmax\) works along the batch"),
    ("backbone", change("Tanh", "CumSum"), r"'changed' \(CumSum\) is not known to keep clips apart"),
    ("backbone", edit("ReduceMean", {1: [0, 2, 3]}), r"'changed' \(ReduceMean\) works along the batch"),
    ("backbone", edit("Slice", {1: [10], 2: [-100], 4: [-1]}), r"'changed' \(Slice\) takes apart the axis"),
    ("backbone", edit("Slice", {2: [-2]}), r"not a valid graph"),
    ("backbone", edit("Pad", {1: [0, 0, 0, 0, 1, 0, 0, 0]}), r"'changed' \(Pad\) adds frames that no slice took away"),
    ("backbone", edit("Pad", {2: np.float32(1)}), r"'changed' \(Pad\) adds frames that no slice took away"),
    ("backbone", look_at_slice, r"'changed' \(Slice\) drops a frame that no pad gives back"),
    (
        "backbone",
        change("Transpose", "Transpose", perm=[1, 0, 3, 2]),
        r"does not begin the way from a clip to its frames",
    ),
    ("segmenter", edit("GRU", {5: np.ones((2, 1, 32), np.float32)}), r"\(GRU\) starts from a state that is not zero"),
    ("segmenter", change("Relu", "Softmax", axis=0), r"'changed' \(Softmax\) works along the batch"),
    ("regressor", change("Softmax", "Softmax", axis=0), r"'changed' \(Softmax\) works along the batch"),
    ("regressor", change("Expand", "Tile"), r"'changed' \(Tile\) does not repeat the query"),
]


@pytest.mark.parametrize(("part", "break_it", "message"), REFUSED)
def test_a_graph_that_could_mix_clips_is_refused_by_name(
    part: str, break_it: Callable[[onnx.GraphProto], None], message: str, bundle: Path
) -> None:
    graphs = Bundle.open(bundle).graphs()
    model = onnx.load(str(graphs.path(part)))
    break_it(model.graph)
    with pytest.raises(ExportError, match=message):
        batch_graph(part, model, batched_records(graphs)[part])


def test_the_proof_sees_a_frame_of_another_clip(bundle: Path, tmp_path: Path) -> None:
    """Shifts by one row, as they are for one clip, would hand each clip its neighbour's frames."""
    opened = Bundle.open(bundle)
    batched = write_batched(opened.graphs(), tmp_path)
    expected = load_golden(opened)
    said: list[str] = []
    prove_batched(opened.graphs(), batched, expected, said.append)
    assert [line.split()[0] for line in said] == list(PARTS)
    assert all(float(line.split()[1]) < ROUNDING["fp32"] for line in said)
    model = onnx.load(str(batched.path("backbone")))
    count = next(node for node in model.graph.node if node.op_type == "Shape")
    one = numpy_helper.from_array(np.array([1]), "one")
    model.graph.initializer.append(one)
    count.CopyFrom(helper.make_node("Identity", ["one"], list(count.output)))
    onnx.save(model, str(batched.path("backbone")))
    with pytest.raises(ExportError, match=rf"backbone with a batch axis .* \(limit {batched_proof.LIMIT}\)"):
        prove_batched(opened.graphs(), batched, expected, said.append)


@pytest.mark.parametrize(("opset", "precision"), VARIANTS)
def test_tensorrt_rtx_builds_them_with_a_profile_for_the_batch(
    opset: int, precision: Precision, exported: Callable[[int, Precision], GraphSet], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install 'mcore-edge[rtx]'")
    flavour = load_flavour("tensorrt-rtx")
    batched = write_batched(exported(opset, precision), tmp_path)
    for part in PARTS:
        builder = EngineBuilder(flavour, part, "SM89", lambda line: None)
        engine, _ = builder.build(batched.path(part), batched.records[part], 8, b"")
        assert len(engine) > 10_000
