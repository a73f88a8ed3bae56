"""A bundle's conformal is what its own scores say, and what evaluation says of the same exemplars."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcore.common.conformal import MIN_DIVES, ConformalInterval, conformal_interval
from mcore.data.manifest import DiveRecord, read_manifest, write_manifest
from mcore.evaluate import main as evaluate
from mcore_export.bundle_command import main
from mcore_export.cli import main as export
from mcore_export.exemplars.conformal import at_least_as_wide
from mcore_runtime import Scorer
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import ConformalIntervals

POINTS = 1e-3  # float32 through two runtimes, on scores of tens of points


def conformal(bundle: Path) -> ConformalIntervals | None:
    exemplars = Bundle.open(bundle).manifest.variants["fp32"].exemplars
    assert exemplars is not None
    return exemplars.conformal


def predictions(bundle: Path, records: list[DiveRecord], *, other_numbers: bool) -> list[float]:
    """What the runtime predicts, from all exemplars of the number or from all others, which are fewer than ten."""
    predicted = []
    with Scorer(bundle, "onnxruntime") as scorer:
        scorer.recogniser = None  # it would name the number, and leave no others
        for record in records:
            result = scorer.score(record.path, None if other_numbers else record.dive_number, any_exemplar=True)
            used = [e for e in result.exemplars if (e.dive_number != record.dive_number) == other_numbers]
            predicted.append(float(np.mean([exemplar.predicted_score for exemplar in used])))
    return predicted


def test_half_widths_are_those_of_the_runtimes_own_errors(calibrated: Path, many_dives: Path) -> None:
    records = [record for record in read_manifest(many_dives) if record.split == "val"]
    found = conformal(calibrated)
    assert found is not None
    assert (found.source, found.split) == ("many.jsonl", "val")
    true, difficulties = ([getattr(r, name) for r in records] for name in ("score", "difficulty"))
    same, others = (
        conformal_interval(predictions(calibrated, records, other_numbers=other), true, difficulties=difficulties)
        for other in (False, True)
    )
    for part, expected in ((found.same_number, same), (found.other_numbers, at_least_as_wide(others, same))):
        assert isinstance(part, ConformalInterval)
        assert expected is not None
        assert (part.level, part.num_dives) == (expected.level, expected.num_dives)
        assert part.half_width_points == pytest.approx(expected.half_width_points, abs=POINTS)
        assert part.half_width_per_difficulty == pytest.approx(expected.half_width_per_difficulty, abs=POINTS)


def test_shares_are_held_to_the_points_of_the_stages(calibrated: Path, many_dives: Path) -> None:
    exemplars = Bundle.open(calibrated).manifest.variants["fp32"].exemplars
    assert exemplars is not None
    assert exemplars.stage_shares is not None
    records = read_manifest(many_dives)
    points = {record.path.name: np.array(record.stage_points, np.float64) for record in records}
    found, drawn = [], []
    with Scorer(calibrated, "onnxruntime") as scorer:
        for record in records:
            if record.split == "val":
                found.append(scorer.score(record.path, record.dive_number).stage_deltas)
                alike = [r for r in records if r.split == "train" and r.dive_number == record.dive_number]
                drawn.append(points[record.path.name] - np.mean([points[r.path.name] for r in alike], axis=0))
    assert exemplars.stage_shares.num_dives == len(found)
    for stage, correlation in enumerate(exemplars.stage_shares.correlations):
        expected = np.corrcoef(np.array(found)[:, stage], np.array(drawn)[:, stage])[0, 1]
        assert correlation == pytest.approx(expected, abs=1e-4)


def test_an_exemplars_shares_are_what_it_adds_to_the_others(calibrated: Path) -> None:
    bundle = Bundle.open(calibrated)
    bank = bundle.load_exemplars()
    found = np.zeros_like(bank.stage_shares)
    with Scorer(bundle, "onnxruntime") as scorer:
        for own in range(len(bank)):
            (others,) = np.nonzero((bank.dive_numbers == bank.dive_numbers[own]) & (np.arange(len(bank)) != own))
            found[own] = scorer.backend.regressor(bank.tokens[own][None], bank.tokens[others])[1].mean(axis=0)
    for number in set(bank.dive_numbers.tolist()):
        alike = bank.dive_numbers == number
        assert bank.stage_shares[alike] == pytest.approx(found[alike] - found[alike].mean(axis=0), abs=POINTS)
    assert np.abs(bank.stage_shares).max() > 0


@pytest.mark.parametrize(
    ("others", "same", "kept"), [(9.0, 4.0, 9.0), (3.0, 4.0, 4.0), (9.0, None, 9.0), (None, 4.0, None)]
)
def test_who_knows_less_is_never_surer(others: float | None, same: float | None, kept: float | None) -> None:
    measured = [None if width is None else ConformalInterval(0.8, width, 24) for width in (others, same)]
    found = at_least_as_wide(*measured)
    assert (None if found is None else found.half_width_points) == kept


def test_evaluation_with_the_nearest_exemplars_is_the_bundles(
    calibrated: Path, checkpoint: Path, many_dives: Path, tmp_path: Path
) -> None:
    argv = [str(checkpoint), "--data", str(many_dives), "--out", str(tmp_path), "--num-resamples", "2"]
    assert evaluate([*argv, "--exemplars", "nearest"]) == 0
    found = conformal(calibrated)
    assert found is not None
    assert found.same_number is not None
    summary = json.loads((tmp_path / "metrics.json").read_text())
    assert summary["conformal_interval"]["half_width_points"] == pytest.approx(
        found.same_number.half_width_points, abs=POINTS
    )
    with Scorer(calibrated) as scorer, (tmp_path / "predictions.csv").open() as file:
        for row in csv.DictReader(file):
            result = scorer.score(row["path"], row["dive_number"])
            for column, value in (
                ("predicted_score", result.score),
                ("low", result.low),
                ("high", result.high),
            ):
                assert float(row[column]) == pytest.approx(value, abs=POINTS)
    assert evaluate([*argv, "--exemplars", "nearest", "--num-exemplars", "1"]) == 0
    with Scorer(calibrated, num_exemplars=1) as scorer, (tmp_path / "predictions.csv").open() as file:
        for row in csv.DictReader(file):
            result = scorer.score(row["path"], row["dive_number"])
            assert len(result.exemplars) == 1
            assert float(row["predicted_score"]) == pytest.approx(result.score, abs=POINTS)
            assert result.interval_level is None  # it was measured with more


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--dives", "{few}"], "has 0 val dives, and at least 20 are needed"),
        (["--dives", "{many}", "--split", "val"], "has 20 val dives, and they are the exemplars"),
    ],
)
def test_without_dives_of_their_own_there_is_no_interval(
    bundle: Path, dives: Path, many_dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    flags: list[str], reason: str,
) -> None:  # fmt: skip
    given = [flag.format(few=dives, many=many_dives) for flag in flags]
    assert main(["exemplars", str(bundle), "--out", str(tmp_path / "new"), *given]) == 0
    assert reason in capsys.readouterr().out
    assert conformal(tmp_path / "new") is None


@pytest.fixture(scope="module")
def split_anew(dives: Path) -> Path:
    """A training dive of each number has become validation dives."""
    training = [record for record in read_manifest(dives) if record.split == "train"]
    moved = [replace(r, split="val", score=r.score + n) for r in training[::2] for n in range(MIN_DIVES // 2)]
    write_manifest(dives.parent / "anew.jsonl", [*training[1::2], *moved])
    return dives.parent / "anew.jsonl"


def test_dives_that_were_trained_on_set_no_interval(
    bundle: Path, checkpoint: Path, split_anew: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, network in ((export, [str(checkpoint)]), (main, ["exemplars", str(bundle)])):
        flag = "--dives" if command is main else "--exemplars"
        assert command([*network, flag, str(split_anew), "--out", str(tmp_path / "new")]) == 2
        said = capsys.readouterr()
        assert f"{network[-1]} was trained on {MIN_DIVES} of the {MIN_DIVES} dives of {split_anew}" in said.err
        assert "It was trained with manifest.jsonl" in said.err
        assert not (tmp_path / "new").exists()


def test_a_list_that_gained_dives_is_a_word(
    bundle: Path, many_dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["exemplars", str(bundle), "--dives", str(many_dives), "--out", str(tmp_path / "new")]) == 0
    assert f"note: {many_dives} is not as manifest.jsonl was when {bundle} was trained" in capsys.readouterr().out
    assert Bundle.open(tmp_path / "new").trained_dives() == Bundle.open(bundle).trained_dives()


def test_listing_says_how_sure_scores_are(bundle: Path, calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(calibrated)]) == 0
    shown = capsys.readouterr().out
    assert "80 % interval: " in shown
    assert "trained on 4 rendered dives, on no real one: scores mean nothing for real dives" in shown
    assert main(["show", str(bundle)]) == 0
    assert "no conformal interval: scores come with the range of the exemplars" in capsys.readouterr().out
