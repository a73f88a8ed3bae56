"""The benchmarks beside the bundle's: accuracy against operations, frames to network input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore.config import ModelConfig, to_dict
from mcore.evaluation.assessment import Figure, MetricRow
from mcore_bench.cases.pareto import pareto_table
from mcore_bench.command import main
from mcore_bench.result import read_result
from tests.evaluated import evaluation_summary

pytest.importorskip("fvcore", reason="needs fvcore: pip install '.[bench]'")

SHORT = ("--runs", "4", "--seconds", "0", "--warm-up-s", "0")


def write_run(folder: Path, config: ModelConfig, srcc: float | None, **changes: object) -> Path:
    (folder / "test").mkdir(parents=True)
    recipe = {"model": to_dict(config), "training": {"epochs": 3}}
    (folder / "config.json").write_text(json.dumps(recipe), encoding="utf-8")
    figures = {
        "srcc": Figure(srcc, srcc and srcc - 0.1, srcc and srcc + 0.1),
        "mae_points": Figure(5.0, 4.9, 5.1),
    }
    rows = {name: MetricRow(name, name, False, figure, figure, figure) for name, figure in figures.items()}
    values = dataclasses.asdict(evaluation_summary(metrics=rows)) | changes
    (folder / "test" / "metrics.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


@pytest.fixture
def runs(tmp_path: Path, tiny_config: ModelConfig) -> tuple[Path, ...]:
    shorter = dataclasses.replace(tiny_config, clip=dataclasses.replace(tiny_config.clip, num_frames=6))
    plain = dataclasses.replace(tiny_config, backbone=dataclasses.replace(tiny_config.backbone, shift="none"))
    return (
        write_run(tmp_path / "gated", tiny_config, 0.8),
        write_run(tmp_path / "short", shorter, 0.7),
        write_run(tmp_path / "none", plain, 0.6),
    )


def test_the_front_is_what_nothing_cheaper_beats(runs: tuple[Path, ...]) -> None:
    table = pareto_table(runs, "test")
    assert [(row[0], row[5]) for row in table.rows] == [("short", "yes"), ("none", ""), ("gated", "yes")]
    assert table.rows[2][1:5] == ("16, 32", "gated", "0.800 [0.700, 0.900]", "5.00 [4.90, 5.10]")
    assert "9 test dives, list aaaaaaaaaaaa" in table.note


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_sha256": "b" * 64}, "data_sha256 differ"),
        ({"decoding": "ordered"}, "decoding differ"),
        ({"metrics": {}}, "srcc is undefined"),
        ({"num_dives": "nine"}, "cannot be read"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    runs: tuple[Path, ...], tmp_path: Path, tiny_config: ModelConfig, changes: dict[str, object], words: str
) -> None:
    other = write_run(tmp_path / "other", tiny_config, 0.5, **changes)
    with pytest.raises(UserError, match=words):
        pareto_table((runs[0], other), "test")


def test_few_dives_one_run_and_no_evaluation_are_named(
    runs: tuple[Path, ...], tmp_path: Path, tiny_config: ModelConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    undefined = write_run(tmp_path / "few", tiny_config, None)
    for arguments, words in (
        ([runs[0], undefined], "srcc is undefined"),
        ([runs[0]], "1 run(s); at least two"),
        ([runs[0], runs[1], "--split", "val"], "python -m mcore.evaluate"),
    ):
        assert main(["pareto", *map(str, arguments)]) == 2
        assert words in capsys.readouterr().err


def test_native_code_is_exact_and_the_others_say_how_far_off_they_are(tmp_path: Path) -> None:
    path = tmp_path / "preprocessing.json"
    assert (
        main(["preprocessing", "--width", "320", "--height", "180", "--frames", "2", *SHORT, "--json", str(path)]) == 0
    )
    (rgb,) = read_result(path).groups
    native = [row for row in rgb.rows if row.name.startswith("native")]
    assert native
    assert all(row.about == "off by at most 0.0 of 255 grey levels" for row in native)
    assert rgb.baseline == "Pillow + NumPy"
    assert {"FFmpeg swscale, bilinear", "torch, antialiased"} <= {
        row.name for row in rgb.rows if "0.0" not in row.about
    }


def test_reading_is_measured_beside_swscale(tmp_path: Path) -> None:
    path = tmp_path / "reading.json"
    small = ["--heights", "72", "--frames", "3", "--rates", "60", "--codecs", "libx264"]
    assert main(["reading", *small, *SHORT, "--json", str(path)]) == 0
    reading, to_network, rgb, sampling = read_result(path).groups
    needed, whole, _ = (row.name for row in sampling.rows)
    assert sampling.baseline == needed
    assert int(needed.split()[2]) < int(whole.split()[3]) == 210
    assert [row.name for row in reading.rows][-1] == "decoding alone"
    assert reading.baseline == to_network.baseline == rgb.baseline == "FFmpeg's swscale"
    assert all(row.speedup is not None for group in (reading, to_network, rgb) for row in group.rows[1:])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["preprocessing", "--width", "8"], "at least 16 pixels"),
        (["reading", "--heights", "100"], "rows are multiples of 18"),
    ],
)
def test_mistakes_are_named(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
