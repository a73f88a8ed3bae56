"""The account of a backbone's time: every node has a kind, kinds sum to the whole, and no operation is lost in int8."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mcore_bench.layers import LayerTime, _convolutions, _used, profile_layers
from mcore_bench.limit import KINDS, LayerReport, Limits, Peak, group_layers, kind_of
from mcore_bench.show import DASH, groups_table, kinds_table, limit_tables, plain_cells, profile_note
from mcore_export.quantise.qdq import convolutions, insert_pairs, load_graph, observe_ranges
from mcore_runtime.bundle.folder import Bundle

LIMITS = Limits(1, (Peak("fp32", 100, "a", 8), Peak("bf16", 200, "a", 8), Peak("int8", 400, "b", 8)), 10.0, (), ())


@pytest.fixture(scope="module")
def quantised(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's backbone with all convolutions but the stem's in int8."""
    source = Bundle.open(bundle).graphs("fp32").path("backbone")
    clips = np.random.default_rng(0).standard_normal((2, *_shape(bundle)[1:]), np.float32)
    model = load_graph(source)
    chosen = [each.node for each in convolutions(model) if "stem" not in each.name]
    path = tmp_path_factory.mktemp("int8") / "backbone.onnx"
    onnx.save(insert_pairs(model, observe_ranges(source, list(clips), "minmax"), chosen, "uint8"), path)
    return path


def _shape(bundle: Path) -> tuple[int, ...]:
    c = Bundle.open(bundle).model.clip
    return 1, 3, c.num_frames, c.crop_size, c.crop_size


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("openvino", "fp32"), ("openvino", "int8"),
     ("openvino-bf16", "fp32")],
)  # fmt: skip
def test_every_contender_is_accounted_for(bundle: Path, quantised: Path, backend: str, precision: str) -> None:
    pytest.importorskip(backend.removesuffix("-bf16"))
    graph = quantised if precision == "int8" else Bundle.open(bundle).graphs("fp32").path("backbone")
    layers = profile_layers(backend, graph, np.zeros(_shape(bundle), np.float32), 1)
    assert not [layer.group for layer in layers.values() if kind_of(layer.group) == "other"]
    assert {layer.computed for layer in layers.values() if layer.macs} <= {"fp32", "bf16", "int8"}
    of_graph = {id(layer): layer.macs for layer in _convolutions(graph).values()}
    assert sum(layer.macs for layer in layers.values()) == sum(of_graph.values())
    wanted = {layer.arithmetic for layer in layers.values() if layer.macs}
    assert wanted == ({"fp32", "int8"} if precision == "int8" else {"bf16" if "bf16" in backend else "fp32"})
    report = group_layers(backend, layers, LIMITS, precision)
    assert sum(kind.ms for kind in report.kinds) == pytest.approx(report.total.ms)
    assert sum(kind.floor_ms for kind in report.kinds) == pytest.approx(report.total.floor_ms)
    assert report.total.share == pytest.approx(1)


def test_int8_has_the_operations_of_float32(bundle: Path, quantised: Path) -> None:
    graphs = (Bundle.open(bundle).graphs("fp32").path("backbone"), quantised)
    totals = [sum({id(layer): layer.macs for layer in _convolutions(path).values()}.values()) for path in graphs]
    assert totals[0] == totals[1] > 0


@pytest.mark.parametrize(
    ("zeroed", "kernel", "used"),
    [
        (np.s_[3], 1, 3 * 2),  # an output channel that widening added
        (np.s_[:, 1], 1, 4),  # an input channel
        (np.s_[0, 0], 1, 4 * 2),  # one weight, which rounding can do
        (np.s_[0, 0], 3, 7 * 9),  # a kernel between two groups
        (np.s_[0, 0, 0, 0], 3, 8 * 9),
    ],
)
def test_weights_that_are_zero_by_definition_do_not_count(zeroed: Any, kernel: int, used: int) -> None:
    weight = np.ones((4, 2, kernel, kernel), np.int8)
    weight[zeroed] = 0
    assert _used(weight) == used


LAYERS = {
    "a": LayerTime("gate, 4 x 4", 3.0, 50_000_000, "int8", "fp32"),
    "b": LayerTime("gate, 7 x 7", 1.0, 100_000_000, "int8", "int8"),
    "c": LayerTime("1x1 convolution, 4 x 4", 2.0, 50_000_000, "fp32", "fp32"),
    "d": LayerTime("moving data: Split", 1.5, 0),
    "e": LayerTime("elementwise: Add", 0.5, 0),
    "f": LayerTime("other: Conv", 2.0, 0),
}


def test_the_table_by_kind_explains_all_of_the_time() -> None:
    report = group_layers("engine int8", LAYERS, LIMITS, "int8", 9.5)
    rows = {name: figures for name, *figures in plain_cells(kinds_table(report))[1:]}
    assert rows["gate"] == ["4.0", "0.8", "3.2", "19%"]  # of int8's peak, whatever the engine did
    assert rows["1x1 convolution"] == ["2.0", "1.0", "1.0", "50%"]
    assert rows["moving data"] == ["1.5", "0.0", "1.5", DASH]
    assert rows["all"] == ["10.0", "1.8", "8.2", "18%"]
    assert list(rows) == [*(kind for kind in KINDS if kind in rows), "all"]
    reasons = plain_cells(limit_tables(dataclasses.replace(LIMITS, layers=(report, report)))[2])
    assert [kind for kind, _ in reasons[1:]] == list(rows)[:-1]
    note = profile_note(report)
    assert "sum to 10.0 ms; the same part takes 9.5 ms without it" in note
    assert "1 of 3 convolutions are int8 in the graph and were computed in fp32: 3.0 ms." in note
    assert [group.name for group in report.groups][:2] == ["gate, 4 x 4", "other: Conv"]
    assert plain_cells(groups_table(report))[1] == ["gate, 4 x 4", "3.0", "30%", "0.2", "8%"]


def test_a_report_of_an_older_file_says_only_what_it_knows() -> None:
    old = LayerReport("onnxruntime fp32", group_layers("x", LAYERS, LIMITS, "fp32").groups)
    assert profile_note(old) == "Floors of fp32. The profiler's nodes sum to 10.0 ms."


def test_peaks_are_told_in_what_they_are() -> None:
    assert [peak.rate for peak in LIMITS.peaks] == ["100 GFLOP/s", "200 GFLOP/s", "400 GOP/s"]
