"""What the machine did while it was measured: who else used the cores, pace, clocks, temperature, memory, power."""

from __future__ import annotations

import functools
import hashlib
import math
import os
import re
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from mcore_runtime.health import HealthReader
from mcore_runtime.nvml import GpuSensors

_EVERY_S = 0.5
_OTHERS_CORES = 0.15
"""Processor seconds a second that other programs may use unmentioned."""
_STEAL = 0.01
_CLOCK = 0.05
"""Share by which clocks may move unmentioned."""
_PACE = 0.05
"""Share by which the pace may move unmentioned: 150 stretches beside a training run on all cores moved by 0.7 % in the
middle and by 4 % at most."""
_PACE_BYTES = bytes(1 << 18)
"""Hashing as much takes a tenth of a millisecond on a fast core, and stays within its second cache."""
_PACE_S, _PACE_TRIES = 0.008, 3
"""At either end: long enough for a core that slept to be at its clock, and at least so many tries."""
NO_POWER = "none: no INA3221, RAPL or NVML here"


@dataclass(frozen=True)
class Conditions:
    """One stretch of measuring."""

    wall_s: float
    own_cores: float
    """Processor seconds a second of this process and those that it started."""
    other_cores: float | None
    """Of all other programs; None: nobody tells."""
    steal: float | None
    """Share of the processor's time that the hypervisor gave to other guests; None: nobody tells."""
    load: tuple[float, float, float]
    """Load averages at the end: 1, 5 and 15 minutes."""
    clock_mhz: tuple[float, float] | None
    """Lowest and highest clock of the fastest core that was seen; None: nobody tells, as in virtual machines."""
    temperature_c: float | None
    """Highest seen."""
    power_w: float | None
    """Mean."""
    power_source: str
    warnings: tuple[str, ...]
    pace: tuple[float, float] | None = None
    """Milliseconds that one thread took for the SHA-256 of 256 KiB just before and just after, best of tries within
    8 ms: they tell the core's real speed where no clock does. None: not measured."""
    gpu_clock_mhz: tuple[float, float] | None = None
    """Lowest and highest clock of the GPU's multiprocessors that was seen while it worked; None: no GPU tells."""


@dataclass(frozen=True)
class _Ticks:
    """What /proc/stat counts since the start of the machine."""

    busy: int
    stolen: int
    all: int
    cores: int


class Watch:
    """A context manager that watches the machine; ``conditions`` is there afterwards.

    Looking takes a tenth of a millisecond twice a second, and 8 ms before and as many after what is watched, so every
    group of contenders can have a watch of its own.

    Args:
        root: where ``/proc`` and ``/sys`` are.
    """

    conditions: Conditions

    def __init__(self, root: str | Path = "/") -> None:
        self._root = Path(root)
        self._gpus = _gpu_sensors(self._root == Path("/"))
        self._health = HealthReader(root, self._gpus)
        self._clocks: list[float] = []
        self._gpu_clocks: list[float] = []
        self._temperatures: list[float] = []
        self._powers: list[float] = []
        self._source = NO_POWER
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._pace = measure_pace()
        self._began_s, self._cpu_s, self._ticks = time.monotonic(), self._own_s(), self._read_ticks()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.conditions = self._conclude()

    def _look(self) -> None:
        while True:
            health = self._health.read(self._root)
            if (clock := self._clock_mhz()) is not None:
                self._clocks.append(clock)
            if (clock := self._gpus.working_clock_mhz()) is not None:
                self._gpu_clocks.append(clock)
            if health["temperature_c"] is not None:
                self._temperatures.append(health["temperature_c"])
            if health["power_w"] is not None:
                self._powers.append(health["power_w"])
                self._source = health["power_source"]
            if self._over.wait(_EVERY_S):
                return

    def _conclude(self) -> Conditions:
        wall_s = max(time.monotonic() - self._began_s, 1e-9)
        own = (self._own_s() - self._cpu_s) / wall_s
        before, after = self._ticks, self._read_ticks()
        others = steal = None
        cores = 1
        if before is not None and after is not None:
            others = max(0.0, (after.busy - before.busy) / _ticks_per_s() / wall_s - own)
            steal = (after.stolen - before.stolen) / max(1, after.all - before.all)
            cores = max(1, after.cores)
        conditions = Conditions(
            wall_s=wall_s,
            own_cores=own,
            other_cores=others,
            steal=steal,
            load=os.getloadavg() if hasattr(os, "getloadavg") else (0.0, 0.0, 0.0),
            clock_mhz=_range(self._clocks),
            temperature_c=max(self._temperatures, default=None),
            power_w=float(np.mean(self._powers)) if self._powers else None,
            power_source=self._source,
            warnings=(),
            pace=(self._pace, measure_pace()),
            gpu_clock_mhz=_range(self._gpu_clocks),
        )
        return replace(conditions, warnings=warnings_of(conditions, cores))

    def _read_ticks(self) -> _Ticks | None:
        lines = _text(self._root / "proc/stat").splitlines()
        if not lines:
            return None
        user, nice, system, idle, wait, irq, softirq, steal = map(int, lines[0].split()[1:9])
        busy = user + nice + system + irq + softirq
        return _Ticks(busy, steal, busy + idle + wait + steal, sum(line.startswith("cpu") for line in lines) - 1)

    def _clock_mhz(self) -> float | None:
        """Of the fastest core, which is one at work; what a virtual machine tells is a constant."""
        if self._in_virtual_machine:
            return None
        paths = self._root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
        return max((float(khz) / 1e3 for path in paths if (khz := _text(path).strip()).isdecimal()), default=None)

    @functools.cached_property
    def _in_virtual_machine(self) -> bool:
        flags = re.search(r"^flags\s*:.*\bhypervisor\b", _text(self._root / "proc/cpuinfo"), re.M)
        return flags is not None

    def _own_s(self) -> float:
        """Processor seconds of this process and of all that it started, over or not."""
        times = os.times()
        return time.process_time() + times.children_user + times.children_system + self._running_children_s()

    def _running_children_s(self) -> float:
        """Of processes that nobody has waited for yet, such as a stream beside the scoring."""
        ticks, parents = 0, ["self"]
        while parents:
            for path in (self._root / "proc" / parents.pop()).glob("task/*/children"):
                for child in _text(path).split():
                    fields = _text(self._root / "proc" / child / "stat").rpartition(")")[2].split()
                    ticks += sum(map(int, fields[11:15]))  # user, system, and both of its own children
                    parents.append(child)
        return ticks / _ticks_per_s()


