"""Instructions of the native code for one frame, counted by Callgrind: a guard that no busy machine can fool."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "runtime" / "native"
MOST = {"avx2": 8.8, "portable": 55.0}
"""Millions of instructions for a frame of 1920 x 1080: those of GCC 12 at -O3, and a quarter more for others."""
FRAMES = 2

pytestmark = pytest.mark.skipif(
    shutil.which("valgrind") is None or shutil.which("c++") is None,
    reason="counting instructions needs valgrind and a C++ compiler (apt install valgrind g++)",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Resizes frames; valgrind does not know AVX-512."""
    folder = tmp_path_factory.mktemp("native")
    flags = ["-std=c++17", "-O3", "-ffp-contract=off", f"-I{NATIVE}"]
    sources: dict[str, list[str]] = {name: [] for name in ("axis", "kernels", "kernels_portable", "plan")}
    if platform.machine() in ("x86_64", "AMD64"):
        flags.append("-DMCORE_X86_KERNELS")
        sources["kernels_avx2"] = ["-mavx2"]
        sources["kernels_avx512"] = ["-mavx2", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni"]
    objects = []
    for name, more in sources.items():
        objects.append(folder / f"{name}.o")
        _run("c++", *flags, *more, "-c", NATIVE / f"{name}.cpp", "-o", objects[-1])
    main = ROOT / "benchmarks" / "native_instructions.cpp"
    _run("c++", *flags, main, *objects, "-o", folder / "frames")
    return folder / "frames"


@pytest.mark.parametrize("name", MOST)
def test_a_frame_takes_no_more_instructions_than_it_did(program: Path, name: str) -> None:
    per_frame = (_instructions(program, name, 1 + FRAMES) - _instructions(program, name, 1)) / FRAMES / 1e6
    assert MOST[name] / 10 < per_frame < MOST[name]


def _instructions(program: Path, name: str, frames: int) -> int:
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={program}.out"]
    done = subprocess.run([*tool, program, name, str(frames)], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1])


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
