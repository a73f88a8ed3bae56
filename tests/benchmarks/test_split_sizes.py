"""The command that measures where to cut a backbone runs every way it speaks of, and refuses what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcore_bench.split_sizes import main


def test_every_way_is_timed_against_the_whole(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(checkpoint), "--tails", "2", "--rounds", "4", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    for name in ("whole clip", "tail of 2: head", "tail of 2: tail", "chunk that ends", "window that ends"):
        assert name in out
    assert "1.00 [1.00, 1.00]" in out  # the whole clip against itself
    assert "onnxruntime" in out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--tails", "6"], "this network allows 2 to 5"),
        (["--tails", "1"], "this network allows 2 to 5"),
        (["--rounds", "3"], "at least 4 rounds"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main([str(checkpoint), *arguments]) == 2
    assert reason in capsys.readouterr().err
