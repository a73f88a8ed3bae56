"""What a run says of the machine and the code that it measured."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mcore_bench.environment import commit, read_environment
from mcore_runtime.doctor.machine import Machine

X86 = "model name\t: A processor\ncpu family\t: 26\nmodel\t\t: 2\nstepping\t: 1\nflags\t\t: sse avx2\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU variant\t: 0x1\nCPU part\t: 0xd42\nCPU revision\t: 0\n"


def machine(root: Path, cpuinfo: str) -> Machine:
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(cpuinfo)
    (root / "proc/meminfo").write_text("MemTotal: 8000000 kB\n")
    return Machine(root)


def test_the_environment_is_what_the_machine_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    found = read_environment(3, machine(tmp_path, X86))
    assert (found.processor, found.instructions, found.memory_gb, found.threads) == ("A processor", ("avx2",), 8.192, 3)
    assert found.omp_wait_policy == "PASSIVE"
    assert "numpy" in found.versions


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (X86, "family 26 model 2 stepping 1"),
        (ARM, "implementer 0x41 part 0xd42 variant 0x1 revision 0"),
        ("model name\t: A processor\n", ""),
    ],
)
def test_a_processor_is_told_from_others_of_its_name(tmp_path: Path, cpuinfo: str, expected: str) -> None:
    assert read_environment(1, machine(tmp_path, cpuinfo)).processor_id == expected


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_the_one_checked_out(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert commit(Machine(), tmp_path) == ""
    git("init", "-q")
    assert commit(Machine(), tmp_path) == ""  # nothing was committed yet
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-q", "-m", "a")
    git("tag", "v1")
    short = git("rev-parse", "--short", "HEAD")
    (tmp_path / "result.json").write_text("{}")  # is no part of the code
    assert commit(Machine(), tmp_path) == short
    (tmp_path / "file").write_text("b")
    assert commit(Machine(), tmp_path) == f"{short}+"


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(Machine(), tmp_path) == ""
