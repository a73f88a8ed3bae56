"""What the machine did while it was measured: who else used the cores, clocks, temperature, memory, power."""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from mcore_runtime.health import HealthReader

_EVERY_S = 0.5
_OTHERS_CORES = 0.15
"""Processor seconds a second that other programs may use unmentioned."""
_STEAL = 0.01
_CLOCK = 0.05
"""Share by which clocks may move unmentioned."""
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
    """Lowest and highest mean over the cores that was seen; None: nobody tells."""
    temperature_c: float | None
    """Highest seen."""
    power_w: float | None
    """Mean."""
    power_source: str
    warnings: tuple[str, ...]


class Watch:
    """A context manager that watches the machine; ``conditions`` is there afterwards.

    Args:
        root: where ``/proc`` and ``/sys`` are.
    """

    conditions: Conditions

    def __init__(self, root: str | Path = "/") -> None:
        self._root = Path(root)
        self._health = HealthReader(root)
        self._clocks: list[float] = []
        self._temperatures: list[float] = []
        self._powers: list[float] = []
        self._source = NO_POWER
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._began_s, self._cpu_s, self._ticks = time.monotonic(), _own_s(), self._read_ticks()
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
            if health["temperature_c"] is not None:
                self._temperatures.append(health["temperature_c"])
            if health["power_w"] is not None:
                self._powers.append(health["power_w"])
                self._source = health["power_source"]
            if self._over.wait(_EVERY_S):
                return

    def _conclude(self) -> Conditions:
        wall_s = max(time.monotonic() - self._began_s, 1e-9)
        own = (_own_s() - self._cpu_s) / wall_s
        before, after = self._ticks, self._read_ticks()
        others = steal = None
        if before is not None and after is not None:
            hertz = os.sysconf("SC_CLK_TCK")
            others = max(0.0, (after[0] - before[0]) / hertz / wall_s - own)
            steal = (after[1] - before[1]) / max(1, after[2] - before[2])
        clocks = (min(self._clocks), max(self._clocks)) if self._clocks else None
        load = os.getloadavg() if hasattr(os, "getloadavg") else (0.0, 0.0, 0.0)
        return Conditions(
            wall_s=wall_s,
            own_cores=own,
            other_cores=others,
            steal=steal,
            load=load,
            clock_mhz=clocks,
            temperature_c=max(self._temperatures, default=None),
            power_w=float(np.mean(self._powers)) if self._powers else None,
            power_source=self._source,
            warnings=warnings_of(others, steal, clocks),
        )

    def _read_ticks(self) -> tuple[int, int, int] | None:
        """Busy, stolen and all ticks since the start of the machine."""
        try:
            fields = (self._root / "proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]
        except OSError:
            return None
        user, nice, system, idle, wait, irq, softirq, steal = map(int, fields)
        busy = user + nice + system + irq + softirq
        return busy, steal, busy + idle + wait + steal

    def _clock_mhz(self) -> float | None:
        try:
            text = (self._root / "proc/cpuinfo").read_text(encoding="utf-8")
        except OSError:
            return None
        values = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.M)]
        return float(np.mean(values)) if values else None


def _own_s() -> float:
    """Processor seconds of this process and of those that it started and that are over."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def warnings_of(
    other_cores: float | None, steal: float | None, clock_mhz: tuple[float, float] | None
) -> tuple[str, ...]:
    """Say what of the conditions makes milliseconds unreliable."""
    found = []
    if other_cores is not None and other_cores > _OTHERS_CORES:
        found.append(
            f"noisy machine: other programs used {other_cores:.1f} cores; milliseconds are too long, ratios within a "
            "round hold"
        )
    if steal is not None and steal > _STEAL:
        found.append(f"the hypervisor took {steal:.0%} of the processor's time away")
    if clock_mhz is not None and clock_mhz[1] > clock_mhz[0] * (1 + _CLOCK):
        found.append(f"the processor's clock moved between {clock_mhz[0]:.0f} and {clock_mhz[1]:.0f} MHz")
    return tuple(found)
