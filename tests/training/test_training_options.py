"""The tool that measures a training's options: its table and its file, on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mcore.training.config import ComputeConfig
from mcore.training.loop import TrainingStep
from mcore_bench.result import read_result
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
    assert main(["--preset", "tiny", "--pairs", "1", "--runs", "4", "--json", str(tmp_path / "options.json")]) == 0
    result = read_result(tmp_path / "options.json")
    (group,), (table,) = result.groups, result.tables
    names = [name for name in OPTIONS if "bf16" not in name]
    assert [row.name for row in group.rows] == [row[0] for row in table.rows] == names
    kept = {str(name): float(str(memory_mb)) for name, memory_mb in table.rows}
    assert kept["--activation-checkpointing"] < kept["default"]
    assert result.absent == ("--precision bf16: out of memory",)
    assert "* --precision bf16: out of memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--pairs", "0"], "0 pairs; at least 1"), (["--json", "{file}/x.json"], "the folder of --json")],
)
def test_errors_are_said_before_measuring(
    arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([argument.format(file=tmp_path / "file") for argument in arguments]) == 2
    assert reason in capsys.readouterr().err
