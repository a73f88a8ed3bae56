"""Findings of the doctor on a Jetson, from trees of files as Jetsons have them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mcore_runtime.doctor import jetson
from tests.runtime.doctor.made import Made, of_level

ORIN = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n"
    "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=1 >\n",
}
WHOLE = {"dpkg-query": "6.2+b77", "nvpmodel": "NV Power Mode: MAXN_SUPER\n2", "systemctl": "active"}


def test_a_jetson_on_which_all_is_well(tmp_path: Path) -> None:
    found = jetson.board(Made(tmp_path, ORIN, WHOLE))
    assert [(finding.level, finding.text) for finding in found] == [
        ("ok", "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3"),
        ("ok", "JetPack 6.2+b77"),
        ("ok", "power mode MAXN_SUPER"),
    ]


def test_another_machine_is_none(tmp_path: Path) -> None:
    assert jetson.board(Made(tmp_path, commands=WHOLE)) == []
    assert not jetson.is_jetson(Made(tmp_path))


@pytest.mark.parametrize(
    ("mode", "modes", "command"),
    [
        ("15W", ORIN["etc/nvpmodel.conf"], "sudo nvpmodel -m 2;"),  # mode 0 is not the fastest of every board
        ("25W", ORIN["etc/nvpmodel.conf"], "sudo nvpmodel -m 2;"),
        ("MAXN", "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=3 NAME=MAXN_SUPER >", "sudo nvpmodel -m 3;"),
        ("MODE_15W", "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=MODE_15W >", "sudo nvpmodel -m 0;"),
        ("7W", "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=7W >", "sudo nvpmodel -m 0;"),
        ("15W", "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=7W >", None),
        ("MAXN", "", None),
    ],
)
def test_a_slow_power_mode_and_the_number_of_the_fastest(
    tmp_path: Path, mode: str, modes: str, command: str | None
) -> None:
    commands = {**WHOLE, "nvpmodel": f"NV Power Mode: {mode}\n1"}
    found = jetson.board(Made(tmp_path, {**ORIN, "etc/nvpmodel.conf": modes}, commands))[-1]
    assert found.text == f"power mode {mode}"
    assert (found.level == "ok") == (command is None)
    assert (command or "") in found.remedy


def test_missing_packages_and_a_camera_service_that_does_not_run(tmp_path: Path) -> None:
    found = jetson.board(Made(tmp_path, ORIN, {"systemctl": "inactive"}))
    assert of_level(found, "hint") == [
        "JetPack 6, whose packages are not all installed",
        "csi:// cameras need nvargus-daemon, which is inactive",
    ]
    assert found[1].remedy.endswith("sudo apt install nvidia-jetpack")


def test_an_old_jetpack(tmp_path: Path) -> None:
    release = {"etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 1"}
    assert "JetPack 5 has Python 3.8" in of_level(jetson.board(Made(tmp_path, release, WHOLE)), "hint")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("include-system-site-packages = false\n", "does not see the system's packages"),
        ("include-system-site-packages = true\n", "TensorRT is installed for python3.10, not for this Python"),
    ],
)
def test_an_environment_that_does_not_see_tensorrt(tmp_path: Path, settings: str, expected: str) -> None:
    installed = {"usr/lib/python3.10/dist-packages/tensorrt/__init__.py": ""}
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").write_text(settings)
    prefix = str(tmp_path / "venv")
    (found,) = jetson.system_packages(Made(tmp_path / "machine", installed), prefix)
    assert expected in found.text
    seen = Made(tmp_path / "machine", installed, packages={"tensorrt": "10.3.0"})
    assert jetson.system_packages(seen, prefix) == []
    assert jetson.system_packages(Made(tmp_path / "other"), prefix) == []


def test_the_command_that_repairs_an_environment_does(tmp_path: Path) -> None:
    settings = tmp_path / "pyvenv.cfg"
    settings.write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.10.12\n")
    machine = Made(tmp_path / "machine", {"usr/lib/python3.10/dist-packages/tensorrt/__init__.py": ""})
    (found,) = jetson.system_packages(machine, str(tmp_path))
    subprocess.run(found.remedy, shell=True, check=True)
    assert settings.read_text() == "home = /usr/bin\ninclude-system-site-packages = true\nversion = 3.10.12\n"
