"""Probes of the machine itself: processor, board, GPU, cameras, clocks, disk."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

from mcore.errors import UserError, first_line
from mcore_runtime.doctor.findings import Finding, absent, hint, ok, trouble
from mcore_runtime.doctor.machine import Machine
from mcore_runtime.health import HealthReader

_LEAST_PYTHON = (3, 10)
_LEAST_DISK_MB = 2000
_SLOW_COMMIT_MS = 50.0
_JETPACKS = {"35": "JetPack 5", "36": "JetPack 6", "38": "JetPack 7", "39": "JetPack 7"}
"""By the major version of L4T."""


def system(machine: Machine) -> list[Finding]:
    """Operating system, Python, processor and memory."""
    python = ".".join(map(str, machine.python))
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', machine.text("etc/os-release"), re.M)
    found = [ok("system", f"{release[1] if release else 'unknown system'}, {machine.architecture}")]
    if machine.python[:2] < _LEAST_PYTHON:
        found.append(trouble("system", f"Python {python}", "install Python 3.10 or newer"))
    else:
        found.append(ok("system", f"Python {python}"))
    name = re.search(r"^model name\s*:\s*(.+)$", machine.text("proc/cpuinfo"), re.M)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", machine.text("proc/meminfo"), re.M)
    gigabytes = f", {int(memory[1]) / 1e6:.1f} GB of memory" if memory else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found.append(ok("system", f"{name[1] if name else 'processor'}, {cores} cores to use{gigabytes}"))
    return found


def board(machine: Machine) -> list[Finding]:
    """A Jetson's model, software and power mode; nothing on other machines."""
    l4t = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", machine.text("etc/nv_tegra_release"))
    if l4t is None:
        return []
    model = machine.text("proc/device-tree/model") or "Jetson"
    jetpack = _JETPACKS.get(l4t[1], "an unknown JetPack")
    found = [ok("board", f"{model}, L4T {l4t[1]}.{l4t[2]} ({jetpack})")]
    mode = machine.run("nvpmodel", "-q")
    if mode is not None and (named := re.search(r"NV Power Mode: *(\S+)", mode)):
        best = named[1].upper().startswith("MAXN")
        advice = "for the shortest times: sudo nvpmodel -m 0, then sudo jetson_clocks"
        found.append(ok("board", f"power mode {named[1]}") if best else hint("board", f"power mode {named[1]}", advice))
    return found


def gpu(machine: Machine) -> list[Finding]:
    """NVIDIA's GPU, as its driver and as CUDA see it."""
    listed = machine.run("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    found = [ok("gpu", ", ".join(part.strip() for part in line.split(","))) for line in (listed or "").splitlines()]
    from mcore_runtime.backends.tensorrt.devices import find_gpu

    try:
        target, name = find_gpu("")
    except UserError as error:
        if found or machine.text("etc/nv_tegra_release"):
            remedy = "pip install pycuda, or cuda-python where there is no CUDA toolkit"
            found.append(hint("gpu", f"there is a GPU, but not for TensorRT: {first_line(error)}", remedy))
        else:
            found.append(absent("gpu", "no NVIDIA GPU"))
    else:
        found.append(ok("gpu", f"CUDA sees {name} ({target})"))
    return found


def cameras(machine: Machine) -> list[Finding]:
    """V4L2 devices, and whether this user may open them."""
    found = []
    for device in machine.paths("dev/video*"):
        name = machine.text(f"sys/class/video4linux/{device.name}/name") or "camera"
        index = device.name.removeprefix("video")
        if os.access(device, os.R_OK | os.W_OK):
            found.append(ok("cameras", f"camera://{index}: {name}"))
        else:
            remedy = "sudo usermod -aG video $USER, then log in again"
            found.append(trouble("cameras", f"camera://{index}: {name}, which this user may not open", remedy))
    return found or [absent("cameras", "no V4L2 camera")]


def clocks(machine: Machine) -> list[Finding]:
    """The time of day, the processor's speed, and its temperature."""
    found = []
    synchronised = machine.run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if synchronised == "no":
        remedy = "sudo timedatectl set-ntp true; or set it by hand: results carry the time of day"
        found.append(hint("clocks", "the time of day is not synchronised", remedy))
    elif synchronised == "yes":
        found.append(ok("clocks", "the time of day is synchronised"))
    files = machine.paths("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    governors = {machine.text(str(path.relative_to(machine.root))) for path in files} - {""}
    if governors:
        text = f"processor governor: {', '.join(sorted(governors))}"
        slow = governors & {"powersave", "conservative"}
        remedy = "for shorter times: sudo cpupower frequency-set -g performance"
        found.append(hint("clocks", text, remedy) if slow else ok("clocks", text))
    health = HealthReader(machine.root).read(machine.root)
    told = [
        "" if health["temperature_c"] is None else f"{health['temperature_c']:.0f} °C",
        "" if health["power_w"] is None else f"{health['power_w']:.1f} W ({health['power_source']})",
    ]
    if any(told):
        found.append(ok("clocks", ", ".join(filter(None, told))))
    return found


def disk(folder: Path) -> list[Finding]:
    """Room for sessions, and how long a result takes to be safe."""
    health = HealthReader().read(folder)
    free_mb = health["disk_free_mb"]
    where = f"the disk of {folder.resolve()}"
    if free_mb is None:
        return [trouble("disk", f"{where} cannot be asked", "run the doctor where sessions are to be kept")]
    found = []
    if free_mb < _LEAST_DISK_MB:
        remedy = "a dive takes about 5 MB with its clip; make room, or give --session on another disk"
        found.append(trouble("disk", f"{where} has {free_mb / 1e3:.1f} GB left", remedy))
    else:
        found.append(ok("disk", f"{where} has {free_mb / 1e3:.0f} GB left"))
    try:
        milliseconds = _commit_ms(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        found.append(trouble("disk", f"{where}: {reason}", "give --session in a folder of yours"))
        return found
    text = f"a result is safe on it after {milliseconds:.1f} ms"
    slow = milliseconds > _SLOW_COMMIT_MS
    remedy = "scores do not wait for it, but a better card or an SSD loses less in a power cut"
    found.append(hint("disk", text, remedy) if slow else ok("disk", text))
    return found


def _commit_ms(folder: Path) -> float:
    """Median time to write 4 kB and have it on the disk."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".mcore-doctor-") as file:
        for _ in range(9):
            began = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2] * 1e3
