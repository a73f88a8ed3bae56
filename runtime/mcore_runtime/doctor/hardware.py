"""Probes of the machine itself: processor, memory, GPU, clocks."""

from __future__ import annotations

import ctypes
import os
import re

import psutil

from mcore.common.errors import MissingDependencyError, UserError, first_line
from mcore_runtime.doctor.findings import Finding, absent, error, hint, ok
from mcore_runtime.doctor.jetson import is_jetson
from mcore_runtime.doctor.machine import Machine
from mcore_runtime.health import HealthReader

_MIN_PYTHON = (3, 10)
_MIN_MEMORY_MB = 1000


def system(machine: Machine) -> list[Finding]:
    """Operating system, Python, processor and memory."""
    python = ".".join(map(str, machine.python))
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', machine.text("etc/os-release"), re.M)
    found = [ok(f"{release[1] if release else 'unknown system'}, {machine.architecture}")]
    if machine.python[:2] < _MIN_PYTHON:
        found.append(error(f"Python {python}", "install Python 3.10 or newer"))
    else:
        found.append(ok(f"Python {python}"))
    name = re.search(r"^model name\s*:\s*(.+)$", machine.text("proc/cpuinfo"), re.M)
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found.append(ok(f"{name[1] if name else 'processor'}, {cores} cores to use, {memory.total / 1e9:.1f} GB of memory"))
    if memory.available / 1e6 < _MIN_MEMORY_MB:
        text = f"{memory.available / 1e6:.0f} MB of memory are free"
        remedy = "close other programs; a machine without a desktop: sudo systemctl set-default multi-user.target"
        found.append(hint(text, remedy))
    quota = machine.text("sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdecimal():
        text = f"this container may use {int(quota[0]) / int(quota[1]):.1f} cores of them"
        found.append(hint(text, "give it more with --cpus, or let the backend use fewer threads: --threads"))
    return found


def gpu(machine: Machine) -> list[Finding]:
    """NVIDIA's GPUs, as their driver's tool sees them; on a Jetson only CUDA tells."""
    query = "--query-gpu=name,driver_version,memory.total,compute_cap"
    listed = machine.run("nvidia-smi", query, "--format=csv,noheader")
    if listed is None:
        return [] if is_jetson(machine) else [absent("no NVIDIA GPU with a driver")]
    found = []
    for line in listed.splitlines():
        name, driver, memory, capability = ([part.strip() for part in line.split(",")] + ["?"] * 4)[:4]
        found.append(ok(f"{name}, {memory}, compute capability {capability}, driver {driver}"))
    return found


def cuda() -> list[Finding]:
    """Check CUDA's driver library, and the GPU as TensorRT reaches it."""
    from mcore_runtime.backends.tensorrt.devices import find_gpu

    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    version = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        remedy = "nvidia-smi may say more; after an update of the driver: sudo reboot"
        return [hint("CUDA's driver library is here, but does not start", remedy)]
    major, minor = version.value // 1000, version.value % 1000 // 10
    found = [ok(f"CUDA {major}.{minor} at most, as its driver says"), *cuda_python(Machine(), major)]
    try:
        target, name = find_gpu("")
    except MissingDependencyError:
        remedy = f"pip install pycuda; or without a CUDA toolkit: {_cuda_python_command(major)}"
        return [*found, hint("TensorRT's engines need pycuda or cuda-python; neither is installed", remedy)]
    except UserError as refused:
        return [*found, hint(first_line(refused), "nvidia-smi may say more")]
    return [*found, ok(f"CUDA sees {name} ({target})")]


def cuda_python(machine: Machine, cuda_major: int) -> list[Finding]:
    """Check that cuda-python is not for a newer CUDA than the driver's: a JetPack 6 has 12, and pip installs 13."""
    installed = machine.version("cuda-bindings")
    if installed is None or int(installed.partition(".")[0]) <= cuda_major:
        return []
    text = f"cuda-python {installed} needs a driver of CUDA {installed.partition('.')[0]}, this one is of {cuda_major}"
    return [hint(text, _cuda_python_command(cuda_major))]


def _cuda_python_command(cuda_major: int) -> str:
    return f"pip install 'cuda-python<{cuda_major + 1}'"


def clocks(machine: Machine) -> list[Finding]:
    """The time of day, the processor's speed, and its temperature."""
    found = []
    synchronised = machine.run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if synchronised == "no":
        remedy = "sudo timedatectl set-ntp true; or set it by hand: results carry the time of day"
        found.append(hint("the time of day is not synchronised", remedy))
    elif synchronised == "yes":
        found.append(ok("the time of day is synchronised"))
    else:
        found.append(absent("nobody tells whether the time of day is synchronised"))
    files = machine.paths("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    governors = {machine.text(str(path.relative_to(machine.root))) for path in files} - {""}
    if governors:
        text = f"processor governor: {', '.join(sorted(governors))}"
        slow = governors & {"powersave", "conservative"}
        remedy = "for shorter times: sudo cpupower frequency-set -g performance"
        found.append(hint(text, remedy) if slow else ok(text))
    health = HealthReader(machine.root).read(machine.root)
    readings = [
        "" if health["temperature_c"] is None else f"{health['temperature_c']:.0f} °C",
        "" if health["power_w"] is None else f"{health['power_w']:.1f} W ({health['power_source']})",
    ]
    if any(readings):
        found.append(ok(", ".join(filter(None, readings))))
    return found
