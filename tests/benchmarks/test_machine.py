"""Records of a run about its machine, about other load on it, and about the code that ran."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from mcore_bench import machine as machine_module
from mcore_bench.machine import (
    Conditions,
    Watch,
    commit,
    format_conditions,
    format_environment,
    measure_pace_ms,
    read_environment,
    warnings_of,
)
from mcore_runtime.doctor.machine import Machine

X86 = "model name\t: A processor\ncpu family\t: 26\nmodel\t\t: 2\nstepping\t: 1\nflags\t\t: sse avx2\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU variant\t: 0x1\nCPU part\t: 0xd42\nCPU revision\t: 0\n"


def machine(root: Path, cpuinfo: str) -> Machine:
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(cpuinfo)
    return Machine(root)


def test_the_environment_is_what_the_machine_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    found = read_environment(3, machine(tmp_path, X86), malloc_trimming=False)
    assert (found.processor, found.instructions, found.threads) == ("A processor", ("avx2",), 3)
    assert "numpy" in found.versions
    text = format_environment(found)
    assert text.startswith("A processor (avx2; family 26 model 2 stepping 1), ")
    assert "; threads of every engine 3, malloc trimming off, OMP_WAIT_POLICY PASSIVE; python " in text


def test_what_is_unknown_is_left_out(tmp_path: Path) -> None:
    known = read_environment(0, machine(tmp_path, X86))
    bare = replace(known, processor_id="", cores=0, instructions=(), memory_gb=0.0, system="", gpu="", versions={},
                   commit="", omp_wait_policy="")  # fmt: skip
    assert format_environment(bare) == "A processor"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (X86, "family 26 model 2 stepping 1"),
        (ARM, "implementer 0x41 variant 0x1 part 0xd42 revision 0"),
        ("model name\t: A processor\n", ""),
    ],
)
def test_a_processor_differs_from_others_of_its_name(tmp_path: Path, cpuinfo: str, expected: str) -> None:
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


def conditions(**values: Any) -> Conditions:
    """A calm minute, but for what is given."""
    calm: dict[str, Any] = {"wall_s": 60.0, "own_cores": 1.0, "other_cores": 0.0, "steal": 0.0, "pace_ms": (0.1, 0.1)}
    return Conditions(**{**calm, **values})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"other_cores": 0.05, "pace_ms": (0.125, 0.130)}, []),
        ({"steal": None}, []),
        ({"other_cores": 1.4}, ["other programs used 1.4 cores"]),
        ({"steal": 0.2}, ["took 20% of the processor's time away"]),
        ({"pace_ms": (0.125, 0.25)}, ["a fixed computation took 0.125 ms before and 0.250 ms after"]),
    ],
)
def test_conditions_that_make_times_doubtful_are_named(values: dict[str, Any], words: list[str]) -> None:
    found = warnings_of(conditions(**values), machine_cores=2)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("wall_s", "cores", "noisy"), [(0.2, 2, False), (1.0, 2, True), (200.0, 2, True), (1.0, 64, False)]
)
def test_short_stretches_know_their_processor_time_roughly_only(wall_s: float, cores: int, noisy: bool) -> None:
    # 0.25 cores of a fifth of a second are five ticks, which counting alone may be off by on two cores.
    assert bool(warnings_of(conditions(wall_s=wall_s, other_cores=0.25), cores)) is noisy


def test_a_watch_counts_others_and_the_hypervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "measure_pace_ms", lambda: 0.125)
    times = psutil.cpu_times()
    if not hasattr(times, "steal"):
        pytest.skip("this system does not count what the hypervisor takes")
    later = times._replace(user=times.user + 1000, steal=times.steal + 500)
    with Watch() as watch:
        time.sleep(0.3)
        monkeypatch.setattr(psutil, "cpu_times", lambda: later)
    found = watch.conditions
    assert found.other_cores > 1
    assert found.steal == pytest.approx(1 / 3, abs=0.05)
    assert len(found.warnings) == 2
    assert "taken by the hypervisor" in format_conditions(found)


@pytest.mark.skipif(sys.platform != "linux", reason="children are found by Linux's files")
def test_children_that_still_run_are_ones_own() -> None:
    busy = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); sys.stdin.read()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child, Watch() as watch:
        assert child.stdout is not None
        child.stdout.readline()  # neither the child nor its child is over
    assert watch.conditions.own_cores * watch.conditions.wall_s > 0.25


def test_a_pace_is_short_and_in_milliseconds() -> None:
    began_s = time.perf_counter()
    found_ms = measure_pace_ms()
    assert 0 < found_ms <= (time.perf_counter() - began_s) * 1e3
