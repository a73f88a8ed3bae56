"""Instructions of the native code for one frame, counted by Callgrind: a guard that no busy machine can fool."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_MILLIONS = {"avx2": 8.8, "portable": 55.0}
"""Instructions for a frame of 1920 x 1080: those of GCC 12 at -O3, and a quarter more for others. Valgrind
does not know AVX-512."""

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("valgrind", "cmake", "c++")),
    reason="counting instructions needs valgrind, CMake and a C++ compiler (apt install valgrind cmake g++)",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Resizes frames; built with the project's own flags."""
    folder = tmp_path_factory.mktemp("native")
    flags = ("-DMCORE_PYTHON=OFF", "-DMCORE_INSTRUCTIONS=ON")
    _run("cmake", "-S", ROOT, "-B", folder, *flags)
    _run("cmake", "--build", folder, "--target", "native_instructions")
    return folder / "native_instructions"


@pytest.mark.parametrize("name", MAX_MILLIONS)
def test_a_frame_takes_no_more_instructions_than_it_did(program: Path, name: str) -> None:
    per_frame = (_instructions(program, name, 2) - _instructions(program, name, 1)) / 1e6
    assert MAX_MILLIONS[name] / 10 < per_frame < MAX_MILLIONS[name]


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
