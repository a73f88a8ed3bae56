"""Half precision: set in PyTorch, exported strongly typed, and held to what a coach would see."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnxscript import ir
from torch import Tensor, nn

import mcore
from mcore.common.errors import BundleError, UserError
from mcore.config import GraphDecoding, ModelConfig
from mcore.data.manifest import read_manifest, select_split
from mcore.network.model import MCoRe
from mcore_export import bundle_command, exporter
from mcore_export.cli import main
from mcore_export.graphs import onnx as graphs
from mcore_export.graphs.half import ISLANDS, HalfSegmenterGraph, half_backbone
from mcore_export.graphs.onnx import graph_modules
from mcore_export.graphs.opset import to_opset_17
from mcore_export.parity.compare import compare
from mcore_export.parity.golden import load_golden
from mcore_export.parity.limits import DEFAULT_LIMITS
from mcore_runtime import Scorer
from mcore_runtime.backends import open_backend
from mcore_runtime.bundle.folder import Bundle, write_manifest
from mcore_runtime.bundle.records import PARTS, Precision, standard_graphs
from tests.reference_network import random_model

HALF_STEP = 2**-11  # relative rounding of half precision


@pytest.fixture(scope="module")
def half_bundle(checkpoint: Path, dives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint's bundle with half-precision graphs, validated on real files too."""
    out = tmp_path_factory.mktemp("half") / "bundle"
    arguments = ["--fp16", "--validate", str(dives), "--max-score-difference", "0.5"]
    assert main([str(checkpoint), "--out", str(out), *arguments]) == 0
    return out


def test_both_precisions_are_there_with_their_proof_and_exemplars(half_bundle: Path) -> None:
    bundle = Bundle.open(half_bundle)
    assert set(bundle.variants) == {"fp32", "fp16"}
    half = bundle.manifest.variants["fp16"]
    assert half.streaming is not None
    assert half.streaming.graphs["backbone_prefix"].file == "fp16/backbone_prefix.onnx"
    assert "in two parts" in {row.part for row in half.parity}
    assert {row.backend for row in half.parity} >= {"pytorch", "onnxruntime"}
    assert half.limits.points == 0.5
    assert bundle.manifest.variants["fp32"].limits == DEFAULT_LIMITS["fp32"]  # a flag for one does not loosen the other
    assert {row.case for row in half.parity if row.measure == "features"} == {"features, relative, 10 clips"}
    assert len(half.kept) == sum(map(len, ISLANDS.values()))
    tokens = bundle.load_exemplars("fp16").tokens
    assert 0 < np.abs(tokens - bundle.load_exemplars("fp32").tokens).max() < 0.05 * np.abs(tokens).max()


@pytest.mark.parametrize("part", PARTS)
def test_graphs_are_strongly_typed_and_half(half_bundle: Path, part: str) -> None:
    model = onnx.load(Bundle.open(half_bundle).graphs("fp16").path(part))
    onnx.checker.check_model(model, full_check=True)
    kinds = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert kinds <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    halves = sum(len(t.raw_data) for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16)
    floats = sum(len(t.raw_data) for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
    assert halves > 10 * floats  # what is float32 is islands


@pytest.mark.parametrize("part", PARTS)
def test_no_matrix_product_is_float32(half_bundle: Path, part: str) -> None:
    """TensorRT-RTX has none on Turing, and a forgotten cast is how one gets there."""
    path = Bundle.open(half_bundle).graphs("fp16").path(part)
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*inferred.graph.value_info, *inferred.graph.output)}
    products = [node for node in inferred.graph.node if node.op_type in ("Conv", "MatMul", "Gemm", "GRU")]
    assert products
    assert {kinds[node.output[0]] for node in products} == {onnx.TensorProto.FLOAT16}


@torch.no_grad()
def test_half_modules_round_and_no_more(tiny_config: ModelConfig, checkpoint: Path) -> None:
    model = mcore.load_checkpoint(checkpoint)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modules, exact = graph_modules(model, "fp16"), graph_modules(model, "fp32")
    tokens = torch.randn(4, tiny_config.num_tokens, tiny_config.backbone.feature_dim)
    delta, shares = modules["regressor"](tokens[:1], tokens)
    expected, _ = exact["regressor"](tokens[:1], tokens)
    assert delta.dtype == shares.dtype == torch.float32
    assert 0 < float((delta - expected).abs().max()) < 100 * HALF_STEP * max(1.0, float(expected.abs().max()))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@torch.no_grad()
