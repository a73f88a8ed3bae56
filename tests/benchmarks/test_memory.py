"""Peak memory comes back from a process of its own, whatever engines print there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mcore_bench.memory import Memory, peak_memory


@pytest.mark.parametrize(
    ("code", "printed", "expected"),
    [
        (0, '{"resident": 5.5, "gpu": null}\n', Memory(5.5, None)),
        (0, 'an engine: loading\n{"resident": 5.5, "gpu": 2.0}\n', Memory(5.5, 2.0)),
        (2, "", None),
    ],
)
def test_the_last_line_is_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, code: int, printed: str, expected: Memory | None
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, code, printed, ""))
    assert peak_memory(Path("bundle"), "onnxruntime", "fp32", 1) == expected
