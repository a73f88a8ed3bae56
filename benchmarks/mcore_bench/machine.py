"""The machine of a measurement: hardware, versions and commit; and what else it did meanwhile.

with Watch() as watch:
    measure()
print(format_conditions(watch.conditions))
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import psutil

from mcore_runtime.doctor.machine import Machine

PACKAGES = ("mcore-edge", "numpy", "av", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt",
            "tensorrt-rtx-cu13", "fvcore")  # fmt: skip
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "bf16")
"""Instructions that decide how fast matrices are multiplied, as /proc/cpuinfo spells them."""
_IDENTITY = re.compile(
    r"^(?:cpu |CPU )?(family|model|stepping|implementer|part|variant|revision)[ \t]*:[ \t]*(\S+)", re.M
)
"""Fields of /proc/cpuinfo that tell one generation of processors from the next, on x86 and on Arm."""
_CHECKOUT = Path(__file__).resolve().parents[2]
"""Where the repository begins, if this runs from one."""

_MAX_OTHER_CORES, _MAX_STEAL, _MAX_CHANGE = 0.15, 0.01, 0.05
"""Cores of other programs, share taken by the hypervisor, and change of pace that go without a warning. Beside a
training run on all cores the pace moved by 4 % at most in 150 stretches."""
_TICK_S = 0.01
"""Resolution of the system's counters of processor time, for each core."""
_PACE_BYTES = bytes(1 << 18)
"""Hashing as much takes a tenth of a millisecond on a fast core, and stays within its second cache."""
_PACE_S = 0.008
"""Long enough for a core that slept to be at its clock."""


@dataclass(frozen=True)
class Environment:
    """The machine and its software."""

    processor: str
    processor_id: str
    """Such as ``family 26 model 2 stepping 1``, because virtual machines give many processors one name."""
    cores: int
    """Processor cores that this process may use."""
    instructions: tuple[str, ...]
    memory_gb: float
    system: str
    gpu: str
    """Name and driver; empty: none."""
    power_mode: str
    """Power mode of a Jetson; empty elsewhere."""
    versions: Mapping[str, str]
    threads: int
    """CPU threads of every backend; 0: each chooses its own number."""
    malloc_trimming: bool
    """Whether freed memory goes back to the system, as glibc has it; PyTorch on a CPU is slower then."""
    omp_wait_policy: str
    """``OMP_WAIT_POLICY``: what OpenMP's threads do while they wait; empty: not set, so that they spin for a while."""
    commit: str
    """Commit of the repository that ran, with ``+`` where its files were changed; empty: it was none."""
    date: str
    """When measuring began, UTC."""


