"""The command mcore-native-score, built for the tests from the engines that are installed here."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOT_OF_ONNXRUNTIME = "ONNXRUNTIME_ROOT"
"""Environment variable: folder with ONNX Runtime's headers and library; with it, that engine is tested too."""


@functools.cache
def build() -> Path:
    """Build the command once, and return it; skip the test where that is not possible."""
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("building mcore-native-score needs CMake and a C++ compiler")
    if importlib.util.find_spec("openvino") is None and ROOT_OF_ONNXRUNTIME not in os.environ:
        pytest.skip(
            f"mcore-native-score needs the headers of an engine: install openvino, or set {ROOT_OF_ONNXRUNTIME}"
        )
    flags = ["-DMCORE_PYTHON=OFF", "-DMCORE_CUDA=OFF", "-DMCORE_SCORER=ON"]
    if importlib.util.find_spec("openvino") is not None:
        from openvino.utils import get_cmake_path

        flags.append(f"-DOpenVINO_DIR={get_cmake_path()}")
    folder = tempfile.mkdtemp(prefix="mcore-native-score-")
    said = _run("cmake", "-S", str(ROOT), "-B", folder, *flags)
    if "are left out: no nlohmann_json" in said:
        pytest.skip("mcore-native-score needs nlohmann-json3-dev")
    assert "mcore-native-score with " in said, said
    _run("cmake", "--build", folder, "--parallel", "2", "--target", "mcore-native-score")
    return Path(folder) / "mcore-native-score"


def engines() -> list[str]:
    """The engines that the command was built with."""
    return _run(str(build()), "--help").partition("those this program has:")[2].splitlines()[0].split()


def score(*arguments: object, stdin: bytes = b"") -> dict[str, Any]:
    """Run the command with ``--json``, and return what it says of the dive."""
    done = run(*arguments, "--json", stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    document: dict[str, Any] = json.loads(done.stdout)
    dive: dict[str, Any] = document["dives"][0]
    return dive


def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command as it is."""
    return subprocess.run([str(build()), *map(str, arguments)], input=stdin, capture_output=True, timeout=120)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
