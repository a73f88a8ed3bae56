"""Ablations from the command line: shared trainings, a table over seeds, and going on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcore.ablate import main
from mcore.evaluation import run as evaluation
from mcore.evaluation.config import EvaluationOptions
from mcore.evaluation.report import Report
from mcore.network.checkpoint import save_checkpoint
from mcore.training import trainer
from mcore.training.ablation import VARIANTS, markdown, over_seeds, table_rows
from mcore.training.config import PRESETS
from tests.fake_dives import MODEL_FLAGS, write_fake_dives
from tests.training.command_line import parse

RECIPE = ["--", "--epochs", "1", "--batch-size", "4", *MODEL_FLAGS]


def test_table_of_means_over_seeds_by_hand() -> None:
    results: dict[str, list[dict[str, float | None]]] = {
        "base": [{"srcc": 0.5, "mae_points": 2.0}, {"srcc": 0.7, "mae_points": 4.0}],
        "ordered": [{"srcc": 0.6, "mae_points": 1.0}, {"srcc": 0.8, "mae_points": 1.0}],
        "tsm": [{"srcc": None, "mae_points": 1.0}, {"srcc": 0.8, "mae_points": 1.0}],
    }
    base, ordered, tsm = table_rows(results)
    assert base.srcc_gain is None
    assert base.figures["srcc"].mean == pytest.approx(0.6)
    assert base.figures["srcc"].seed_std == pytest.approx(0.02**0.5)
    assert ordered.srcc_gain is not None
    assert (ordered.srcc_gain.mean, ordered.srcc_gain.seed_std) == pytest.approx((0.1, 0.0))
    assert tsm.figures["srcc"].mean is None
    assert over_seeds([1.0]).seed_std is None
    lines = markdown([base, ordered, tsm], "Ablations", ["note"]).splitlines()
    assert lines[6] == f"| {VARIANTS['base'].title} (`base`) | 0.600 ± 0.141 | undefined | 3.00 ± 1.41 " + (
        "| undefined | undefined |  |"
    )
    assert lines[7].endswith("| +0.100 ± 0.000 |")
    assert lines[8].endswith("| undefined |")


def test_two_variants_over_two_seeds_share_trainings_and_resume(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, evaluated = [], []
    save, evaluate = save_checkpoint, evaluation.evaluate

    def counted_save(path: Path, *rest: Any, **more: Any) -> None:
        trained.append(path)
        save(path, *rest, **more)

    def counted_evaluation(options: EvaluationOptions) -> Report:
        evaluated.append(options)
        return evaluate(options)

    monkeypatch.setattr(trainer, "save_checkpoint", counted_save)  # best.pt and last.pt of each training's only epoch
    monkeypatch.setattr(evaluation, "evaluate", counted_evaluation)
    out = tmp_path / "ablation"
    argv = ["--data", str(manifest), "--out", str(out), "--device", "cpu", "--num-resamples", "2"]
    assert main([*argv, "--seeds", "0", "--variants", "base", "ordered", *RECIPE]) == 0
    assert (len(trained), len(evaluated)) == (2, 2)
    (out / "evaluations" / "ordered" / "seed0" / "metrics.json").write_text("{")  # cut short
    argv = [*argv, "--seeds", "0", "1", "--variants", "base", "ordered", *RECIPE]
    assert main(argv) == 0
    assert (len(trained), len(evaluated)) == (4, 5)
    assert main(argv) == 0
    assert (len(trained), len(evaluated)) == (4, 5)
    table = json.loads((out / "ablation.json").read_text())
    assert [row["variant"] for row in table["rows"]] == ["base", "ordered"]
    assert table["seeds"] == [0, 1]
    for row in table["rows"]:
        for index in (0, 1):
            summary = json.loads((out / "evaluations" / row["variant"] / f"seed{index}" / "metrics.json").read_text())
            assert summary["seed"] == index
            for name, figures in row["figures"].items():
                assert figures["values"][index] == summary["metrics"][name]["model"]["value"]
    text = (out / "ablation.md").read_text()
    assert "ordered decoding (`ordered`)" in text
    assert "over 2 seed(s): 0, 1" in text
    capsys.readouterr()
    other = write_fake_dives(tmp_path / "other", seed=1)
    cases = [
        ([*argv, "--batch-size", "2"], "batch_size"),
        (["--data", str(other), *argv[2:]], "is not the list of dives this run began with"),
        ([*argv, "--seed", "3"], "decided by the ablation"),
        (["--data", str(manifest), "--out", str(out), "--variants", "nothing"], "no variant nothing; allowed: base"),
        (["--data", str(manifest), "--out", str(manifest / "x")], "is a file"),
    ]
    for wrong, words in cases:
        assert main(wrong) == 2
        assert words in capsys.readouterr().err


def test_variants_are_what_they_say(tmp_path: Path) -> None:
    for name, variant in VARIANTS.items():
        assert variant.training in (name, "base")
        assert not variant.train_flags or variant.training == name
        argv = ["--data", str(tmp_path / "dives.jsonl"), "--out", str(tmp_path / "run"), *variant.train_flags]
        options, _ = parse([*argv, "--preset", "tiny"])
        weights = options.training.loss_weights
        changed = {
            "no-contrastive": weights["contrastive"] == 0,
            "no-stage-targets": (options.training.stages, weights["stage_targets"]) == ("labelled", 0),
            "no-fault-targets": (options.training.stages, weights["fault_targets"]) == ("labelled", 0),
            "thirds": (options.training.stages, weights["transition"], weights["stage_targets"]) == ("thirds", 0, 0),
            "tsm": options.model.backbone.shift == "tsm",
            "no-shift": options.model.backbone.shift == "none",
        }
        assert {key for key, value in changed.items() if value} == ({name} if variant.train_flags else set())
        assert variant.train_flags or options.training == PRESETS["tiny"].training
