"""The C++ code under AddressSanitizer and UBSan: random geometries, strides, formats and misaligned frames."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("ctest") is None or shutil.which("c++") is None,
    reason="building the C++ tests needs CMake and a C++ compiler",
)
def test_nothing_is_read_or_written_outside(tmp_path: Path) -> None:
    commands = (
        ["cmake", "-S", str(ROOT), "-B", str(tmp_path), "-DMCORE_PYTHON=OFF", "-DMCORE_TESTS=ON"],
        ["cmake", "--build", str(tmp_path), "--parallel", "2"],
        ["ctest", "--test-dir", str(tmp_path), "--output-on-failure"],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if "san" in done.stderr and "cannot find" in done.stderr:
            pytest.skip("this compiler has no sanitizers")
        assert done.returncode == 0, done.stdout + done.stderr
    assert "100% tests passed" in done.stdout
