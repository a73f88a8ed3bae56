"""Comparisons of runs: from the files that an evaluation writes, to figures that can be reckoned again."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mcore import metrics
from mcore.common.conformal import ConformalInterval
from mcore.compare import main
from mcore.data.manifest import DiveRecord, dive_names
from mcore.diving.label_difficulty import fits_score
from mcore.evaluation.assessment import ConformalIntervals, Outcome, assess
from mcore.evaluation.comparison import compare_runs
from mcore.evaluation.report import Report, write_evaluation
from mcore.evaluation.run_folders import read_runs
from tests.evaluated import evaluation_summary

NUM_DIVES = 60
RNG = np.random.default_rng(0)
TRUE = RNG.uniform(30, 90, NUM_DIVES).round(1)
NOISE = RNG.normal(0, 6, NUM_DIVES)
TRANSITIONS = np.stack([RNG.integers(8, 12, NUM_DIVES), RNG.integers(20, 25, NUM_DIVES)], axis=1)
BETTER, WORSE = TRUE + NOISE, TRUE + 1.3 * NOISE
"""Nearly the same errors: much alike in each resample."""


def write_run(folder: Path, scores: NDArray[np.float64], *, epochs: int, half_width: float = 8.0) -> Path:
    """Write what a training and an evaluation leave; transitions are off by one frame in every third dive."""
    outcome = Outcome(
        scores=scores,
        true_scores=TRUE,
        baseline_scores=np.full(NUM_DIVES, 60.0),
        dive_numbers=np.array(["407C" if i % 2 else "107B" for i in range(NUM_DIVES)]),
        difficulties=np.full(NUM_DIVES, 3.0),
        transitions=TRANSITIONS + (np.arange(NUM_DIVES) % 3 == 0)[:, None],
        true_transitions=TRANSITIONS,
        baseline_transitions=np.tile([10, 22], (NUM_DIVES, 1)),
        exemplar_std=np.full(NUM_DIVES, 2.0),
    )
    intervals = ConformalIntervals(ConformalInterval(0.8, half_width, 40), ConformalInterval(0.8, 20.0, 40))
    dives = [  # all of one video
        DiveRecord(Path("/dives/meet.mp4"), "407C" if i % 2 else "107B", TRUE[i], 3.0, start_s=i, end_s=i + 1)
        for i in range(NUM_DIVES)
    ]
    summary = evaluation_summary(
        checkpoint_epoch=epochs,
        num_dives=NUM_DIVES,
        conformal_interval=intervals.model,
        metrics={row.name: row for row in assess(outcome, intervals=intervals, num_resamples=2)},
    )
    names = dive_names(dives, Path("/dives/list.jsonl"))
    write_evaluation(Report(summary, dives, names, [], outcome, intervals), folder / "test")
    config = {"training": {"epochs": epochs, "seed": 0}, "data": {"sha256": "a", "manifest": f"/{folder.name}"}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "worse", WORSE, epochs=5)
    write_run(folder / "better", BETTER, epochs=9, half_width=6.0)
    return folder


def change_predictions(folder: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    path = folder / "test" / "predictions.csv"
    with path.open() as file:
        rows = change(list(csv.DictReader(file)))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_command_writes_tables_json_and_picture(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [str(runs / "worse"), str(runs / "better"), "--out", str(tmp_path), "--num-resamples", "50"]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    for text in ("60 test dives", "training.epochs", "SRCC", "in the 80 % interval", "less worse"):
        assert text in printed
    assert "data.manifest" not in printed
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert found["reference"] == "worse"
    assert found["settings"] == {
        "training.epochs": {"worse": 5, "better": 9},
        "evaluation.checkpoint_epoch": {"worse": 5, "better": 9},
    }
    assert "| training.epochs | 5 | 9 |" in (tmp_path / "comparison.md").read_text()
    with Image.open(tmp_path / "comparison.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20


def test_figures_are_the_metrics_of_each_run(runs: Path) -> None:
    found = compare_runs(read_runs([runs / "worse", runs / "better"], "test"), num_resamples=100).metrics
    for place, scores in enumerate((WORSE, BETTER)):
        rounded = scores.round(4)  # as predictions.csv has them
        assert found["srcc"].figures[place].value == metrics.srcc(rounded, TRUE)
        assert found["mae_points"].figures[place].value == metrics.mean_absolute_error(rounded, TRUE)
        held = float(np.mean(np.abs(scores - TRUE) <= (8.0, 6.0)[place]))
        assert found["interval_coverage"].figures[place].value == held
        assert found["interval_half_width_points"].figures[place].value == (8.0, 6.0)[place]
        assert found["boundary_error_mean_frames"].figures[place].value == pytest.approx(1 / 3)
    assert found["boundary_error_mean_frames"].differences[0].value == 0


def test_differences_are_resampled_in_pairs(runs: Path) -> None:
    found = compare_runs(read_runs([runs / "worse", runs / "better"], "test"), num_resamples=300).metrics["mae_points"]
    worse, better = found.figures
    (difference,) = found.differences
    assert difference.value == pytest.approx(better.value - worse.value)  # type: ignore[operator]
    low, high = difference.low, difference.high
    assert low is not None
    assert high is not None
    assert high < 0
    assert better.high > worse.low  # type: ignore[operator]  # side by side they overlap
    assert high - low < 0.5 * (better.high - better.low)  # type: ignore[operator]


def test_only_common_dives_count(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = shutil.copytree(runs / "better", tmp_path / "part")
    change_predictions(part, lambda rows: rows[:40])
    (part / "config.json").unlink()
    assert main([str(runs / "worse"), str(part), "--out", str(tmp_path / "out"), "--num-resamples", "2"]) == 0
    assert "40 test dives that all runs scored (left out: 20 in worse, 0 in part)" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert found["metrics"]["srcc"]["figures"]["worse"]["value"] == metrics.srcc(WORSE[:40].round(4), TRUE[:40])
    assert set(found["settings"]) == {"evaluation.checkpoint_epoch"}  # nothing is known of the other's recipe


def test_evaluations_alone_and_equal_names(runs: Path, tmp_path: Path) -> None:
    again = shutil.copytree(runs / "worse" / "test", tmp_path / "worse")
    names = [run.name for run in read_runs([runs / "worse", again], "test")]
    assert names == [str(runs / "worse"), str(again)]
    three = read_runs([runs / "worse", again, runs / "better"], "test")
    assert compare_runs(three, num_resamples=2).settings["training.epochs"] == (5, None, 9)


def test_transitions_on_other_frames_are_not_compared(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(runs / "better", tmp_path / "other")
    change_predictions(other, lambda rows: [{**row, "true_entry_frame": "70"} for row in rows])
    assert main([str(runs / "worse"), str(other), "--out", str(tmp_path / "out"), "--num-resamples", "2"]) == 0
    assert "transitions are not compared" in capsys.readouterr().out
    assert "aiou_50" not in json.loads((tmp_path / "out" / "comparison.json").read_text())["metrics"]


def other_label(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{**rows[0], "true_score": "1.5"}, *rows[1:]]


def without_column(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "low"} for row in rows]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: [{**row, "dive": f"elsewhere/{row['dive']}"} for row in rows], "no dive in common"),
        (other_label, "do not speak of the same dives"),
        (without_column, "lacks low, as one of an earlier version"),
        (lambda rows: [{**row, "predicted_score": "high"} for row in rows], "damaged"),
        (lambda rows: [{**row, "predicted_score": "nan"} for row in rows], "predicted_score is nan"),
    ],
)
def test_predictions_that_cannot_be_compared(
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[list[dict[str, str]]], list[dict[str, str]]],
    reason: str,
) -> None:
    other = shutil.copytree(runs / "better", tmp_path / "other")
    change_predictions(other, change)
    assert main([str(runs / "worse"), str(other), "--out", str(tmp_path / "out")]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{worse}"], "give at least two"),
        (["{worse}", "{worse}"], "is given twice"),
        (["{worse}", "{empty}"], "holds no evaluation of the test dives"),
        (["{worse}", "{better}", "--split", "val"], "holds no evaluation of the val dives"),
        (["{better}/test", "{worse}/test", "--split", "val"], "is an evaluation of the test dives, not of val"),
        (["{worse}", "{damaged}"], "cannot be read"),
        (["{worse}", "{old}"], "is of an earlier version; evaluate the run again"),
        (["{worse}", "{better}", "--num-resamples", "0"], "at least 1"),
    ],
)
def test_errors_exit_with_2(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    (tmp_path / "empty").mkdir()
    damaged = shutil.copytree(runs / "better", tmp_path / "damaged")
    (damaged / "config.json").write_text("{")
    old = shutil.copytree(runs / "better", tmp_path / "old")
    text = (old / "test" / "metrics.json").read_text()
    (old / "test" / "metrics.json").write_text(text.replace('"baseline"', '"yardstick"'))
    folders = {name: runs / name for name in ("worse", "better")} | {"damaged": damaged, "old": old}
    folders["empty"] = tmp_path / "empty"
    argv = [argument.format(**folders) for argument in arguments]
    assert main([*argv, "--out", str(tmp_path / "out")]) == 2
    assert reason in capsys.readouterr().err


def test_award_points_use_the_difficulty_that_a_score_was_made_with(runs: Path, tmp_path: Path) -> None:
    """Scores of 307C at 3.3, its difficulty before 2017, labelled with the 3.4 of 2017."""
    made_at_older = [score for k in range(20, 60) if not fits_score(score := round(k * 3.3 / 2, 2), 3.4)]
    for name in ("worse", "better"):
        shutil.copytree(runs / name, tmp_path / name)
        change_predictions(
            tmp_path / name,
            lambda rows: [
                row | {"dive_number": "307C", "difficulty": "3.4", "true_score": str(score)}
                for row, score in zip(rows, itertools.cycle(made_at_older), strict=False)
            ],
        )
    comparison = compare_runs(read_runs([tmp_path / "worse", tmp_path / "better"], "test"), num_resamples=2)
    points, awards = (comparison.metrics[name].figures for name in ("mae_points", "mae_award"))
    for in_points, in_awards in zip(points, awards, strict=True):
        assert in_awards.value == pytest.approx((in_points.value or 0) / 3 / 3.3)
