"""Export end to end: a bundle scores as its checkpoint does, says how that was proven, and refuses mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import mcore
from mcore.data.manifest import read_manifest, select_split, write_manifest
from mcore.network.checkpoint import read_checkpoint
from mcore.video import normalise, read_clip
from mcore_export.cli import main
from mcore_runtime import Scorer
from mcore_runtime.bundle.folder import GOLDEN_FILE, Bundle

POINTS = 1e-3  # float32 through two runtimes, on scores of tens of points


def test_bundle_scores_unseen_dives_as_the_checkpoint_does(bundle: Path, checkpoint: Path, dives: Path) -> None:
    model = mcore.load_checkpoint(checkpoint)
    config = model.config.clip
    records = read_manifest(dives)
    with Scorer(bundle) as scorer:
        for query in select_split(records, "test"):
            same = [r for r in select_split(records, "train") if r.dive_number == query.dive_number]
            tokens = model.encode(np.stack([read_clip(r.path, config) for r in same])).tokens
            encoding = model.encode(read_clip(query.path, config)[None])
            delta = model.compare(encoding.tokens, tokens).numpy()
            expected = float(np.mean(delta + np.array([r.score for r in same])))
            result = scorer.score(query.path, query.dive_number)
            assert result.score == pytest.approx(expected, abs=POINTS)
            assert list(result.transitions) == encoding.transitions[0].tolist()
            assert len(result.exemplars) == 2


def test_manifest_says_what_was_exported_and_how_it_was_proven(bundle: Path, checkpoint: Path) -> None:
    manifest = Bundle.open(bundle).manifest
    assert manifest.model == read_checkpoint(checkpoint).config
    assert manifest.checkpoint.name == checkpoint.name
    assert manifest.checkpoint.epoch == 4
    assert manifest.opset == 18
    assert set(manifest.tools) - {"openvino"} == {"mcore-edge", "torch", "onnx", "onnxscript", "onnxruntime", "numpy"}
    assert set(manifest.variants) == {"fp32"}
    variant = manifest.variants["fp32"]
    assert variant.exemplars is not None
    assert dict(variant.exemplars.per_dive_number) == {"107B": 2, "407C": 2}
    assert {row.part for row in variant.parity} == {
        "backbone",
        "segmenter",
        "regressor",
        "whole chain",
        "in two parts",
    }
    assert all(row.passed for row in variant.parity)
    assert sum("E = " in row.case for row in variant.parity) >= 2  # more than one number of them
    assert {row.measure for row in variant.parity if row.limit is None} == {"score_mean", "tie"}
    assert str(checkpoint.parent) not in (bundle / "manifest.json").read_text()  # no path of the training machine


@pytest.mark.parametrize("part", ["backbone", "segmenter", "regressor"])
def test_graphs_are_whole_checked_and_free_of_scatters(bundle: Path, part: str) -> None:
    model = onnx.load(bundle / f"{part}.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")) == 18
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"ScatterND", "ScatterElements", "Loop", "If", "NonZero"}
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


def test_golden_values_are_what_the_checkpoint_computes(bundle: Path, checkpoint: Path) -> None:
    model = mcore.load_checkpoint(checkpoint)
    with np.load(bundle / GOLDEN_FILE, allow_pickle=False) as golden:
        clips = [normalise(frames, model.config.clip) for frames in golden["frames"]]
        encoding = model.encode(np.stack(clips))
        assert np.allclose(encoding.features.numpy(), golden["features"], atol=1e-5)
        assert np.array_equal(encoding.transitions.numpy(), golden["transitions"])
        delta = model.compare(encoding.tokens[:1], encoding.tokens).numpy()
        assert np.allclose(delta, golden["deltas"][0], atol=1e-5)
        assert np.allclose(golden["mixed_stage_deltas"].sum(1), golden["mixed_deltas"], atol=1e-5)


def test_a_network_that_never_learned_stages_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = torch.load(checkpoint, weights_only=True)
    values["extra"]["training"] = {"stages": "thirds"}
    torch.save(values, tmp_path / "best.pt")
    assert main([str(tmp_path / "best.pt"), "--out", str(tmp_path / "bundle")]) == 2
    assert "was trained with --stages thirds" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.pt"], "there is nothing at missing.pt; give a checkpoint"),
        (["{checkpoint}", "--opset", "12"], "allowed: 17 to 20"),
        (["{checkpoint}", "--exemplars", "missing.jsonl"], "no list of dives at"),
        (["{checkpoint}", "--exemplar-split", "val"], "no dive of split 'val'"),
        (["{checkpoint}", "--max-score-difference", "-1"], "--max-score-difference is -1.0; allowed: 0 or more"),
        (["{checkpoint}", "--validate", "missing.jsonl"], "no list of dives at"),
        (["{checkpoint}", "--validate", "{dives}", "--validate-split", "val"], "no dive of split 'val'"),
        (["{checkpoint}", "--validate", "{dives}", "--validate-most", "0"], "0 dives to validate on; at least 1"),
        (["{checkpoint}", "--int8", "--fp16"], "--fp16 and --int8 are two bundles"),
        (["{checkpoint}", "--keep-slower"], "--keep-slower is about --int8"),
        (["{checkpoint}", "--for-cpu", "--engine", "tensorrt-rtx"], "graphs for CPUs and engines for GPUs are two"),
        (["{checkpoint}", "--int8", "--exemplars", "{one}"], "from at least 2 of the dives that become exemplars"),
    ],
)
def test_mistakes_exit_with_2_before_the_work_and_leave_nothing(
    checkpoint: Path, dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    one = tmp_path / "one.jsonl"
    write_manifest(one, select_split(read_manifest(dives), "train")[:1])
    arguments = [a.format(checkpoint=checkpoint, dives=dives, one=one) for a in arguments]
    assert main([*arguments, "--out", str(tmp_path / "bundle")]) == 2
    captured = capsys.readouterr()
    assert reason in captured.err
    assert ".onnx" not in captured.out
    assert list(tmp_path.iterdir()) == [one]
