"""Export end to end: a bundle scores as its checkpoint does, and a graph that does not is never written."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import mcore
from mcore.checkpoint import read_checkpoint
from mcore.config import ModelConfig
from mcore.data.manifest import read_manifest, select_split
from mcore.errors import UserError
from mcore.video import crop, normalise, read_clip, sample_clip
from mcore_export import graphs
from mcore_export.cli import main
from mcore_export.compare import Expected, FloatArray, compare
from mcore_export.folder import appearing_folder
from mcore_export.gate import expect, rendered_clips
from mcore_runtime import Scorer
from mcore_runtime.backends import Backend, open_backend
from mcore_runtime.bundle import GOLDEN_FILE, Bundle
from mcore_runtime.moments import moment_frames
from mcore_runtime.records import GateLimits

POINTS = 1e-3  # float32 through two runtimes, on scores of tens of points


@pytest.fixture(scope="module")
def expected(checkpoint: Path, tiny_config: ModelConfig) -> Expected:
    return expect(mcore.load_checkpoint(checkpoint), rendered_clips(tiny_config.clip)[:4])


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
    assert {row.part for row in variant.gate} == {
        "backbone",
        "segmenter",
        "regressor",
        "whole chain",
        "in two parts",
    }
    assert all(row.passed for row in variant.gate)
    assert sum("E = " in row.case for row in variant.gate) >= 2  # more than one number of them
    assert {row.measure for row in variant.gate if row.limit is None} == {"score_mean", "tie"}
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


class DeltaOffByTenths(graphs.RegressorGraph):
    def forward(self, query: Tensor, exemplars: Tensor) -> tuple[Tensor, Tensor]:
        delta, shares = super().forward(query, exemplars)
        return delta + 0.1, shares


def test_a_graph_that_disagrees_is_never_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(graphs._GRAPHS["fp32"], "regressor", DeltaOffByTenths)
    assert main([str(checkpoint), "--out", str(tmp_path / "bundle")]) == 1
    assert (
        "regressor on onnxruntime: delta and stage shares, points, E = 1 is 0.1, allowed 0.01"
        in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


class Tampered:
    """A backend whose outputs are not what the graphs computed."""

    def __init__(self, backend: Backend, part: str) -> None:
        self.backend, self.part = backend, part

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def backbone(self, clip: FloatArray) -> FloatArray:
        features = self.backend.backbone(clip)
        return features * np.float32(1.01) if self.part == "features" else features

    def segmenter(self, features: FloatArray) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
        logits, transitions, tokens = self.backend.segmenter(features)
        if self.part == "logits":
            logits = logits + np.float32(np.nan)
        if self.part == "transitions":
            transitions = transitions + 1
        if self.part == "tokens":
            tokens = tokens * np.float32(1.01)
        return logits, transitions, tokens

    def regressor(self, query: FloatArray, exemplars: FloatArray) -> tuple[FloatArray, FloatArray]:
        delta, shares = self.backend.regressor(query, exemplars)
        if self.part == "shares":
            shares = shares[:, ::-1]
        if self.part == "many" and len(exemplars) > 2:
            delta = np.roll(delta, 1)
        return delta, shares


@pytest.mark.parametrize(
    ("part", "failing"),
    [
        ("nothing", set()),
        ("features", {"backbone", "whole chain"}),
        ("logits", {"segmenter"}),
        ("transitions", {"segmenter", "whole chain"}),
        ("tokens", {"segmenter", "whole chain"}),
        ("shares", {"regressor"}),
        ("many", {"regressor", "whole chain"}),
    ],
)
def test_gate_names_the_part_that_disagrees(bundle: Path, expected: Expected, part: str, failing: set[str]) -> None:
    with closing(open_backend(Bundle.open(bundle).graphs(), "onnxruntime")) as backend:
        rows = compare(Tampered(backend, part), expected, GateLimits())
    assert {row.part for row in rows if not row.passed} == failing


def test_graphs_alone_until_exemplars_are_added(
    checkpoint: Path, dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare, full = tmp_path / "bare", tmp_path / "full"
    model = mcore.load_checkpoint(checkpoint)
    mcore.checkpoint.save_checkpoint(tmp_path / "nameless.pt", model)
    assert main([str(tmp_path / "nameless.pt"), "--out", str(bare)]) == 0
    assert "no exemplars yet" in capsys.readouterr().out
    assert Bundle.open(bare).manifest.variants["fp32"].exemplars is None
    assert main([str(bare), "--out", str(full), "--exemplars", str(dives), "--exemplars-per-number", "1"]) == 0
    record = Bundle.open(full).manifest.variants["fp32"].exemplars
    assert record is not None
    assert record.count == 2
    assert main([str(bare), "--out", str(tmp_path / "x")]) == 2
    assert "is a bundle already" in capsys.readouterr().err


def test_a_copy_below_the_bundle_holds_what_the_manifest_lists(bundle: Path, dives: Path, tmp_path: Path) -> None:
    source = tmp_path / "bundle"
    shutil.copytree(bundle, source)
    (source / "notes.txt").write_text("of the user")
    out = source / "other"
    assert main([str(source), "--out", str(out), "--exemplars", str(dives), "--exemplars-per-number", "1"]) == 0
    assert set(Bundle.open(out).manifest.files) == set(Bundle.open(bundle).manifest.files)
    assert not (out / "notes.txt").exists()


def test_exemplars_are_kept_to_be_looked_at(bundle: Path, dives: Path) -> None:
    opened = Bundle.open(bundle)
    pictures, bank = opened.exemplar_pictures(), opened.load_exemplars()
    assert pictures is not None
    assert sorted(bank.names) == sorted(name for name in bank.names.tolist() if name in pictures)
    assert (len(pictures), pictures.tokens_per_stage) == (len(bank), opened.model.tokens_per_stage)
    name = str(bank.names[0])
    clip = sample_clip(dives.parent / name, opened.model.clip)
    with Scorer(opened) as scorer:
        encoded = scorer.encode(normalise(crop(clip.frames, opened.model.clip), opened.model.clip))
    moments = pictures.moments(name)
    assert moments is not None
    frames = moment_frames(encoded.transitions.tolist(), len(clip.frames), opened.model.tokens_per_stage)
    assert [moment.pts_seconds for moment in moments] == clip.pts_seconds[frames].tolist()
    with Image.open(io.BytesIO(moments[-1].jpeg)) as picture:
        assert picture.size == (96, 64)  # the source's, never enlarged


def test_pictures_of_exemplars_are_left_out_on_request(
    bundle: Path, dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(bundle), "--exemplars", str(dives), "--no-exemplar-pictures", "--out", str(tmp_path / "bundle")]
    assert main(arguments) == 0
    assert "exemplar_pictures" not in capsys.readouterr().out
    assert Bundle.open(tmp_path / "bundle").exemplar_pictures() is None
    assert not (tmp_path / "bundle" / "exemplar_pictures.zip").exists()
    assert main([str(tmp_path / "bundle"), "--verify", "--no-exemplar-pictures"]) == 2
    assert "--no-exemplar-pictures would change nothing" in capsys.readouterr().err


def test_dives_of_one_file_have_names_of_their_own(bundle: Path, dives: Path, tmp_path: Path) -> None:
    row = json.loads(dives.read_text().splitlines()[1])
    row["path"] = str(dives.parent / row["path"])
    rows = [row | {"start_s": 0.0, "end_s": 1.5}, row | {"start_s": 1.5}]
    for one in rows:
        one.pop("transition_frames", None)
    (tmp_path / "list.jsonl").write_text("\n".join(json.dumps(one) for one in rows))
    assert main([str(bundle), "--exemplars", str(tmp_path / "list.jsonl"), "--out", str(tmp_path / "bundle")]) == 0
    opened = Bundle.open(tmp_path / "bundle")
    file = Path(row["path"]).name
    assert opened.load_exemplars().names.tolist() == [f"{file} 0-1.5 s", f"{file} 1.5- s"]
    pictures = opened.exemplar_pictures()
    assert pictures is not None
    assert len(pictures) == 2


def test_an_impossible_number_among_validation_dives_is_said_before_the_work(
    bundle: Path, dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = json.loads(dives.read_text().splitlines()[1])
    row["path"] = str(dives.parent / row["path"])
    (tmp_path / "list.jsonl").write_text(
        "\n".join(json.dumps(one) for one in (row, row | {"split": "val", "dive_number": "banana"}))
    )
    assert main([str(bundle), "--exemplars", str(tmp_path / "list.jsonl"), "--out", str(tmp_path / "new")]) == 2
    captured = capsys.readouterr()
    assert "banana" in captured.err
    assert captured.out == ""


def test_nothing_is_replaced_by_accident(
    checkpoint: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (bundle / "manifest.json").read_bytes()
    assert main([str(checkpoint), "--out", str(bundle)]) == 2
    assert "already exists; replace it with --force" in capsys.readouterr().err
    assert (bundle / "manifest.json").read_bytes() == before
    (tmp_path / "thesis.tex").write_text("precious")
    assert main([str(checkpoint), "--out", str(tmp_path), "--force"]) == 2
    assert "is not a bundle" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_overwriting_replaces_the_whole_bundle(bundle: Path, dives: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(bundle, out)
    (out / "stray").write_text("old")
    arguments = [str(bundle), "--exemplars", str(dives), "--exemplars-per-number", "1", "--out", str(out)]
    assert main(arguments) == 2
    assert main([*arguments, "--force"]) == 0
    record = Bundle.open(out).manifest.variants["fp32"].exemplars
    assert record is not None
    assert record.count == 2
    assert (out / "stray").exists() is False
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_an_interrupted_export_leaves_the_old_bundle(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "manifest.json").write_text("old")

    def interrupted() -> None:
        with appearing_folder(out) as folder:
            (folder / "manifest.json").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (out / "manifest.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_move_that_fails_brings_the_old_bundle_back(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "manifest.json").write_text("old")

    def lose_the_new_one() -> None:
        with appearing_folder(out) as folder:
            folder.rmdir()

    with pytest.raises(FileNotFoundError):
        lose_the_new_one()
    assert (out / "manifest.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_what_another_made_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "bundle"

    def make_both() -> None:
        with appearing_folder(out):
            out.mkdir()
            (out / "manifest.json").write_text("the other's")

    with pytest.raises(UserError, match="made by someone else meanwhile"):
        make_both()
    assert (out / "manifest.json").read_text() == "the other's"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_is_not_replaced_from_inside(
    bundle: Path, dives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    monkeypatch.chdir(out)
    assert main([".", "--out", ".", "--exemplars", str(dives), "--force"]) == 2
    captured = capsys.readouterr()
    assert "cannot be replaced from inside: run the command in another folder" in captured.err
    assert captured.out == ""  # before the work


@pytest.mark.parametrize("data", [{}, {"manifest": "/moved/manifest.jsonl"}])
def test_a_checkpoint_that_says_little_of_its_dives_is_exported_without_exemplars(
    checkpoint: Path, tmp_path: Path, data: dict[str, str]
) -> None:
    values = torch.load(checkpoint, weights_only=True)
    values["extra"]["data"] = data
    torch.save(values, tmp_path / "best.pt")
    assert main([str(tmp_path / "best.pt"), "--out", str(tmp_path / "bundle")]) == 0
    assert Bundle.open(tmp_path / "bundle").manifest.variants["fp32"].exemplars is None


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
        (["{checkpoint}", "--exemplars-per-number", "0"], "at least 1"),
        (["{checkpoint}", "--seed", "-1"], "seed -1; at least 0"),
    ],
)
def test_mistakes_exit_with_2_and_leave_nothing(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    arguments = [a.format(checkpoint=checkpoint) for a in arguments]
    assert main([*arguments, "--out", str(tmp_path / "bundle")]) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_unreadable_training_dives_are_named_and_left_out(
    bundle: Path, dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = tmp_path / "dives.jsonl"
    rows = [json.loads(line) for line in dives.read_text().splitlines()]
    for row in rows:
        row["path"] = str(dives.parent / row["path"])
    rows[1]["path"] = "gone.mp4"
    listing.write_text("\n".join(json.dumps(row) for row in rows))
    assert main([str(bundle), "--out", str(tmp_path / "bundle"), "--exemplars", str(listing)]) == 0
    assert "left out:" in (out := capsys.readouterr().out)
    assert "gone.mp4" in out
    record = Bundle.open(tmp_path / "bundle").manifest.variants["fp32"].exemplars
    assert record is not None
    assert record.count == 3
