"""What was measured on: processor, GPU, clocks, versions, threads; read once, written beside every figure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from mcore_runtime.doctor.machine import Machine

PACKAGES = ("mcore-edge", "numpy", "av", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt",
            "tensorrt-rtx-cu13", "fvcore")  # fmt: skip
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "bf16")
"""Instructions that decide how fast matrices are multiplied, as /proc/cpuinfo spells them."""


@dataclass(frozen=True)
class Environment:
    """The machine and its software."""

    processor: str
    cores: int
    """That this process may use."""
    instructions: tuple[str, ...]
    memory_gb: float
    system: str
    governor: str
    """Of the processor's clock; empty: nobody tells."""
    gpu: str
    """Name and driver; empty: none."""
    power_mode: str
    """Of a Jetson; empty elsewhere."""
    versions: Mapping[str, str]
    threads: int
    """Given to every engine alike."""
    date: str
    """When measuring began, UTC."""


def read_environment(threads: int, machine: Machine | None = None) -> Environment:
    """Ask the machine what it is.

    Args:
        threads: that engines get.
        machine: whose files and commands are read; None: this one.
    """
    machine = machine or Machine()
    memory = re.search(r"^MemTotal:\s*(\d+) kB", machine.text("proc/meminfo"), re.M)
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', machine.text("etc/os-release"), re.M)
    files = machine.paths("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    mode = re.search(r"NV Power Mode: *(\S+)", machine.run("nvpmodel", "-q") or "")
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", machine.text("proc/cpuinfo"), re.M)
    known = set(flags[1].split()) if flags else set()
    versions = {"python": ".".join(map(str, machine.python))}
    versions |= {name: version for name in PACKAGES if (version := machine.version(name)) is not None}
    return Environment(
        processor=processor(machine),
        cores=cores(),
        instructions=tuple(flag for flag in _FLAGS if flag in known),
        memory_gb=int(memory[1]) / 1e6 if memory else 0.0,
        system=f"{release[1] if release else 'unknown system'}, {machine.architecture}",
        governor=", ".join(sorted({machine.text(str(path.relative_to(machine.root))) for path in files} - {""})),
        gpu="; ".join((machine.run("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader") or "")
                      .splitlines()),
        power_mode=mode[1] if mode else "",
        versions=versions,
        threads=threads,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )  # fmt: skip


def processor(machine: Machine | None = None) -> str:
    """Name the processor as well as the system can."""
    machine = machine or Machine()
    model = re.search(r"^model name\s*:\s*(.+)$", machine.text("proc/cpuinfo"), re.M)
    return model[1].strip() if model else machine.text("proc/device-tree/model") or machine.architecture


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