def read_environment(threads: int = 0, machine: Machine | None = None, *, malloc_trimming: bool = True) -> Environment:
    """Read what is known of the machine.

    Args:
        threads: that engines get; 0: their own choice.
        machine: whose files and commands are read; None: this one.
        malloc_trimming: whether the C library was left as it is.
    """
    machine = machine or Machine()
    cpuinfo = machine.text("proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.M)
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', machine.text("etc/os-release"), re.M)
    mode = re.search(r"NV Power Mode: *(\S+)", machine.run("nvpmodel", "-q") or "")
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.M)
    known = set(flags[1].split()) if flags else set()
    identity = dict(_IDENTITY.findall(cpuinfo))  # of the last core: all are alike where that matters
    versions = {"python": ".".join(map(str, machine.python))}
    versions |= {name: version for name in PACKAGES if (version := machine.version(name)) is not None}
    gpus = machine.run("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader") or ""
    return Environment(
        processor=model[1].strip() if model else machine.text("proc/device-tree/model") or machine.architecture,
        processor_id=" ".join(f"{name} {value}" for name, value in identity.items()),
        cores=cores(),
        instructions=tuple(flag for flag in _FLAGS if flag in known),
        memory_gb=psutil.virtual_memory().total / 1e9,
        system=f"{release[1] if release else 'unknown system'}, {machine.architecture}",
        gpu="; ".join(gpus.splitlines()),
        power_mode=mode[1] if mode else "",
        versions=versions,
        threads=threads,
        malloc_trimming=malloc_trimming,
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", ""),
        commit=commit(machine),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def commit(machine: Machine, folder: Path = _CHECKOUT) -> str:
    """Name the commit that is checked out, with ``+`` where files differ from it; empty: no checkout, or no git."""
    if not (folder / ".git").exists():
        return ""
    git = ("git", "--no-optional-locks", "-C", str(folder))
    return machine.run(*git, "describe", "--always", "--dirty=+", "--exclude=*") or ""


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def format_environment(e: Environment) -> str:
    """Describe hardware and software in one line, as far as they are known."""
    known = "; ".join(filter(None, [", ".join(e.instructions), e.processor_id]))
    hardware = [f"{e.processor} ({known})" if known else e.processor, f"{e.cores} cores" if e.cores else ""]
    hardware += [f"{e.memory_gb:.0f} GB" if e.memory_gb else "", e.gpu, e.power_mode and f"power mode {e.power_mode}"]
    settings = [f"threads of every engine {e.threads}" if e.threads else ""]
    settings += ["" if e.malloc_trimming else "malloc trimming off"]
    settings += [e.omp_wait_policy and f"OMP_WAIT_POLICY {e.omp_wait_policy}"]
    versions = [f"{name} {version}" for name, version in e.versions.items()]
    groups = ([*hardware, e.system], settings, versions, [e.commit and f"commit {e.commit}"])
    return "; ".join(filter(None, (", ".join(filter(None, group)) for group in groups)))


@dataclass(frozen=True)
class Conditions:
    """State of the machine during one measurement."""

    wall_s: float
    own_cores: float
    """Processor seconds a second of this process and those that it started."""
    other_cores: float
    """Cores that all other programs used."""
    steal: float | None
    """Share of the processor's time that the hypervisor gave to other guests; None: the system does not say."""
    pace_ms: tuple[float, float]
    """Time of the SHA-256 of 256 KiB just before and just after: the core's real speed, in virtual machines too."""
    warnings: tuple[str, ...] = ()


class Watch:
    """A context manager that watches the machine; ``conditions`` is there afterwards."""

    conditions: Conditions

    def __enter__(self) -> Watch:
        self._pace_ms = measure_pace_ms()
        self._began_s, self._own_s, self._all_s = time.monotonic(), own_cpu_s(), psutil.cpu_times()._asdict()
        return self

    def __exit__(self, *_: object) -> None:
        wall_s = max(time.monotonic() - self._began_s, 1e-9)
        own_cores = (own_cpu_s() - self._own_s) / wall_s
        spent_s = {kind: all_s - self._all_s[kind] for kind, all_s in psutil.cpu_times()._asdict().items()}
        for counted_twice in ("guest", "guest_nice"):  # within user and nice
            spent_s.pop(counted_twice, None)
        total_s, steal_s = max(sum(spent_s.values()), 1e-9), spent_s.get("steal")
        busy_s = total_s - spent_s["idle"] - spent_s.get("iowait", 0.0) - (steal_s or 0.0)
        found = Conditions(
            wall_s=wall_s,
            own_cores=own_cores,
            other_cores=max(0.0, busy_s / wall_s - own_cores),
            steal=None if steal_s is None else steal_s / total_s,
            pace_ms=(self._pace_ms, measure_pace_ms()),
        )
        self.conditions = replace(found, warnings=warnings_of(found, psutil.cpu_count() or 1))


def own_cpu_s() -> float:
    """Processor seconds of this process and of all that it started, over or not."""
    times = os.times()
    total_s = time.process_time() + times.children_user + times.children_system
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            total_s += sum(child.cpu_times()[:4])  # both of its own and of its children that are over
    return total_s


def measure_pace_ms() -> float:
    """Return what a fixed computation takes at best, milliseconds; see ``Conditions.pace_ms``."""
    best_s, until_s = math.inf, time.perf_counter() + _PACE_S
    while time.perf_counter() < until_s or math.isinf(best_s):
        began_s = time.perf_counter()
        hashlib.sha256(_PACE_BYTES).digest()
        best_s = min(best_s, time.perf_counter() - began_s)
    return best_s * 1e3


def warnings_of(c: Conditions, machine_cores: int = 1) -> tuple[str, ...]:
    """Name the conditions that make milliseconds unreliable.

    Args:
        c: whose own warnings do not matter.
        machine_cores: each counts its time in ticks, so that short measurements know it roughly only.
    """
    found: list[str] = []
    uncertainty = (2 + 2 * math.sqrt(machine_cores)) * _TICK_S / c.wall_s
    if c.other_cores > _MAX_OTHER_CORES + uncertainty:
        found.append(f"other programs used {c.other_cores:.1f} cores; milliseconds are too long, ratios hold")
    if c.steal is not None and c.steal > _MAX_STEAL + uncertainty / machine_cores:
        found.append(f"the hypervisor took {c.steal:.0%} of the processor's time away")
    if max(c.pace_ms) > min(c.pace_ms) * (1 + _MAX_CHANGE):
        found.append(f"a fixed computation took {c.pace_ms[0]:.3f} ms before and {c.pace_ms[1]:.3f} ms after")
    return tuple(found)


def format_conditions(c: Conditions) -> str:
    """Describe conditions in one line."""
    parts = [f"{c.wall_s:.0f} s", f"own processes {c.own_cores:.1f} cores", f"other programs {c.other_cores:.2f} cores"]
    parts += [] if c.steal is None else [f"taken by the hypervisor {c.steal:.1%}"]
    return "; ".join(parts)
