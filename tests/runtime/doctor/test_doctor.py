"""The doctor on this machine, and on others made of files and of what commands would print."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from mcore_runtime.doctor import hardware, software, work
from mcore_runtime.doctor.command import examine, main
from mcore_runtime.doctor.findings import Finding, ok
from mcore_runtime.doctor.machine import Machine


class Made(Machine):
    """A machine of given files, commands and packages."""

    def __init__(
        self,
        root: Path,
        files: dict[str, str] | None = None,
        commands: dict[str, str] | None = None,
        packages: dict[str, str] | None = None,
    ) -> None:
        super().__init__(root)
        self.commands, self.packages = commands or {}, packages or {}
        for name, content in (files or {}).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def run(self, *command: str) -> str | None:
        return self.commands.get(command[0])

    def version(self, package: str) -> str | None:
        return self.packages.get(package)


def of_level(findings: list[Finding], level: str) -> list[str]:
    return [finding.text for finding in findings if finding.level == level]


def test_a_jetson_in_a_slow_power_mode(tmp_path: Path) -> None:
    files = {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic",
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    }
    found = hardware.board(Made(tmp_path, files, {"nvpmodel": "NV Power Mode: 15W\n0"}))
    assert found[0].text == "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3 (JetPack 6)"
    assert (found[1].level, found[1].text) == ("hint", "power mode 15W")
    assert "nvpmodel -m 0" in found[1].remedy
    (_, best) = hardware.board(Made(tmp_path, files, {"nvpmodel": "NV Power Mode: MAXN_SUPER\n2"}))
    assert best.level == "ok"
    assert hardware.board(Made(tmp_path / "desktop")) == []


def test_a_gpu_that_only_its_driver_sees(tmp_path: Path) -> None:
    machine = Made(tmp_path, commands={"nvidia-smi": "NVIDIA RTX A2000, 550.54.14, 6138 MiB"})
    found = hardware.gpu(machine)
    assert found[0].text == "NVIDIA RTX A2000, 550.54.14, 6138 MiB"
    assert found[1].level in ("hint", "ok")  # ok where the tests themselves run beside a GPU
    (without,) = hardware.gpu(Made(tmp_path))
    assert without.text in ("no NVIDIA GPU", found[1].text)


def test_a_camera_that_this_user_may_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Made(tmp_path, {"dev/video0": "", "sys/class/video4linux/video0/name": "HD Pro Webcam"})
    assert hardware.cameras(machine)[0] == ok("cameras", "camera://0: HD Pro Webcam")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (found,) = hardware.cameras(machine)
    assert found.level == "trouble"
    assert "usermod -aG video" in found.remedy


def test_clocks_that_nobody_sets(tmp_path: Path) -> None:
    files = {f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor": "powersave\n" for n in range(2)}
    found = hardware.clocks(Made(tmp_path, files, {"timedatectl": "no"}))
    assert of_level(found, "hint") == ["the time of day is not synchronised", "processor governor: powersave"]
    files = dict.fromkeys(files, "performance")
    assert of_level(hardware.clocks(Made(tmp_path, files, {"timedatectl": "yes"})), "hint") == []


def test_an_old_python_is_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Made(tmp_path, {"etc/os-release": 'PRETTY_NAME="Ubuntu 20.04"', "proc/meminfo": "MemTotal: 8000000 kB"})
    assert of_level(hardware.system(machine), "trouble") == []
    monkeypatch.setattr(Made, "python", (3, 8, 10))
    found = hardware.system(machine)
    assert found[0].text.startswith("Ubuntu 20.04, ")
    assert of_level(found, "trouble") == ["Python 3.8.10"]
    assert "8.0 GB of memory" in found[2].text


def test_packages_that_overwrite_each_other(tmp_path: Path) -> None:
    both = {"onnxruntime": "1.23.2", "onnxruntime-gpu": "1.23.2"}
    found = software.packages(Made(tmp_path, packages=both))
    assert of_level(found, "trouble") == ["onnxruntime and onnxruntime-gpu overwrite each other's files"]
    found = software.packages(Made(tmp_path))
    assert of_level(found, "trouble") == ["no inference engine"]
    found = software.packages(Made(tmp_path, packages={"onnxruntime": "1.23.2"}))
    assert of_level(found, "trouble") == []
    assert any(finding.text.startswith("frames: ") for finding in found)


def test_a_full_disk_and_one_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert of_level(hardware.disk(tmp_path), "trouble") == []
    assert list(tmp_path.iterdir()) == []  # nothing is left behind
    assert of_level(hardware.disk(tmp_path / "gone"), "trouble") != []
    monkeypatch.setattr(hardware, "_LEAST_DISK_MB", float("inf"))
    assert "GB left" in of_level(hardware.disk(tmp_path), "trouble")[0]

    def refuse(folder: Path) -> float:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hardware, "_commit_ms", refuse)
    assert of_level(hardware.disk(tmp_path), "trouble")[1].endswith("Permission denied")


def test_a_bundle_is_tried_on_every_engine(tiny_bundle: Path) -> None:
    found = work.bundle(tiny_bundle)
    assert any(finding.text.startswith("onnxruntime, fp32: runs") for finding in found)
    assert any("--backend auto takes " in finding.text for finding in found)
    tensorrt = next(finding for finding in found if finding.text.startswith("tensorrt, "))
    assert tensorrt.level in ("absent", "ok")
    assert of_level(found, "trouble") == []


def test_a_bundle_that_is_none(tmp_path: Path) -> None:
    assert [finding.level for finding in work.bundle(tmp_path)] == ["trouble"]


def test_a_source_is_watched(tmp_path: Path) -> None:
    (found,) = work.source("synthetic://meet?seed=1&pace=fast")
    assert found.level == "ok"
    assert "synthetic://meet: " in found.text
    (found,) = work.source(str(tmp_path / "missing.mp4"))
    assert found.level == "trouble"


def test_probes_that_fail_or_hang_are_findings() -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("a driver")

    def hanging() -> list[Finding]:
        time.sleep(30)
        return []

    found = list(examine({"a": broken, "b": hanging, "c": lambda: [ok("c", "fine")]}, patience_s=0.2))
    assert [(finding.topic, finding.level) for finding in found] == [("a", "trouble"), ("b", "trouble"), ("c", "ok")]
    assert "RuntimeError: a driver" in found[0].text
    assert "did not answer" in found[1].text


def test_the_command(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--bundle", str(tiny_bundle), "--folder", str(tmp_path), "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert code == int(any(finding["level"] == "trouble" for finding in findings))
    assert {"system", "packages", "video", "disk", "bundle", "engines"} <= {finding["topic"] for finding in findings}
    assert main(["--bundle", str(tmp_path / "none"), "--folder", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "TROUBLE" in printed
    assert main(["--source", "ftp://x"]) == 2
