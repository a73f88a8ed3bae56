"""The tool that measures a training's options: its table and its file, on a CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mcore.training.config import ComputeConfig, PresetName
from mcore.training.loop import TrainingStep
from tools import training_options
from tools.training_options import CUDA_COMPILED, CUDA_OPTIONS, OPTIONS, main


@pytest.fixture
def threads() -> Iterator[None]:
    """What the tool sets for its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_table_and_file_name_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "options.json"
    assert main(["--preset", "tiny", "--pairs", "2", "--rounds", "1", "--write", str(path)]) == 0
    content = json.loads(path.read_text())
    assert (content["device"], content["pairs"], content["torch"]) == ("cpu", 2, torch.__version__)
    assert [row["option"] for row in content["rows"]] == list(OPTIONS)
    for row in content["rows"]:
        assert row["pairs_per_s"] == pytest.approx(2 / row["step_s"])
        assert row["kept_mb"] > 0
        assert row["peak_mb"] is None
    kept = {row["option"]: row["kept_mb"] for row in content["rows"]}
    assert kept["--activation-checkpointing"] < kept["--gradient-accumulation 2"] < kept["default"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| option | CPU s a step | pairs a CPU s | over the default | kept for the gradient, MB |"
    assert len(lines) == 2 + len(OPTIONS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would be measured")
def test_a_device_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cuda"]) == 2
    assert "0 CUDA device(s)" in capsys.readouterr().err


@pytest.mark.usefixtures("threads")
def test_an_option_that_does_not_run_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(preset: PresetName, pairs: int, compute: ComputeConfig, device: torch.device) -> TrainingStep:
        if compute.activation_checkpointing:
            raise torch.OutOfMemoryError("out of memory\nmore")
        return original(preset, pairs, compute, device)

    original = training_options._step
    monkeypatch.setattr(training_options, "_step", step)
    assert main(["--preset", "tiny", "--pairs", "1", "--rounds", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == "left out: --activation-checkpointing: out of memory"
    assert len(printed.out.splitlines()) == 2 + len(OPTIONS) - 1


def test_mistakes_are_said_before_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for arguments, reason in (
        (["--rounds", "0"], "at least 1 of each"),
        (["--write", str(tmp_path / "file" / "x.json")], "the folder of --write"),
    ):
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert reason in printed.err
        assert not printed.out


def test_options_of_cuda_are_named_by_their_flags() -> None:
    for name, compute in {**CUDA_OPTIONS, **CUDA_COMPILED}.items():
        assert compute.precision in name
        assert compute.compile == ("--compile" in name)
