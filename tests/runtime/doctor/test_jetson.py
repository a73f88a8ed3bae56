"""Findings of the doctor on a Jetson, from trees of files as Jetsons have them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcore_runtime.doctor import engines, hardware, jetson, software
from tests.runtime.doctor.made import Made, of_level

ORIN = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n"
    "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=1 >\n",
}
AGX_ORIN = "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=MODE_15W >\n< POWER_MODEL ID=2 NAME=MODE_30W >\n"
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
        ("MODE_30W", AGX_ORIN, "sudo nvpmodel -m 0;"),  # where 2 is 30 W with four cores off
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


def test_a_container_that_does_not_show_its_software(tmp_path: Path) -> None:
    machine = Made(tmp_path)
    machine.kernel = "5.15.148-tegra"
    assert jetson.is_jetson(machine)
    (found,) = jetson.board(machine)
    assert (found.level, "/etc/nv_tegra_release is not here" in found.text) == ("hint", True)
    assert "-v /etc/nv_tegra_release:/etc/nv_tegra_release:ro" in found.remedy


@pytest.mark.parametrize(
    ("installed", "cuda_major", "remedy"),
    [
        ("13.4.4", 12, "pip install 'cuda-python<13'"),  # JetPack 6, after a plain pip install cuda-python
        ("12.9.10", 12, None),
        ("12.9.10", 13, None),
        ("13.4.4", 13, None),
        (None, 12, None),
    ],
)
def test_bindings_for_a_newer_driver(
    tmp_path: Path, installed: str | None, cuda_major: int, remedy: str | None
) -> None:
    machine = Made(tmp_path, packages={} if installed is None else {"cuda-bindings": installed})
    found = hardware.cuda_python(machine, cuda_major)
    assert [finding.remedy for finding in found] == ([] if remedy is None else [remedy])


def test_a_jetson_is_advised_what_works_on_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platform.release", lambda: "5.15.148-tegra")
    for kind in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, kind, None)
    machine = Made(tmp_path)
    machine.kernel = "5.15.148-tegra"
    found = [*software.packages(machine), *engines.library("tensorrt"), *engines.library("tensorrt-rtx")]
    said = "\n".join(f"{finding.text} {finding.remedy}" for finding in found)
    assert "[jetson]'" in said
    assert "sudo apt install nvidia-jetpack" in said
    assert "There is none for Jetsons" in said
    assert not re.search(r"\[(gpu|tensorrt|rtx)\]", said)


def test_a_build_without_kernels_for_this_gpu_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(names: list[str], inputs: dict[str, object]) -> None:
        raise RuntimeError("CUDA error 209: no kernel image is available for execution on the device\nmore")

    session = SimpleNamespace(get_providers=lambda: ["CUDAExecutionProvider"], disable_fallback=lambda: None, run=run)
    module = SimpleNamespace(
        __version__="1.31.1",
        get_available_providers=lambda: ["CUDAExecutionProvider"],
        SessionOptions=SimpleNamespace,
        InferenceSession=lambda *_, **__: session,
    )
    monkeypatch.setattr(engines, "load_onnxruntime", lambda cuda: module)
    (found,) = engines.library("onnxruntime-cuda")
    assert found.level == "hint"
    assert "listed, but cannot compute here (CUDA error 209: no kernel image" in found.text


@pytest.mark.parametrize(
    ("lacking", "package"),
    [
        (set(), None),
        ({"h264parse"}, "gstreamer1.0-plugins-bad"),
        ({"nvvidconv"}, "nvidia-l4t-gstreamer"),
        ({"appsink"}, "gstreamer1.0-plugins-base gstreamer1.0-plugins-good"),
    ],
)
def test_the_package_of_a_plugin_that_is_missing(lacking: set[str], package: str | None) -> None:
    find = SimpleNamespace(find=lambda name: None if name in lacking else object())
    gst = SimpleNamespace(ElementFactory=find, version_string=lambda: "GStreamer 1.20.3")
    found = software.plugins(gst, on_jetson=True)
    assert [finding.remedy for finding in found if finding.level == "hint"] == (
        [] if package is None else [f"sudo apt install {package}"]
    )