def test_means_do_not_overflow_where_half_precision_would(checkpoint: Path) -> None:
    module = half_backbone(mcore.load_checkpoint(checkpoint))
    squeeze = module.get_submodule("blocks.0.se")
    first = squeeze.get_submodule("fc1")
    assert isinstance(first, nn.Conv2d)
    x = torch.full((1, first.in_channels, 112, 112), 100.0, dtype=torch.half)  # their sum is 20 times too large
    assert torch.isfinite(squeeze(x)).all()


def test_a_score_is_that_of_fp32_within_the_limit(half_bundle: Path, dives: Path) -> None:
    for record in select_split(read_manifest(dives), "test"):
        scores = []
        for precision in ("fp32", "fp16"):
            with Scorer(half_bundle, backend="onnxruntime", precision=precision) as scorer:
                result = scorer.score(record.path, record.dive_number)
            assert result.backend.precision == precision
            scores.append(result.score)
        assert 0 < abs(scores[0] - scores[1]) < 0.5


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_opset_17_is_written_as_17_and_computes_the_same(
    half_bundle: Path, tmp_path: Path, precision: Precision
) -> None:
    opened = Bundle.open(half_bundle)
    traced = opened.graphs(precision)
    rewritten = dataclasses.replace(traced, folder=tmp_path)
    for part in PARTS:
        model = ir.load(traced.path(part))
        to_opset_17(model)
        rewritten.path(part).parent.mkdir(exist_ok=True)
        ir.save(model, rewritten.path(part))
        proto = onnx.load(rewritten.path(part))
        assert [(o.domain, o.version) for o in proto.opset_import] == [("", 17)]
        onnx.checker.check_model(proto, full_check=True)
    with closing(open_backend(rewritten, "onnxruntime")) as backend:
        rows = compare(backend, load_golden(opened), opened.manifest.variants[precision].limits)
    assert [row for row in rows if not row.passed] == []


def test_a_newer_opset_is_traced_as_such(tiny_config: ModelConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_config, decoder_layers=1)
    records = {"regressor": standard_graphs(config)["regressor"]}
    modules = graph_modules(random_model(MCoRe(config)), "fp16")
    ((_, path),) = graphs.export_graphs(modules, records, tmp_path, 20)
    proto = onnx.load(path)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 20)]
    onnx.checker.check_model(proto, full_check=True)


def test_graphs_are_exported_in_the_opset_that_was_asked_for(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def stop(modules: object, records: object, folder: Path, opset: int) -> Iterator[tuple[str, Path]]:
        asked.append(opset)
        raise UserError("enough")

    monkeypatch.setattr(exporter, "export_graphs", stop)
    assert main([str(checkpoint), "--out", str(tmp_path / "bundle"), "--opset", "20"]) == 2
    assert asked == [20]


class WrongIsland(HalfSegmenterGraph):
    """Logits rounded to a quarter: frames that are close tie, and the first of them wins."""

    def __init__(self, model: MCoRe, decoding: GraphDecoding) -> None:
        super().__init__(model, decoding)
        self.register_module("output", Coarse(self.output))


class Coarse(nn.Module):
    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.source = source

    def forward(self, x: Tensor) -> Tensor:
        rounded: Tensor = torch.round(self.source(x) * 4) / 4
        return rounded


def test_a_flipped_boundary_is_counted_apart_from_drift(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(graphs, "HalfSegmenterGraph", WrongIsland)
    out = tmp_path / "bundle"
    flags = ["--fp16", "--no-streaming", "--max-score-difference", "0.5"]
    assert main([str(checkpoint), "--out", str(out), *flags]) == 1
    captured = capsys.readouterr()
    assert "segmenter on pytorch: flipped transitions, share" in captured.err
    assert "largest score difference with flipped transitions" in captured.out
    assert not out.exists()


def test_another_precisions_exemplars_are_refused(half_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(half_bundle, tmp_path / "copy"))
    shutil.copy(copy / "exemplars.npz", copy / "fp16" / "exemplars.npz")
    write_manifest(copy, Bundle.open(half_bundle).manifest)
    with pytest.raises(BundleError, match=r"fp16/exemplars.npz was encoded by other graphs than the fp16"):
        Scorer(copy, precision="fp16")


def test_the_list_says_what_is_there_and_what_runs(half_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundle_command.main(["show", str(half_bundle)]) == 0
    out = capsys.readouterr().out
    assert "fp16: " in out
    assert "in higher precision: segmenter: logits" in out
    assert ("pictures of the exemplars: " in out) == (Bundle.open(half_bundle).exemplar_pictures() is not None)
    assert "  onnxruntime       fp32, fp16  runs (CPUExecutionProvider)" in out
    assert re.search(r"  tensorrt          fp32, fp16  no: .*", out) or "tensorrt          fp16  runs" in out
