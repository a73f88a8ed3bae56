"""Accuracy against operations: read from runs' folders, of the same dives only."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore.config import ModelConfig, to_dict
from mcore_bench.pareto import main, read_pareto, read_points

pytest.importorskip("fvcore", reason="needs fvcore: pip install 'mcore-edge[bench]'")


def write_run(folder: Path, config: ModelConfig, srcc: float, *, data: str = "a" * 64) -> Path:
    (folder / "test").mkdir(parents=True)
    recipe = {"model": to_dict(config), "training": {"epochs": 3}}
    (folder / "config.json").write_text(json.dumps(recipe), encoding="utf-8")
    metrics = {
        name: {"model": {"value": value, "low": value - 0.1, "high": value + 0.1}}
        for name, value in (("srcc", srcc), ("mae_points", 5.0))
    }
    summary = {"data_sha256": data, "num_dives": 9, "num_skipped": 0, "metrics": metrics}
    summary |= {"num_exemplars": 10, "exemplars": "random", "decoding": "published"}
    (folder / "test" / "metrics.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


@pytest.fixture
def runs(tmp_path: Path, tiny_config: ModelConfig) -> list[Path]:
    shorter = dataclasses.replace(tiny_config, clip=dataclasses.replace(tiny_config.clip, num_frames=6))
    plain = dataclasses.replace(tiny_config, backbone=dataclasses.replace(tiny_config.backbone, shift="none"))
    return [
        write_run(tmp_path / "gated", tiny_config, 0.8),
        write_run(tmp_path / "short", shorter, 0.7),
        write_run(tmp_path / "none", plain, 0.6),
    ]


def test_the_front_is_what_nothing_cheaper_beats(runs: list[Path]) -> None:
    found = read_points(runs, "test")
    assert [(point.run, point.front) for point in found.points] == [("short", True), ("none", False), ("gated", True)]
    short, none, gated = found.points
    assert short.pass_macs == pytest.approx(gated.pass_macs / 2, rel=1e-3)
    assert none.pass_macs < gated.pass_macs
    assert (gated.frames, gated.pixels, gated.shift) == (12, 32, "gated")


def test_table_and_picture_are_written(runs: list[Path], tmp_path: Path) -> None:
    assert main([*map(str, runs), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "pareto.md").read_text(encoding="utf-8")
    assert "| gated | 16, 32 | gated | 12 | 32 | 3 |" in text
    assert "0.800 [0.700, 0.900]" in text
    assert (tmp_path / "out" / "pareto.png").stat().st_size > 5_000
    assert read_pareto(tmp_path / "out" / "pareto.json") == read_points(runs, "test")
    assert main([*map(str, runs), "--out", str(tmp_path / "out")]) == 0, "a second time over its own files"
    (tmp_path / "old.json").write_text('{"points": [{}]}')
    with pytest.raises(UserError, match=r"is not a pareto\.json of this version"):
        read_pareto(tmp_path / "old.json")


def test_what_cannot_be_compared_is_refused(
    runs: list[Path], tmp_path: Path, tiny_config: ModelConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(tmp_path / "other", tiny_config, 0.5, data="b" * 64)
    assert main([str(runs[0]), str(other)]) == 2
    error = capsys.readouterr().err
    assert "was evaluated otherwise than" in error
    assert f"data_sha256 {'b' * 64} and {'a' * 64}" in error
    path = other / "test" / "metrics.json"
    for change, words in (
        ({"decoding": "ordered", "data_sha256": "a" * 64}, "decoding ordered and published"),
        ({"metrics": {}}, "is damaged (KeyError('srcc'))"),
        ({"metrics": {name: {"model": dict.fromkeys(("value", "low", "high"))} for name in ("srcc", "mae_points")}},
         "a metric is undefined"),
    ):  # fmt: skip
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
        assert main([str(runs[0]), str(other)]) == 2
        assert words in capsys.readouterr().err
    assert main([str(runs[0])]) == 2
    assert "1 run(s); at least two" in capsys.readouterr().err
    assert main([str(runs[0]), str(runs[1]), "--split", "val"]) == 2
    assert "evaluate it: python -m mcore.evaluate" in capsys.readouterr().err
