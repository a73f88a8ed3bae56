"""The doctor on this machine, and on others made of files and of what commands would print."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mcore_runtime.doctor import bundles, command, disk, hardware, software, sources
from mcore_runtime.doctor.child_process import in_child
from mcore_runtime.doctor.command import examine, main
from mcore_runtime.doctor.findings import Finding, ok, split_advice
from tests.runtime.doctor.made import Made, of_level


def test_a_gpu_as_its_driver_sees_it(tmp_path: Path) -> None:
    machine = Made(tmp_path, commands={"nvidia-smi": "NVIDIA RTX A2000, 550.54.14, 6138 MiB, 8.6"})
    (found,) = hardware.gpu(machine)
    assert found == ok("NVIDIA RTX A2000, 6138 MiB, compute capability 8.6, driver 550.54.14")
    (without,) = hardware.gpu(Made(tmp_path))
    assert (without.level, without.text) == ("absent", "no NVIDIA GPU with a driver")
    assert hardware.gpu(Made(tmp_path, {"etc/nv_tegra_release": "# R36 (release), REVISION: 4.3"})) == []


WEBCAM = """ioctl: VIDIOC_ENUM_FMT
	Type: Video Capture

	[0]: 'MJPG' (Motion-JPEG, compressed)
		Size: Discrete 1920x1080
			Interval: Discrete 0.033s (30.000 fps)
		Size: Discrete 1280x720
			Interval: Discrete 0.017s (60.000 fps)
			Interval: Discrete 0.033s (30.000 fps)
		Size: Discrete 640x480
			Interval: Discrete 0.008s (120.000 fps)
	[1]: 'YUYV' (YUYV 4:2:2)
		Size: Discrete 640x480
			Interval: Discrete 0.033s (30.000 fps)
		Size: Discrete 1920x1080
			Interval: Discrete 0.200s (5.000 fps)
