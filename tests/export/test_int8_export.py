"""``mcore-export --int8``: within the limits, faster than fp32, or not written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from mcore.data.manifest import read_manifest, select_split
from mcore_export import bundle_command, exporter
from mcore_export.cli import main
from mcore_export.graphs import cpu_layout as tiles
from mcore_export.parity.golden import load_golden
from mcore_export.quantise import variant as int8_variant
from mcore_export.speed import SpeedRow
from mcore_runtime import Scorer
from mcore_runtime.bundle.folder import Bundle

FLAGS = (
    "--int8",
    "--no-streaming",
    "--max-score-difference",
    "5",
    "--max-flips",
    "0.5",
    "--min-srcc",
    "0.5",
)
"""The tests' network is far smaller than a real one, and its weights are random."""


def speed_rows(ratio: float) -> Sequence[SpeedRow]:
    """Int8 against fp32 as if measured."""
    return [SpeedRow("openvino", part, ratio, ratio - 0.1, ratio + 0.1) for part in ("backbone", "whole chain")]


@pytest.fixture(scope="module")
def int8_bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint's bundle with int8 graphs, kept whatever the test machine's speed."""
    out = tmp_path_factory.mktemp("int8") / "bundle"
    assert main([str(checkpoint), "--out", str(out), *FLAGS, "--keep-slower"]) == 0
    return out


def test_the_bundle_says_what_is_int8_and_what_was_measured(int8_bundle: Path) -> None:
    bundle = Bundle.open(int8_bundle)
    variant = bundle.manifest.variants["int8"]
    assert variant.precision["backbone"].startswith("int8")
    assert variant.precision["segmenter"] == variant.precision["regressor"] == "fp32"
    graphs = bundle.graphs("int8")
    assert graphs.path("segmenter") == bundle.graphs("fp32").path("segmenter")  # what is not quantised is shared
    assert graphs.path("backbone").stat().st_size < bundle.graphs("fp32").path("backbone").stat().st_size
    assert all("as fast as fp32" in line for line in variant.speed)
    assert {row.backend for row in variant.parity} >= {"onnxruntime"}
    assert all(row.passed for row in variant.parity)


def test_int8_scores_with_its_own_exemplars(int8_bundle: Path, dives: Path) -> None:
    record = select_split(read_manifest(dives), "test")[0]
    scores = []
    for precision in ("fp32", "int8"):
        with Scorer(int8_bundle, backend="onnxruntime", precision=precision) as scorer:
            scores.append(scorer.score(record.path, record.dive_number).score)
    assert 0 < abs(scores[0] - scores[1]) < 5
    out = int8_bundle.parent / "accuracy.json"
    arguments = ["--backend", "onnxruntime", "--num-resamples", "2", "--json", str(out)]
    assert bundle_command.main(["accuracy", str(int8_bundle), "--data", str(dives), *arguments]) == 0
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert [(row["precision"], row["from_fp32_mean_points"] > 0) for row in rows] == [
        *[("fp32", False)] * 2,
        *[("int8", True)] * 2,
    ]


def test_for_cpu_tiles_fp32_and_quantises_what_is_whole(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(int8_variant, "compare_speed", lambda *_: speed_rows(1.5))
    monkeypatch.setattr(tiles, "LARGE_BYTES", 0)
    monkeypatch.setattr(tiles, "TILE_BYTES", 100_000)  # two tiles in place of each layer
    out = tmp_path / "bundle"
    assert main([str(checkpoint), "--out", str(out), *FLAGS, "--keep-slower", "--for-cpu"]) == 0
    bundle = Bundle.open(out)
    counts = []
    for precision in ("fp32", "int8"):
        nodes = onnx.load(bundle.graphs(precision).path("backbone")).graph.node
        counts.append(sum(node.op_type == "Conv" for node in nodes))
    assert counts[0] > 2 * counts[1]
    assert all(row.passed for variant in bundle.manifest.variants.values() for row in variant.parity)
    capsys.readouterr()
    assert bundle_command.main(["engine", str(out), "--kind", "tensorrt-rtx", "--precision", "fp32"]) == 2
    assert "fp32 graphs of " in (err := capsys.readouterr().err)
    assert f"Export {checkpoint.name} again without --for-cpu" in err.replace("\n", " ")
    assert bundle_command.main(["show", str(out)]) == 0
    assert capsys.readouterr().out.count("CPU layout (--for-cpu)") == 2


def test_an_engine_built_with_it_is_int8(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install '.[rtx]'")
    monkeypatch.setattr(int8_variant, "compare_speed", lambda *_: speed_rows(1.5))
    out = tmp_path / "bundle"
    engine = ("--engine", "tensorrt-rtx", "--target", "sm89")
    assert main([str(checkpoint), "--out", str(out), *FLAGS, "--keep-slower", *engine]) == 0
    assert [record.precision for record in Bundle.open(out).manifest.engines] == ["int8"]


def test_it_is_written_only_where_it_is_faster(
    checkpoint: Path, int8_bundle: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bundle, said = Bundle.open(int8_bundle), list[str]()
    graphs, golden = (bundle.graphs("fp32"), bundle.graphs("int8")), load_golden(bundle)
    monkeypatch.setattr(int8_variant, "compare_speed", lambda *_: speed_rows(1.5))
    assert int8_variant.measure_speed(*graphs, golden, said.append, keep_slower=False) == tuple(said)
    made = SimpleNamespace(graphs=graphs[1], describe_float32_layers=lambda: ())
    monkeypatch.setattr(exporter, "_quantise", lambda *_: made)
    monkeypatch.setattr(int8_variant, "compare_speed", lambda *_: speed_rows(0.9))
    assert main([str(checkpoint), "--out", str(tmp_path / "bundle"), *FLAGS]) == 1
    error = capsys.readouterr().err
    for words in ("int8 is not faster than fp32 on this machine", "x0.90", "--keep-slower"):
        assert words in error
    assert list(tmp_path.iterdir()) == []
