"""Extras as they are meant, for each machine; what an index answers is asked by ``tools/check_installs.py`` only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.check_installs import JETSON, Resolved, describe, install_rows, read_lock

ROOT = Path(__file__).parents[2]
JETPACK_6 = {"python_version": "3.10", "platform_release": "5.15.148-tegra", "platform_machine": "aarch64"}
JETPACK_7 = {"python_version": "3.12", "platform_release": "6.8.12-tegra", "platform_machine": "aarch64"}
DESKTOP = {"python_version": "3.12", "platform_release": "6.8.0-49-generic", "platform_machine": "x86_64"}
LOCK = """
[[packages]]
name = "av"
version = "17.1.0"
wheels = [{ url = "https://host/av.whl", size = 30000000, hashes = { } }, { url = "https://host/b.whl", size = 1 }]

[[packages]]
name = "pycuda"
version = "2026.1"
sdist = { url = "https://host/pycuda.tar.gz", size = 2000000, hashes = { } }
"""


def extras() -> dict[str, list[str]]:
    _, _, text = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]\n")
    found = re.findall(r"^(\w+) = \[(.*?)\]$", text.partition("\n[project")[0], re.M | re.S)
    return {name: re.findall(r'"([^"]+)"', body) for name, body in found}


def installed(extra: str, machine: dict[str, str]) -> dict[str, str]:
    """Packages that an extra asks for on a machine, with the versions that it allows."""
    wanted = [Requirement(text) for text in extras()[extra]]
    chosen = [one for one in wanted if one.marker is None or one.marker.evaluate(machine)]
    return {one.name: str(one.specifier) for one in chosen}


@pytest.mark.parametrize("machine", [JETPACK_6, JETPACK_7])
def test_a_jetson_gets_nothing_that_is_made_for_other_gpus(machine: dict[str, str]) -> None:
    for extra in ("gpu", "tensorrt", "rtx"):
        assert installed(extra, machine) == {}
        assert installed(extra, DESKTOP)


def test_a_jetson_gets_bindings_of_its_drivers_cuda() -> None:
    assert set(installed(JETSON, JETPACK_6)) == {"onnxruntime", "cuda-python"}
    assert Requirement(f"x{installed(JETSON, JETPACK_6)['cuda-python']}").specifier.contains("12.9.10")
    assert not Requirement(f"x{installed(JETSON, JETPACK_6)['cuda-python']}").specifier.contains("13.0.0")
    assert Requirement(f"x{installed(JETSON, JETPACK_7)['cuda-python']}").specifier.contains("13.4.4")


def test_every_row_of_the_readme_is_one_of_known_extras() -> None:
    rows = install_rows()
    assert {"runtime", "openvino", "web", "train", "export", "gpu", "tensorrt", "rtx", JETSON} == set().union(*rows)
    assert {extra for row in rows for extra in row} <= set(extras())
    page = (ROOT / "docs/results/installs.md").read_text()
    for row in rows:
        assert f"| `{','.join(row)}` | aarch64 | 3.12 |" in page, "run tools/check_installs.py"


def test_a_lock_file_is_read() -> None:
    found = read_lock(LOCK, ("tensorrt",), "aarch64", "3.10")
    assert found == Resolved(("tensorrt",), "aarch64", "3.10", {"av": "17.1.0", "pycuda": "2026.1"}, ("pycuda",), 32.0)
    assert list(describe([found]))[-1] == "| `tensorrt` | aarch64 | 3.10 | av 17.1.0, pycuda 2026.1 | 32 | pycuda |"


@pytest.mark.parametrize(
    ("extras", "python", "versions", "faults"),
    [
        (("runtime",), "3.10", {}, 0),
        (("runtime",), "3.10", None, 1),
        (("gpu",), "3.10", None, 0),
        (("gpu",), "3.10", {}, 1),
        ((JETSON, "web"), "3.10", {"cuda-python": "12.9.10"}, 0),
        ((JETSON, "web"), "3.10", {"cuda-python": "13.4.4"}, 1),
        ((JETSON, "web"), "3.12", {"cuda-python": "13.4.4", "onnxruntime-gpu": "1.31.1", "tensorrt": "11.4"}, 2),
        ((JETSON,), "3.12", {}, 1),
    ],
)
def test_what_is_wrong_is_said(
    extras: tuple[str, ...], python: str, versions: dict[str, str] | None, faults: int
) -> None:
    assert len(list(Resolved(extras, "aarch64", python, versions).faults())) == faults
