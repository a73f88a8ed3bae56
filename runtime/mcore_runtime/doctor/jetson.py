"""Probes of a Jetson: its board and software, its power mode, the way to its camera, and to JetPack's packages."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mcore_runtime.doctor.findings import Finding, hint, ok
from mcore_runtime.doctor.machine import Machine

_JETPACKS = {"34": "5", "35": "5", "36": "6", "38": "7", "39": "7"}
"""JetPack by the major version of L4T."""
_MIN_JETPACK = 6
_RELEASE = "etc/nv_tegra_release"


def is_jetson(machine: Machine) -> bool:
    """Return whether this machine is a Jetson; the kernel's name says so in a container too."""
    return bool(machine.text(_RELEASE)) or "tegra" in machine.kernel


def board(machine: Machine) -> list[Finding]:
    """A Jetson's model, software, power mode and camera service; nothing on other machines."""
    if not is_jetson(machine):
        return []
    l4t = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", machine.text(_RELEASE))
    if l4t is None:
        text = f"a Jetson (kernel {machine.kernel}) whose software cannot be told: /{_RELEASE} is not here"
        return [hint(text, f"in a container: docker run -v /{_RELEASE}:/{_RELEASE}:ro ...")]
    jetpack = _JETPACKS.get(l4t[1])
    found = [
        ok(f"{machine.text('proc/device-tree/model') or 'Jetson'}, L4T {l4t[1]}.{l4t[2]}"),
        _jetpack(machine, jetpack),
    ]
    if jetpack is not None and int(jetpack) < _MIN_JETPACK:
        found.append(hint(f"JetPack {jetpack} has Python 3.8", "install JetPack 6 or newer"))
    return [*found, *_power_mode(machine), *_camera_service(machine)]


def system_packages(machine: Machine, prefix: str = sys.prefix) -> list[Finding]:
    """Check that a virtual environment sees TensorRT, which JetPack installs for the system's Python."""
    installed = [*machine.paths("usr/lib/python3*/dist-packages/tensorrt")]
    settings = Path(prefix) / "pyvenv.cfg"
    if not installed or not settings.is_file() or machine.version("tensorrt") is not None:
        return []
    if re.search(r"^include-system-site-packages\s*=\s*true", settings.read_text(encoding="utf-8"), re.M | re.I):
        python = installed[0].parent.parent.name
        remedy = f"make the environment with /usr/bin/{python}, whose packages they are"
        return [hint(f"TensorRT is installed for {python}, not for this Python", remedy)]
    remedy = f"sed -i 's/^\\(include-system-site-packages *= *\\)false/\\1true/' {settings}"
    return [hint("TensorRT is installed, but this environment does not see the system's packages", remedy)]


def _jetpack(machine: Machine, major: str | None) -> Finding:
    """The packages that make a Jetson's system a JetPack are one package."""
    version = machine.run("dpkg-query", "--show", "--showformat=${Version}", "nvidia-jetpack")
    if version:
        return ok(f"JetPack {version}")
    text = "an unknown JetPack" if major is None else f"JetPack {major}"
    remedy = "for CUDA and TensorRT: sudo apt install nvidia-jetpack"
    return hint(f"{text}, whose packages are not all installed", remedy)


def _power_mode(machine: Machine) -> list[Finding]:
    """The mode that is set, and the number of the fastest, which differs from board to board."""
    named = re.search(r"NV Power Mode: *(\S+)", machine.run("nvpmodel", "-q") or "")
    if named is None:
        return []
    modes = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>", machine.text("etc/nvpmodel.conf"))
    number, fastest = max(modes, key=lambda mode: _speed(mode[1]), default=("0", named[1]))
    if _speed(named[1]) >= _speed(fastest):
        return [ok(f"power mode {named[1]}")]
    remedy = (
        f"{fastest}, if power supply and cooling are made for it: sudo nvpmodel -m {number}; then sudo jetson_clocks; "
        "then build engines, whose kernels are chosen by their times"
    )
    return [hint(f"power mode {named[1]}", remedy)]


def _speed(mode: str) -> float:
    """Orders power modes by their names, such as ``7W``, ``MODE_30W_ALL``, ``MAXN`` and ``MAXN_SUPER``."""
    watts = re.search(r"(\d+)W", mode.upper())
    if watts is not None:
        return float(watts[1])
    return float(mode.upper().startswith("MAXN")) * 1e3 + len(mode)


def _camera_service(machine: Machine) -> list[Finding]:
    state = machine.run("systemctl", "show", "--property=ActiveState", "--value", "nvargus-daemon")
    if state in (None, "", "active"):
        return []
    remedy = "sudo systemctl enable --now nvargus-daemon"
    return [hint(f"csi:// cameras need nvargus-daemon, which is {state}", remedy)]
