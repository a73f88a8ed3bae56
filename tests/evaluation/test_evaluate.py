"""Evaluation: its figures, intervals, baselines and files."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mcore import metrics
from mcore.common.errors import UserError
from mcore.data.manifest import DiveRecord, read_manifest, select_split, write_manifest
from mcore.diving.judging import possible_points
from mcore.evaluate import main
from mcore.evaluation.assessment import Outcome, assess, split_figures
from mcore.evaluation.baselines import constant_transitions, dive_number_means
from mcore.evaluation.predictions import read_predictions
from mcore.evaluation.report import EVALUATION_FILES, read_summary
from mcore.network.checkpoint import save_checkpoint
from mcore.network.model import MCoRe
from tests.fake_dives import CLIP, MODEL


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "best.pt"
    save_checkpoint(path, MCoRe(MODEL), extra={"epoch": 7})
    return path


def outcome(num_dives: int = 40) -> Outcome:
    rng = np.random.default_rng(0)
    true = rng.uniform(30, 90, num_dives)
    transitions = np.stack([rng.integers(5, 9, num_dives), rng.integers(20, 25, num_dives)], axis=1)
    return Outcome(
        scores=true + rng.normal(0, 3, num_dives),
        true_scores=true,
        baseline_scores=np.where(true > 60, 75.0, 45.0),
        dive_numbers=np.where(true > 60, "407C", "101B"),
        difficulties=np.full(num_dives, 2.0),
        transitions=transitions + 1,
        true_transitions=transitions,
        baseline_transitions=np.tile([6, 22], (num_dives, 1)),
        exemplar_std=np.full(num_dives, 2.0),
    )


def test_assess_uses_the_metrics_on_the_same_dives() -> None:
    data = outcome()
    rows = {row.name: row for row in assess(data, num_resamples=200)}
    assert rows["srcc"].model.value == metrics.srcc(data.scores, data.true_scores)
    assert rows["srcc"].baseline.value == metrics.srcc(data.baseline_scores, data.true_scores)
    ranked = rows.pop("srcc_within_numbers")
    assert ranked.model.value == metrics.srcc_within(data.scores, data.true_scores, data.dive_numbers)
    assert ranked.baseline.value is None  # the same for all dives of a number
    assert rows["mae_award"].model.value == pytest.approx(rows["mae_points"].model.value / 6)  # type: ignore[operator]
    assert rows["boundary_error_mean_frames"].model.value == 1.0
    assert rows["boundary_error_median_frames"].model.value == 1.0
    wanted = np.abs(data.true_transitions - [6, 22]).mean()
    assert rows["boundary_error_mean_frames"].baseline.value == pytest.approx(wanted)
    for row in rows.values():
        for figure in (row.model, row.baseline, row.difference):
            assert figure.value is not None
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low <= figure.value <= figure.high
        assert row.difference.value == pytest.approx(row.model.value - row.baseline.value)  # type: ignore[operator]


def test_undefined_figures_stay_undefined() -> None:
    data = dataclasses.replace(
        outcome(),
        baseline_scores=np.full(40, 60.0),
        difficulties=np.full(40, np.nan),
        true_transitions=np.full((40, 2), -1),
    )
    rows = {row.name: row for row in assess(data, num_resamples=20)}
    assert rows["srcc"].baseline.value is None
    assert rows["srcc"].difference.value is None
    assert rows["srcc"].model.value is not None
    assert set(rows) == {"srcc", "srcc_within_numbers", "relative_l2_x100", "mae_points"}


def test_baselines_by_hand(manifest: Path) -> None:
    records = read_manifest(manifest)
    training, queries = select_split(records, "train"), select_split(records, "test")
    for record, mean in zip(queries, dive_number_means(queries, training), strict=True):
        same = [each.score for each in training if each.dive_number == record.dive_number]
        assert mean == pytest.approx(sum(same) / len(same))
    with pytest.raises(UserError, match="5253B"):
        dive_number_means([dataclasses.replace(queries[0], dive_number="5253B")], training)
    listed = constant_transitions(training, CLIP)
    opened = constant_transitions([dataclasses.replace(each, num_frames=None) for each in training], CLIP)
    assert listed.tolist() == opened.tolist()
    with pytest.raises(UserError, match="transition_frames"):
        constant_transitions([dataclasses.replace(training[0], transition_frames=None)], CLIP)


def test_constant_transitions_are_rounded_to_the_nearest_frame(manifest: Path) -> None:
    training = select_split(read_manifest(manifest), "train")
    pair = [
        dataclasses.replace(training[0], num_frames=8, transition_frames=transitions)
        for transitions in ((2, 5), (3, 6))
    ]
    assert constant_transitions(pair, CLIP).tolist() == [3, 6]  # medians 2.5 and 5.5


def test_split_figures_are_those_of_the_table() -> None:
    data = outcome()
    figures = split_figures(data.scores, data.true_scores, data.transitions, data.true_transitions)
    rows = {row.name: row.model.value for row in assess(data, num_resamples=2)}
    del rows["mae_award"], rows["srcc_within_numbers"]
    assert figures == rows
    assert list(figures) == list(rows)


def test_command_writes_table_json_csv_and_pictures(
    checkpoint: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copyfile(checkpoint, run / "best.pt")
    argv = [str(run / "best.pt"), "--data", str(manifest), "--num-resamples", "20"]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    titles = ("SRCC", "R-l2 x100", "MAE, points", "MAE, award (0 to 10)", "AIoU@0.5", "AIoU@0.75", "boundaries")
    for text in ("4 test dives", "epoch 7", "baseline", "trained on is not recorded: nothing shows", *titles):
        assert text in printed
    out = run / "test"
    assert {path.name for path in out.iterdir()} == set(EVALUATION_FILES)
    summary = read_summary(out / "metrics.json")
    assert summary.num_dives == 4
    dives = read_predictions(out / "predictions.csv").values()
    predicted, true = [dive.predicted_score for dive in dives], [dive.true_score for dive in dives]
    assert summary.metrics["srcc"].model.value == pytest.approx(metrics.srcc(predicted, true))
    error = metrics.mean_absolute_error(predicted, true)
    assert summary.metrics["mae_points"].model.value == pytest.approx(error, abs=1e-3)
    with Image.open(out / "scatter.png") as picture:
        assert picture.size[0] > 600
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20
    assert main([*argv, "--out", str(tmp_path / "again")]) == 0
    for name in ("metrics.json", "predictions.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_validation_dives_give_intervals_whose_coverage_is_reported(
    checkpoint: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, records = np.random.default_rng(0), read_manifest(manifest)
    validation = select_split(records, "val") * 6
    jittered = [dataclasses.replace(each, score=float(each.score + rng.normal(0, 9))) for each in validation]
    write_manifest(tmp_path / "many.jsonl", [*records, *jittered])
    argv = [str(checkpoint), "--data", str(tmp_path / "many.jsonl"), "--num-resamples", "20"]
    assert main([*argv, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "in the 80 % interval" in printed
    assert f"conformal, by the errors on {len(validation) + 4} val dives" in printed
    summary = read_summary(tmp_path / "out" / "metrics.json")
    assert summary.conformal_interval is not None
    dives = read_predictions(tmp_path / "out" / "predictions.csv").values()
    assert summary.num_dives == len(dives) == 4  # the validation dives are not among them
    held = [(dive.low or 0) <= dive.true_score <= (dive.high or 0) for dive in dives]
    assert summary.metrics["interval_coverage"].model.value == np.mean(held)
    for dive in dives:
        high = dive.predicted_score + summary.conformal_interval.half_width(dive.difficulty)
        assert dive.high == pytest.approx(possible_points(high, dive.difficulty), abs=1e-3)
    assert main([*argv, "--out", str(tmp_path / "val"), "--split", "val"]) == 0
    assert "interval" not in capsys.readouterr().out  # no dives may judge the intervals that they made


def test_unlabelled_and_unmatched_dives(
    checkpoint: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores need no transitions; dives without exemplars are named, not silently lost."""
    records = [dataclasses.replace(each, transition_frames=None) for each in read_manifest(manifest)]
    stranger = dataclasses.replace(select_split(records, "test")[0], dive_number="5253B")
    bare = tmp_path / "bare.jsonl"
    write_manifest(bare, [*records, stranger])
    assert main([str(checkpoint), "--data", str(bare), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "AIoU" not in printed
    assert re.search(r"skipped 1 dives .*5253B", printed)


def test_errors_exit_with_2(
    checkpoint: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = select_split(read_manifest(manifest), "train")
    only_train = tmp_path / "train.jsonl"
    write_manifest(only_train, records)
    strangers, validated = tmp_path / "strangers.jsonl", tmp_path / "validated.jsonl"
    other = DiveRecord(records[0].path, "5253B", 60.0, split="test")
    write_manifest(strangers, [*records, other])
    write_manifest(validated, [*select_split(read_manifest(manifest), "val"), *records, other])
    cases = [
        ([str(tmp_path / "none.pt"), "--data", str(manifest)], "none.pt"),
        ([str(checkpoint), "--data", str(tmp_path / "none.jsonl")], "none.jsonl"),
        ([str(checkpoint), "--data", str(only_train)], "no dive of split 'test'"),
        ([str(checkpoint), "--data", str(strangers)], "none of 1 dives has an exemplar"),
        ([str(checkpoint), "--data", str(validated)], "none of 1 test dives has an exemplar"),
        ([str(checkpoint), "--data", str(manifest), "--num-exemplars", "0"], "at least 1"),
        ([str(checkpoint), "--data", str(manifest), "--device", "tpu"], "tpu"),
    ]
    good = [str(checkpoint), "--data", str(manifest)]
    cases += [
        ([*good, "--exemplars", "nearest", "--num-exemplars", "0"], "at least 1"),
        ([*good, "--cache", str(manifest)], "is a file"),
    ]
    assert main([*good, "--out", str(manifest / "out")]) == 2
    assert f"{manifest} is a file; choose another --out" in capsys.readouterr().err
    for argv, words in cases:
        assert main([*argv, "--out", str(tmp_path / "out")]) == 2
        errors = capsys.readouterr().err
        assert words in errors
        assert "Traceback" not in errors