def measure_pace() -> float:
    """Return the milliseconds that the fixed computation takes at best; see ``Conditions.pace``."""
    best_s, tries, until = math.inf, 0, time.perf_counter() + _PACE_S
    while tries < _PACE_TRIES or time.perf_counter() < until:
        began = time.perf_counter()
        hashlib.sha256(_PACE_BYTES).digest()
        best_s = min(best_s, time.perf_counter() - began)
        tries += 1
    return best_s * 1e3


def warnings_of(conditions: Conditions, cores: int = 1) -> tuple[str, ...]:
    """Say what of the conditions makes milliseconds unreliable.

    Args:
        conditions: whose own warnings do not matter.
        cores: of the machine, each of which counts its time in ticks of 1/100 s: a second is told to 0.05 cores only.
    """
    c, found = conditions, []
    doubt_s = (2 + 2 * math.sqrt(cores)) / _ticks_per_s()
    if c.other_cores is not None and c.other_cores > _OTHERS_CORES + doubt_s / c.wall_s:
        found.append(
            f"noisy machine: other programs used {c.other_cores:.1f} cores; milliseconds are too long, ratios within a "
            "round hold"
        )
    if c.steal is not None and c.steal > _STEAL + doubt_s / c.wall_s / cores:
        found.append(f"the hypervisor took {c.steal:.0%} of the processor's time away")
    for what, clock_mhz in (("processor", c.clock_mhz), ("GPU", c.gpu_clock_mhz)):
        if clock_mhz is not None and clock_mhz[1] > clock_mhz[0] * (1 + _CLOCK):
            found.append(f"the {what}'s clock moved between {clock_mhz[0]:.0f} and {clock_mhz[1]:.0f} MHz")
    if c.pace is not None and max(c.pace) > min(c.pace) * (1 + _PACE):
        begin_ms, end_ms = c.pace
        how = "slower" if end_ms > begin_ms else "faster"
        found.append(
            f"the processor became {how} by {max(c.pace) / min(c.pace) - 1:.0%}: a fixed computation took "
            f"{begin_ms:.3f} ms before and {end_ms:.3f} ms after"
        )
    return tuple(found)


@functools.cache
def _gpu_sensors(ask: bool) -> GpuSensors:
    """Once, because NVML takes its time to begin."""
    return GpuSensors(ask)


def _ticks_per_s() -> int:
    return os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def _range(values: list[float]) -> tuple[float, float] | None:
    return (min(values), max(values)) if values else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
