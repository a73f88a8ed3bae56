"""An export learns dive numbers from training dives, and the command that measures it says how well."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mcore.common.recognition import num_measures
from mcore.data.manifest import read_manifest
from mcore_export.bundle_command import main
from mcore_export.numbers.figures import _near_kind as near_kind
from mcore_runtime import Scorer
from mcore_runtime.bundle.folder import RECOGNISER_FILE, Bundle
from mcore_runtime.bundle.records import RecogniserRecord


def test_the_bundle_learns_from_training_dives(calibrated: Path, many_dives: Path) -> None:
    exemplars = Bundle.open(calibrated).manifest.variants["fp32"].exemplars
    assert exemplars is not None
    assert exemplars.recogniser == RecogniserRecord(2, 4, "many.jsonl", 20)
    assert exemplars.conformal is not None
    assert exemplars.conformal.possible_numbers is not None
    assert exemplars.conformal.same_number is not None
    same, possible = exemplars.conformal.same_number, exemplars.conformal.possible_numbers
    assert possible.half_width_points >= same.half_width_points
    dive = next(record for record in read_manifest(many_dives) if record.split == "train")
    with Scorer(calibrated, "onnxruntime", threads=1) as scorer:
        result = scorer.score(dive.path, dive.dive_number)
    assert result.recognition is not None
    assert result.recognition.doubted == 1 / 21
    assert result.recognition.numbers[0] == dive.dive_number  # it has learned this very dive


def test_numbers_are_not_learned_on_request(
    bundle: Path, many_dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "without"
    flags = ["--dives", str(many_dives), "--out", str(out), "--no-pictures", "--no-numbers"]
    assert main(["exemplars", str(bundle), *flags]) == 0
    assert not (out / RECOGNISER_FILE).exists()
    assert main(["numbers", str(out), "--data", str(many_dives)]) == 2
    assert "this bundle cannot say which dive a clip shows" in " ".join(capsys.readouterr().err.split())


def test_the_command_measures_names_sets_doubts_and_scores(
    calibrated: Path, many_dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["numbers", str(calibrated), "--data", str(many_dives), "--num-resamples", "50"]
    assert main([*argv, "--json", str(tmp_path / "n.json")]) == 0
    found = json.loads((tmp_path / "n.json").read_text())
    assert [row["what"] for row in found["names"]][:3] == ["number", "number among the first 3", "group"]
    shares = {row["what"]: row["share"]["value"] for row in found["names"]}
    assert shares["number among the first 3"] == 1.0  # there are two
    assert shares["number"] <= min(shares[part] for part in ("group", "somersaults", "position"))
    assert (shares["twists"], shares["armstand"]) == (1.0, 1.0)  # both numbers have none
    scores = {row["exemplars"]: row for row in found["scores"]}
    assert scores["all"]["mean_exemplars"] == 4
    assert scores["of the right number"]["mean_exemplars"] == 2
    assert scores["all"]["mae_difference"]["value"] == 0
    assert (found["doubted"], found["recogniser"]["calibrated_on"]) == (1 / 21, 20)
    assert [row["number"] for row in found["by_number"]] == ["107B", "407C"]
    assert sum(row["dives"] for row in found["by_number"]) == found["names"][0]["dives"] == 2
    said = " ".join(capsys.readouterr().out.split())
    assert "possible numbers: 90 % are to hold the right number" in said
    assert main([*argv, "--split", "val"]) == 2
    assert "the bundle's intervals come from the val dives" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("right", "other", "kind"),
    [
        ("407C", "407B", "only the position wrong"),
        ("407C", "405C", "only the somersaults wrong"),
        ("5253B", "5251B", "only the twists wrong"),
        ("107B", "207B", "only the direction wrong"),
        ("5253B", "5353B", "only the direction wrong"),
        ("626C", "206C", None),  # the armstand too
        ("407C", "407C", None),
        ("107B", "305C", None),
    ],
)
def test_which_announcements_are_nearly_right(right: str, other: str, kind: str | None) -> None:
    assert near_kind(right, other) == kind


def test_the_file_has_a_weight_of_each_measure_for_each_number(calibrated: Path) -> None:
    weights = np.load(calibrated / RECOGNISER_FILE)["weights"]
    assert weights.shape == (num_measures(Bundle.open(calibrated).model.backbone.feature_dim), 2)
