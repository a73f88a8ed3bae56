"""The C++ code on random geometries, strides, formats and misaligned frames: under sanitizers, and as NEON."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "runtime" / "native"
CROSS_COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("ctest") is None or shutil.which("c++") is None,
    reason="building the C++ tests needs CMake and a C++ compiler",
)
def test_nothing_is_read_or_written_outside(tmp_path: Path) -> None:
    run("cmake", "-S", ROOT, "-B", tmp_path, "-DMCORE_PYTHON=OFF", "-DMCORE_TESTS=ON")
    run("cmake", "--build", tmp_path, "--parallel", 2)
    assert "100% tests passed" in run("ctest", "--test-dir", tmp_path, "--output-on-failure")


@pytest.mark.skipif(
    shutil.which(CROSS_COMPILER) is None or shutil.which(EMULATOR) is None,
    reason=f"running NEON code here needs {CROSS_COMPILER} and {EMULATOR}",
)
def test_neon_computes_the_same(tmp_path: Path) -> None:
    names = ("axis", "kernels", "kernels_portable", "kernels_neon", "plan", "yuv", "yuv_neon", "tests/random_frames")
    sources = [NATIVE / f"{name}.cpp" for name in names]
    flags = ("-std=c++17", "-O2", "-static", "-ffp-contract=off", "-DMCORE_NEON_KERNELS", f"-I{NATIVE}")
    run(CROSS_COMPILER, *flags, *sources, "-o", tmp_path / "random_frames")
    assert run(EMULATOR, tmp_path / "random_frames", 500) == "500 geometries, 2 instruction sets\n"
