"""``mcore-export BUNDLE --triton REPO``: the command around the model repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcore_export.cli import main


def test_a_repository_appears_with_what_was_asked_for(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "models"
    assert main([str(bundle), "--triton", str(repository), "--triton.max-batch-size", "3"]) == 0
    assert "batches of up to 3 clips" in capsys.readouterr().out
    assert "max_batch_size: 3" in (repository / "mcore_backbone" / "config.pbtxt").read_text()
    assert main([str(bundle), "--triton", str(repository)]) == 2
    assert main([str(bundle), "--triton", str(repository), "--force"]) == 0
    assert "max_batch_size: 8" in (repository / "mcore_backbone" / "config.pbtxt").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{bundle}", "--triton", "{out}", "--out", "x"], "--triton serves a bundle as it is"),
        (["{checkpoint}", "--triton", "{out}"], "--triton takes the folder of a bundle"),
        (["{bundle}", "--triton", "{out}", "--precision", "fp16"], "has no fp16 graphs"),
        (["{bundle}", "--triton", "{out}", "--engine", "tensorrt-rtx"], "Triton runs engines of TensorRT"),
        (["{bundle}", "--triton", "{out}", "--triton.max-batch-size", "0"], "--triton.max-batch-size is 0; at least 1"),
        (["nowhere", "--triton", "{out}"], "there is nothing at nowhere"),
    ],
)
def test_mistakes_exit_with_2_and_leave_nothing(
    bundle: Path,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    reason: str,
) -> None:
    places = {"bundle": bundle, "checkpoint": checkpoint, "out": tmp_path / "models"}
    assert main([argument.format(**places) for argument in arguments]) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