"""


def test_a_camera_and_what_it_offers(tmp_path: Path) -> None:
    files = {f"dev/video{n}": "" for n in (0, 1)} | {"sys/class/video4linux/video0/name": "HD Pro Webcam"}
    commands = {"v4l2-ctl --device=/dev/video0": WEBCAM, "v4l2-ctl --device=/dev/video1": "ioctl: VIDIOC_ENUM_FMT\n"}
    (found,) = sources.cameras(Made(tmp_path, files, commands))  # its twin for metadata is no camera
    assert found == ok("camera://0: HD Pro Webcam: MJPG 1280x720 at 60, YUYV 640x480 at 30")
    without_tool = sources.cameras(Made(tmp_path, files))
    assert [finding.level for finding in without_tool] == ["ok", "ok"]
    assert "sudo apt install v4l-utils" in without_tool[0].remedy
    assert sources.cameras(Made(tmp_path / "other"))[0].level == "absent"


def test_a_camera_that_this_user_may_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Made(tmp_path, {"dev/video0": "", "sys/class/video4linux/video0/name": "HD Pro Webcam"})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (found,) = sources.cameras(machine)
    assert found.level == "error"
    assert "usermod -aG video" in found.remedy


def test_clocks_that_nobody_sets(tmp_path: Path) -> None:
    files = {f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor": "powersave\n" for n in range(2)}
    found = hardware.clocks(Made(tmp_path, files, {"timedatectl": "no"}))
    assert of_level(found, "hint") == ["the time of day is not synchronised", "processor governor: powersave"]
    files = dict.fromkeys(files, "performance")
    assert of_level(hardware.clocks(Made(tmp_path, files, {"timedatectl": "yes"})), "hint") == []
    assert hardware.clocks(Made(tmp_path))[0].level == "absent"  # nobody tells


@pytest.mark.parametrize(
    ("available_mb", "quota", "hints"),
    [
        (400, "150000 100000", ["400 MB of memory are free", "this container may use 1.5 cores of them"]),
        (4000, "max 100000", []),
    ],
)
def test_little_memory_and_few_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, available_mb: int, quota: str, hints: list[str]
) -> None:
    memory = SimpleNamespace(total=8e9, available=available_mb * 1e6)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    found = hardware.system(Made(tmp_path, {"sys/fs/cgroup/cpu.max": quota}))
    assert of_level(found, "hint") == hints
    assert "8.0 GB of memory" in found[2].text


def test_an_old_python_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Made(tmp_path, {"etc/os-release": 'PRETTY_NAME="Ubuntu 20.04"'})
    assert of_level(hardware.system(machine), "error") == []
    monkeypatch.setattr(Made, "python", (3, 8, 10))
    found = hardware.system(machine)
    assert found[0].text.startswith("Ubuntu 20.04, ")
    assert of_level(found, "error") == ["Python 3.8.10"]


def test_packages_that_overwrite_each_other(tmp_path: Path) -> None:
    both = {"onnxruntime": "1.23.2", "onnxruntime-gpu": "1.23.2"}
    found = software.packages(Made(tmp_path, packages=both))
    assert of_level(found, "error") == ["onnxruntime and onnxruntime-gpu overwrite each other's files"]
    found = software.packages(Made(tmp_path))
    assert of_level(found, "error") == ["no backend is installed"]
    found = software.packages(Made(tmp_path, packages={"onnxruntime": "1.23.2"}))
    assert of_level(found, "error") == []
    assert any(finding.text.startswith("frames: ") for finding in found)


def test_a_full_disk_and_one_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert of_level(disk.disk(tmp_path), "error") == []
    assert list(tmp_path.iterdir()) == []  # nothing is left behind
    assert of_level(disk.disk(tmp_path / "gone"), "error") != []
    monkeypatch.setattr(disk, "_MIN_DISK_MB", float("inf"))
    assert "GB left" in of_level(disk.disk(tmp_path), "error")[0]

    def refuse(folder: Path) -> float:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk, "_commit_ms", refuse)
    assert of_level(disk.disk(tmp_path), "error")[1].endswith("Permission denied")


@pytest.mark.parametrize(("kind", "level"), [("ext4", None), ("tmpfs", "hint"), ("nfs4", "error"), ("cifs", "error")])
def test_disks_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, level: str | None) -> None:
    folder = tmp_path / "a disk" / "sessions"
    folder.mkdir(parents=True)
    mounted = [
        SimpleNamespace(mountpoint="/", fstype="xfs"),
        SimpleNamespace(mountpoint=str(folder.parent), fstype=kind),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounted)
    assert (disk.file_system(folder), disk.file_system(tmp_path)) == (kind, "xfs")
    levels = [finding.level for finding in disk.disk(folder) if f"({kind})" in finding.text]
    assert levels == ([] if level is None else [level])


def test_a_bundle_is_tried_on_every_engine(tiny_bundle: Path) -> None:
    assert bundles.bundle(tiny_bundle)[0].text.startswith(f"{tiny_bundle}: whole, fp32")
    (found,) = bundles.trial(tiny_bundle, "onnxruntime")
    assert found.text.startswith("onnxruntime, fp32: runs")
    (found,) = bundles.trial(tiny_bundle, "tensorrt")
    assert found.level in ("absent", "ok")
    found = bundles.automatic_choice(tiny_bundle)[0]
    assert found.level == "ok"
    assert "--backend auto takes " in found.text
    assert " ms for a clip of " in found.text


def test_a_bundle_that_is_none(tmp_path: Path) -> None:
    assert [finding.level for finding in bundles.bundle(tmp_path)] == ["error"]


def test_a_probe_that_fails_is_a_finding() -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("a driver")

    found = list(examine([("a", broken), ("b", lambda: [ok("fine")])]))
    assert [(topic, finding.level) for topic, finding in found] == [("a", "error"), ("b", "ok")]
    assert "RuntimeError: a driver" in found[0][1].text


def test_advice_begins_after_the_first_sentence_but_not_within_brackets() -> None:
    assert split_advice("it fails (because. Of that). Do this. And that") == (
        "it fails (because. Of that)", "Do this. And that",
    )  # fmt: skip
    assert split_advice("it fails") == ("it fails", "")


def test_the_command(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "in_child", functools.cache(in_child))
    code = main(["--bundle", str(tiny_bundle), "--folder", str(tmp_path), "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert code == int(any(finding["level"] == "error" for finding in findings))
    assert {"system", "packages", "video", "disk", "bundle", "backends"} <= {finding["topic"] for finding in findings}
    assert [finding["level"] for finding in findings if "--backend auto takes" in finding["text"]] == ["ok"]
    assert main(["--bundle", str(tmp_path / "none"), "--folder", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "ERROR" in printed
    assert main(["--source", "ftp://x"]) == 2
