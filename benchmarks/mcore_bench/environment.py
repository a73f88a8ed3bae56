"""What was measured on: processor, GPU, clocks, versions, code, threads; read once, written beside every figure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from mcore_runtime.doctor.machine import Machine

PACKAGES = ("mcore-edge", "numpy", "av", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt",
            "tensorrt-rtx-cu13", "fvcore")  # fmt: skip
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "bf16")
"""Instructions that decide how fast matrices are multiplied, as /proc/cpuinfo spells them."""
_IDENTITIES = (
    (("cpu family", "family"), ("model", "model"), ("stepping", "stepping")),
    (
        ("CPU implementer", "implementer"),
        ("CPU part", "part"),
        ("CPU variant", "variant"),
        ("CPU revision", "revision"),
    ),
)
"""What tells one generation of processors from the next, on x86 and on Arm, as /proc/cpuinfo spells it."""
_CHECKOUT = Path(__file__).resolve().parents[2]
"""Where the repository begins, if this runs from one."""


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
    processor_id: str = ""
    """Such as ``family 26 model 2 stepping 1``, as virtual machines call many alike; empty: nobody tells."""
    omp_wait_policy: str = ""
    """Of OpenMP's threads while they wait; empty: untold, so that they spin for a while."""
    commit: str = ""
    """Of the repository that ran, with ``+`` where its files were changed; empty: it was none."""


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
        memory_gb=int(memory[1]) * 1024 / 1e9 if memory else 0.0,
        system=f"{release[1] if release else 'unknown system'}, {machine.architecture}",
        governor=", ".join(sorted({machine.text(str(path.relative_to(machine.root))) for path in files} - {""})),
        gpu="; ".join((machine.run("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader") or "")
                      .splitlines()),
        power_mode=mode[1] if mode else "",
        versions=versions,
        threads=threads,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        processor_id=processor_id(machine),
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", ""),
        commit=commit(machine),
    )  # fmt: skip


def processor(machine: Machine | None = None) -> str:
    """Name the processor as well as the system can."""
    machine = machine or Machine()
    model = re.search(r"^model name\s*:\s*(.+)$", machine.text("proc/cpuinfo"), re.M)
    return model[1].strip() if model else machine.text("proc/device-tree/model") or machine.architecture


def processor_id(machine: Machine) -> str:
    """Tell the processor from others of its name; empty: nobody tells."""
    told = machine.text("proc/cpuinfo")
    for names in _IDENTITIES:
        found = [(short, re.search(rf"^{name}[ \t]*:[ \t]*(\S+)", told, re.M)) for name, short in names]
        if any(match for _, match in found):
            return " ".join(f"{short} {match[1]}" for short, match in found if match)
    return ""


def commit(machine: Machine, folder: Path = _CHECKOUT) -> str:
    """Name the commit that is checked out, with ``+`` where files differ from it; empty: no checkout, or no git."""
    if not (folder / ".git").exists():
        return ""
    git = ("git", "--no-optional-locks", "-C", str(folder))
    return machine.run(*git, "describe", "--always", "--dirty=+", "--exclude=*") or ""


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
