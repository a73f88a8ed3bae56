"""Every use of TensorRT's Python API against its types: names, arguments, results.

The package ``tensorrt-stubs`` has the types of TensorRT 10.13; it is installed without what it depends on:
``pip install --no-deps tensorrt-stubs``.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHECKED = (
    "runtime/mcore_runtime/backends/tensorrt",
    "export/mcore_export/engines/build.py",
    "export/mcore_export/engines/targets.py",
)
SETTINGS = """
[mypy]
python_version = 3.10
strict = True
explicit_package_bases = True
follow_imports = skip
[mypy-tensorrt.*,tensorrt_bindings.*,numpy.*]
follow_imports = normal
"""
"""Of our own modules only those below are read: `make test` checks the others."""
WRONG_USE = """
from mcore_runtime.backends.tensorrt.flavours import load_flavour

builder = load_flavour("tensorrt").new_builder()
builder.create_netwrk()
builder.create_network("strongly typed")
"""
COMPLAINTS = ('"Builder" has no attribute "create_netwrk"', 'Argument 1 to "create_network" of "Builder"')


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the types, mended: in 10.13.0.35.1 some functions are not Python."""
    try:
        package = importlib.metadata.distribution("tensorrt-stubs")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("TensorRT's types are not installed: pip install --no-deps tensorrt-stubs")
    folder = tmp_path_factory.mktemp("types")
    for name in ("tensorrt", "tensorrt_bindings"):
        shutil.copytree(str(package.locate_file(name)), folder / name, ignore=shutil.ignore_patterns("*.py", "*.so"))
    stub = folder / "tensorrt_bindings" / "tensorrt.pyi"
    text = stub.read_text(encoding="utf-8").replace(", in: ", ", in_: ")
    stub.write_text(re.sub(r"(def add_scale_nd\(.*channel_axis: int)\)", r"\1 = ...)", text), encoding="utf-8")
    return folder


def complaints(types: Path, *paths: str) -> list[str]:
    """What mypy says about files of ours; what it says about the types themselves is left out."""
    settings = types / "mypy.ini"
    settings.write_text(SETTINGS, encoding="utf-8")
    path = os.pathsep.join([str(types), ".", "export", "runtime"])
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", settings, "--cache-dir", os.devnull, *paths],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "error: " in run.stdout or run.returncode == 0, run.stdout + run.stderr
    return [line for line in run.stdout.splitlines() if ": error: " in line and ".pyi:" not in line]


def test_tensorrt_is_used_as_its_types_say(types: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG_USE, encoding="utf-8")
    found = complaints(types, *CHECKED, str(wrong))
    assert len(found) == len(COMPLAINTS), "\n".join(found)
    for line, complaint in zip(found, COMPLAINTS, strict=True):
        assert "wrong.py" in line
        assert complaint in line
