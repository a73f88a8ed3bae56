"""int8 graphs: ranges from the clips given, no less accurate than asked, and readable by the backends they are for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxruntime.quantization.qdq_quantizer as ort_quantiser
import pytest
from onnx import TensorProto, helper, numpy_helper

from mcore.common.errors import ExportError, UserError
from mcore.config import BackboneConfig, ClipConfig, ModelConfig
from mcore_export.quantise import int8, qdq
from mcore_export.quantise.int8 import ParityVerdict, quantise
from mcore_runtime.backends.ort import OrtBackend
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, GraphSet, standard_graphs

FRAMES, SIDE, DIM = 4, 8, 8
MODEL = ModelConfig(
    clip=ClipConfig(num_frames=FRAMES, resize_height=SIDE, resize_width=SIDE, crop_size=SIDE),
    backbone=BackboneConfig(stem_width=8, widths=(DIM,), depths=(1,)),
)
LOUD = 2000.0
"""Gain of one channel before ``outlier``: with one scale for all channels, the others fall below its steps."""
LIMIT = 0.03
"""Relative error of features that the test allows: eight bits cost 1 %, the loud channel far more."""


def build_graphs(folder: Path, more: int = 0, loud: float = LOUD) -> GraphSet:
    """Three convolutions, one of which sees a channel far louder than the others, and ``more`` behind them.

    The other parts are copied, never opened, so they need not be graphs.
    """
    rng = np.random.default_rng(0)
    first = rng.standard_normal((4, 3, 1, 1)).astype(np.float32)
    first[0] *= loud
    outlier = rng.standard_normal((4, 4, 3, 3)).astype(np.float32)
    outlier[:, 0] /= loud**2  # what is loud does not matter for the result
    constants = {
        "backbone.first.weight": first,
        "backbone.first.bias": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
        "backbone.outlier.weight": outlier,
        "backbone.last.weight": rng.standard_normal((DIM, 4, 1, 1)).astype(np.float32),
        "batch": np.array([0]),
        "space": np.array([2, 3]),
    }
    node = helper.make_node
    nodes = [
        node("Squeeze", ["clip", "batch"], ["colours_first"]),
        node("Transpose", ["colours_first"], ["frames"], perm=[1, 0, 2, 3]),
        node("Conv", ["frames", "backbone.first.weight", "backbone.first.bias"], ["a"], name="conv_a"),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "backbone.outlier.weight"], ["c"], pads=[1, 1, 1, 1], name="conv_b"),
        node("Relu", ["c"], ["d"]),
        node("Conv", ["d", "backbone.last.weight"], ["e"]),  # the exporter names nodes; others may not
        *(node("Conv", [f"e{i}" if i else "e", f"backbone.more{i}.weight"], [f"e{i + 1}"]) for i in range(more)),
        node("ReduceMean", [f"e{more}" if more else "e", "space"], ["f"], keepdims=0),
        node("Unsqueeze", ["f", "batch"], ["features"]),
    ]
    for i in range(more):
        constants[f"backbone.more{i}.weight"] = rng.standard_normal((DIM, DIM, 1, 1)).astype(np.float32)
    records = standard_graphs(MODEL)
    inputs, outputs = (
        [helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, spec.shape) for spec in specs]
        for specs in (records["backbone"].inputs, records["backbone"].outputs)
    )
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "backbone", inputs, outputs, initializers)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "backbone.onnx"
    )
    for part in ("segmenter", "regressor"):
        (folder / f"{part}.onnx").write_bytes(part.encode())
    return GraphSet(folder, records, dict.fromkeys(PARTS, "fp32"))


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> GraphSet:
    return build_graphs(tmp_path_factory.mktemp("fp32"))


def clips(count: int, scale: float = 1.0) -> list[Any]:
    rng = np.random.default_rng(1)
    return [scale * rng.standard_normal((3, FRAMES, SIDE, SIDE), np.float32) for _ in range(count)]


def always(_: GraphSet) -> ParityVerdict:
    return ParityVerdict(True, "not measured")


def never(_: GraphSet) -> ParityVerdict:
    return ParityVerdict(False, "9.9 points")


def features(path: Path, clip: Any) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["features"], {"clip": clip[None]})[0]


def relative(actual: Any, expected: Any) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


class FeaturesAccuracy:
    """Compares features, and remembers what it was asked."""

    def __init__(self, source: GraphSet, clip: Any) -> None:
        self.clip, self.expected = clip, features(source.path("backbone"), clip)
        self.asked: list[str] = []

    def __call__(self, graphs: GraphSet) -> ParityVerdict:
        assert all(graphs.path(part).is_file() for part in PARTS)
        error = relative(features(graphs.path("backbone"), self.clip), self.expected)
        self.asked.append(graphs.precision["backbone"])
        return ParityVerdict(error <= LIMIT, f"features off by {error:.1%}")


def constants_of(graphs: GraphSet) -> dict[str, Any]:
    model = onnx.load(str(graphs.path("backbone")))
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_the_layer_that_loses_accuracy_stays_float32_and_no_other(graphs: GraphSet, tmp_path: Path) -> None:
    check_parity, said = FeaturesAccuracy(graphs, clips(9)[-1]), list[str]()
    result = quantise(graphs, tmp_path, clips(8), check_parity, log=said.append)
    assert [layer.name for layer in result.kept] == ["outlier"]
    assert result.kept[0].error > LIMIT > result.feature_error
    assert result.graphs.precision == {
        "backbone": "int8 (1 of 3 convolutions fp32)",
        "segmenter": "fp32",
        "regressor": "fp32",
    }
    assert check_parity.asked == ["int8", "int8 (1 of 3 convolutions fp32)"]
    assert result.verdict.passed
    assert check_parity(result.graphs) == result.verdict  # what was returned is what was measured
    assert result.describe_float32_layers()[0].startswith("outlier: alone in int8 it moves features by ")
    assert any("1 of 3 convolutions in fp32 passes: features off by" in line for line in said)


def test_where_all_may_be_int8_accuracy_is_asked_once(graphs: GraphSet, tmp_path: Path) -> None:
    asked: list[str] = []

    def check_parity(trial: GraphSet) -> ParityVerdict:
        asked.append(trial.precision["backbone"])
        return always(trial)

    result = quantise(graphs, tmp_path, clips(2), check_parity)
    assert asked == ["int8"]
    assert (result.kept, result.num_convolutions) == ((), 3)
    assert result.graphs.precision["backbone"] == "int8"
    assert (result.graphs.variant, result.graphs.records["backbone"].file) == ("int8", "int8/backbone.onnx")
    model = onnx.load(str(result.graphs.path("backbone")))
    onnx.checker.check_model(model, full_check=True)
    assert [opset.domain for opset in model.opset_import] == [""]
    assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == 3  # before each, behind none
    for part in ("segmenter", "regressor"):
        assert result.graphs.path(part).read_bytes() == graphs.path(part).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["int8"]


@pytest.mark.parametrize(("activations", "dtype"), [("uint8", np.uint8), ("int8", np.int8)])
def test_weights_are_per_channel_and_activations_as_asked(
    graphs: GraphSet, tmp_path: Path, activations: Any, dtype: type
) -> None:
    result = quantise(graphs, tmp_path, clips(4), always, activations=activations)
    values = constants_of(result.graphs)
    assert values["backbone.last.weight_quantized"].dtype == np.int8
    assert values["backbone.last.weight_scale"].shape == (DIM,)
    points = {name: value for name, value in values.items() if name.endswith("_zero_point") and value.ndim == 0}
    assert {value.dtype for value in points.values()} == {np.dtype(dtype)}
    assert (activations == "uint8") == any(points.values())
    assert values["backbone.first.bias"].dtype == np.float32  # TensorRT refuses int32 ones


def test_ranges_come_from_the_clips_that_are_not_held_out(graphs: GraphSet, tmp_path: Path) -> None:
    def input_scale(calibration: Sequence[Any]) -> float:
        result = quantise(graphs, tmp_path, calibration, always, methods=("minmax",))
        return float(constants_of(result.graphs)["frames_scale"])

    quiet, loud = clips(4), clips(4, scale=10)
    spread = max(c.max() for c in [quiet[0], *quiet[2:]]) - min(c.min() for c in [quiet[0], *quiet[2:]])
    assert input_scale(quiet) == pytest.approx(spread / 255, rel=1e-5)
    assert input_scale(loud) == pytest.approx(10 * spread / 255, rel=1e-5)
    assert input_scale([*quiet[:3], loud[3]]) > 5 * input_scale(quiet)
    assert input_scale([quiet[0], loud[1], *quiet[2:]]) == input_scale(quiet)  # the second only compares features


def test_the_method_with_the_smallest_error_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scales = {"minmax": 0.1, "entropy": 1.0, "percentile": 0.3}

    def misled(path: Path, seen: Sequence[Any], method: Any) -> Any:
        return qdq.observe_ranges(path, [scales[method] * clip for clip in seen], method)

    monkeypatch.setattr(int8, "observe_ranges", misled)
    said: list[str] = []
    (tmp_path / "fp32").mkdir()
    result = quantise(build_graphs(tmp_path / "fp32", loud=1.0), tmp_path, clips(4), always, log=said.append)
    told = {line.split()[3]: float(line.split()[-1].rstrip("%")) for line in said if "ranges by" in line}
    assert result.method == "entropy"
    assert told["entropy"] < told["percentile"] < told["minmax"]
    assert result.feature_error == pytest.approx(told["entropy"] / 100, abs=1e-4)


@pytest.mark.parametrize("allowed", [2, 3])
def test_what_is_written_is_the_last_that_passed_not_the_last_that_was_tried(tmp_path: Path, allowed: int) -> None:
    """Of 6 convolutions 1, 2 and 4 are tried in float32, then 3: it passes where 3 may be int8."""
    (tmp_path / "fp32").mkdir()
    counts: list[int] = []

    def check_parity(trial: GraphSet) -> ParityVerdict:
        count = sum("weight_quantized" in name for name in constants_of(trial))
        counts.append(count)
        return ParityVerdict(count <= allowed, f"{count} in int8")

    result = quantise(build_graphs(tmp_path / "fp32", more=3), tmp_path, clips(4), check_parity)
    assert counts == [6, 5, 4, 2, 3]
    assert check_parity(result.graphs) == result.verdict == ParityVerdict(True, f"{allowed} in int8")
    assert result.graphs.precision["backbone"] == f"int8 ({6 - allowed} of 6 convolutions fp32)"
    errors = [layer.error for layer in result.kept]
    assert len(errors) == 6 - allowed
    assert errors == sorted(errors, reverse=True)


def test_the_same_clips_give_the_same_graphs(graphs: GraphSet, tmp_path: Path) -> None:
    check_parity = FeaturesAccuracy(graphs, clips(9)[-1])
    one, two = (quantise(graphs, tmp_path / name, clips(6), check_parity) for name in ("one", "two"))
    assert one.graphs.path("backbone").read_bytes() == two.graphs.path("backbone").read_bytes()
    assert one.kept == two.kept


def test_without_accuracy_nothing_is_written_and_the_layers_are_named(graphs: GraphSet, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot be int8 within the limits") as caught:
        quantise(graphs, tmp_path, clips(4), never)
    assert "with all 3 convolutions in int8 9.9 points" in str(caught.value)
    assert "Costliest for the features: outlier (" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_breaks_leaves_the_older_graphs(graphs: GraphSet, tmp_path: Path) -> None:
    before = quantise(graphs, tmp_path, clips(2), always).graphs.digest()

    def broken(_: GraphSet) -> ParityVerdict:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        quantise(graphs, tmp_path, clips(4), broken)
    assert [path.name for path in tmp_path.iterdir()] == ["int8"]
    kept = GraphSet(tmp_path / "int8", graphs.records, graphs.precision)
    assert kept.digest() == before


def test_a_quantiser_that_ignores_an_option_is_found_out(
    graphs: GraphSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Old(ort_quantiser.QDQQuantizer):  # type: ignore[misc]  # the base class has no types
        def __init__(self, *args: Any) -> None:
            super().__init__(*args[:-1], {**args[-1], "QuantizeBias": True})

    monkeypatch.setattr(ort_quantiser, "QDQQuantizer", Old)
    with pytest.raises(ExportError, match=r"or biases too; upgrade it with"):
        quantise(graphs, tmp_path, clips(2), always)


def test_what_cannot_be_asked_for(graphs: GraphSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 clips to take ranges from; at least 2"):
        quantise(graphs, tmp_path, clips(1), always)


def test_it_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import mcore_export.quantise.int8, mcore_export.speed"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_a_real_network_in_int8_scores_on_both_engines(bundle: Path, tmp_path: Path) -> None:
    """Random weights amplify rounding, so that this is about engines reading the graphs and about their agreement."""
    from mcore_runtime.backends.openvino import OpenVinoBackend

    pytest.importorskip("openvino", reason="needs OpenVINO: pip install '.[openvino]'")
    opened = Bundle.open(bundle)
    source, clip = opened.graphs("fp32"), opened.model.clip
    rng = np.random.default_rng(0)
    shape = (3, clip.num_frames, clip.crop_size, clip.crop_size)
    calibration = [rng.standard_normal(shape, np.float32) for _ in range(4)]
    result = quantise(source, tmp_path, calibration, always, methods=("minmax",))
    engines: list[Callable[[GraphSet], Any]] = [
        lambda graphs: OrtBackend(graphs, "onnxruntime", threads=1),
        lambda graphs: OpenVinoBackend(graphs, threads=1),
    ]
    with closing(engines[0](source)) as exact:
        expected = exact.backbone(calibration[0][None])
    for engine in engines:
        with closing(engine(result.graphs)) as backend:
            assert backend.precision["backbone"] == "int8"
            found = backend.backbone(calibration[0][None])
            tokens = backend.segmenter(found)[2]
            assert np.isfinite(backend.regressor(tokens, tokens)[0]).all()
        assert 1e-4 < relative(found, expected) < 0.3
