"""The GPU suite: without a GPU it says what it would run; with one, every step runs and failures are counted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SUITE = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_suite.sh"
STEPS = ("machine", "doctor", "tests-cuda", "tests-engines", "export", "engine-tensorrt", "engine-tensorrt-rtx",
         "verify-onnxruntime-cuda", "verify-tensorrt", "verify-tensorrt-rtx", "bench", "training-options",
         "train-paper-fp32", "train-paper-bf16", "train-paper-fp16")  # fmt: skip


def run(tools: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the suite with programs of our own first on the path."""
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHON": str(tools / "python3")}
    return subprocess.run([str(SUITE), *arguments], capture_output=True, text=True, env=environment, check=False)


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_without_a_gpu_it_says_what_it_would_run(tmp_path: Path) -> None:
    program(tmp_path / "nvidia-smi", "exit 9")
    done = run(tmp_path, "best.pt", "dives.jsonl", str(tmp_path / "out"))
    lines = done.stdout.splitlines()
    assert (done.returncode, lines[0]) == (0, "no NVIDIA GPU with a driver here: nothing is run")
    assert [line.split(":")[0].removeprefix("would run ") for line in lines[1:]] == list(STEPS)
    assert f"--checkpoint {Path.cwd() / 'best.pt'}" in done.stdout  # the suite runs in another folder
    assert not (tmp_path / "out").exists()


def test_with_a_gpu_every_step_runs_and_failures_are_counted(tmp_path: Path) -> None:
    program(tmp_path / "nvidia-smi", "echo GPU 0: A card")
    program(
        tmp_path / "python3", 'case "$*" in *" --backend tensorrt"|*compute.py*) echo broken; exit 1;; esac; echo "$@"'
    )
    out = tmp_path / "out"
    done = run(tmp_path, "best.pt", "dives.jsonl", str(out))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "2 steps failed")
    assert sorted(path.stem for path in out.iterdir()) == sorted(STEPS)
    assert (out / "tests-cuda.log").read_text() == "broken\n"
    assert "--preset paper" in (out / "train-paper-fp16.log").read_text()


def test_steps_can_be_chosen(tmp_path: Path) -> None:
    program(tmp_path / "nvidia-smi", "exit 9")
    done = run(tmp_path, "best.pt", "dives.jsonl", str(tmp_path / "out"), "bench", "machine")
    names = [line.split(":")[0].removeprefix("would run ") for line in done.stdout.splitlines()[1:]]
    assert names == ["machine", "bench"]
    done = run(tmp_path, "best.pt", "dives.jsonl", str(tmp_path / "out"), "bench", "benhc")
    assert (done.returncode, done.stdout) == (2, "")  # before anything runs
    assert "no step benhc; allowed: machine doctor" in done.stderr


def test_it_says_how_it_is_used(tmp_path: Path) -> None:
    done = run(tmp_path, "best.pt")
    assert done.returncode == 2
    assert "gpu_suite.sh CHECKPOINT DIVES.jsonl OUT" in done.stderr
