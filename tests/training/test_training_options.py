"""The tool that measures a training's options: its table and its file, on a CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mcore.training.config import ComputeConfig
from mcore.training.loop import TrainingStep
from tools import training_options
from tools.training_options import OPTIONS, Arguments, main, make_step


@pytest.fixture
def threads() -> Iterator[None]:
    """The tool sets those of its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_table_and_file_hold_every_option_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(arguments: Arguments, compute: ComputeConfig, device: torch.device) -> TrainingStep:
        if compute.precision == "bf16":
            raise torch.OutOfMemoryError("out of memory\nmore")
        return make_step(arguments, compute, device)

    monkeypatch.setattr(training_options, "make_step", step)
    assert main(["--preset", "tiny", "--rounds", "1", "--write", str(tmp_path / "options.json")]) == 0
    rows = json.loads((tmp_path / "options.json").read_text())["rows"]
    assert [row["option"] for row in rows] == [name for name in OPTIONS if "bf16" not in name]
    kept = {row["option"]: row["memory_mb"] for row in rows}
    assert kept["--activation-checkpointing"] < kept["--gradient-accumulation 2"] < kept["default"]
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == "left out: --precision bf16: out of memory"
    assert len(printed.out.splitlines()) == 2 + len(rows)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--rounds", "0"], "at least 1 of each"), (["--write", "{file}/x.json"], "the folder of --write")],
)
def test_errors_are_said_before_measuring(
    arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([argument.format(file=tmp_path / "file") for argument in arguments]) == 2
    assert reason in capsys.readouterr().err
