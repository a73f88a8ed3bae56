"""State of the machine while it scores: memory, processor, disk, temperature and power, as far as it tells.

Temperature and power are read from files of Linux; a machine without them, or a value out of range, gives None, never
an error. psutil would miss a Jetson's thermal zones, which it reads only where no other chip has a sensor.
Power is what the whole board draws where it has a sensor (INA3221 on a Jetson: rail VDD_IN, or their sum), else what
the processor package has used since the last reading (RAPL, often for root only) and NVIDIA's GPUs draw (NVML).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from mcore_runtime.nvml import GpuSensors

_MIN_TEMPERATURE_C, _MAX_TEMPERATURE_C = -40.0, 150.0
_MAX_POWER_W = 2000.0
_MIN_INTERVAL_S = 0.05
"""Between two readings: over a shorter time, means are noise."""
_BOARD_RAILS = ("VDD_IN", "VIN_SYS_5V0", "VDD_IN_5V0")
"""Rails of Jetson boards through which everything goes."""


class HealthReader:
    """Reads the machine's state; processor and energy are means since the last reading.

    Args:
        root: where ``/sys`` is.
        gpus: sensors of the GPUs; None: NVML's, if the root is this machine's.
    """

    def __init__(self, root: str | Path = "/", gpus: GpuSensors | None = None) -> None:
        self._sys = Path(root) / "sys"
        self._gpus = gpus or GpuSensors(ask=Path(root) == Path("/"))
        self._cpu_s = time.process_time()
        self._at_s = time.monotonic()
        self._energy_uj = self._read_energy()

    def read(self, folder: str | Path) -> dict[str, Any]:
        """Return what the machine says of itself.

        Args:
            folder: whose disk counts.

        Returns:
            ``memory_mb`` of this process; ``disk_free_mb``; ``cpu_percent`` of one core, since the last reading;
            ``temperature_c`` of the hottest sensor of the processor or board; ``power_w`` and ``power_source``.
        """
        now_s, cpu_s = time.monotonic(), time.process_time()
        elapsed_s = now_s - self._at_s
        energy_uj = self._read_energy()
        power_w, source = self._board_power()
        if power_w is None:
            power_w, source = self._parts_power(energy_uj, elapsed_s)
        health = {
            "memory_mb": psutil.Process().memory_info().rss / 1e6,
            "disk_free_mb": _disk_free_mb(folder),
            "cpu_percent": (cpu_s - self._cpu_s) / elapsed_s * 100 if elapsed_s > _MIN_INTERVAL_S else None,
            "temperature_c": self._temperature_c(),
            "power_w": power_w,
            "power_source": None if power_w is None else source,
        }
        self._cpu_s, self._at_s, self._energy_uj = cpu_s, now_s, energy_uj
        return health

    def _temperature_c(self) -> float | None:
        """The hottest of what names itself a processor, a GPU or a board; of all sensors where none does."""
        zones = sorted((self._sys / "class/thermal").glob("thermal_zone*"))
        sensors = [(_text(zone / "type").strip(), _number(zone / "temp")) for zone in zones]
        known = [(name, value / 1e3) for name, value in sensors if value is not None]
        sane = [(name, value) for name, value in known if _MIN_TEMPERATURE_C < value < _MAX_TEMPERATURE_C]
        names = ("cpu", "gpu", "soc", "tj", "pkg", "x86", "acpitz", "board")
        main = [value for name, value in sane if name.lower().startswith(names)]
        values = main or [value for _, value in sane] or list(self._chip_temperatures())
        return max([*values, *self._gpus.temperatures_c()], default=None)

    def _chip_temperatures(self) -> Iterator[float]:
        """Desktop processors tell hwmon rather than the thermal zones."""
        for chip in self._chips("coretemp", "k10temp", "zenpower", "cpu_thermal"):
            values = (_number(path) for path in chip.glob("temp*_input"))
            yield from (v / 1e3 for v in values if v is not None and _MIN_TEMPERATURE_C < v / 1e3 < _MAX_TEMPERATURE_C)

    def _chips(self, *names: str) -> list[Path]:
        chips = sorted((self._sys / "class/hwmon").glob("hwmon*"))
        return [chip for chip in chips if _text(chip / "name").strip() in names]

    def _board_power(self) -> tuple[float | None, str]:
        """Volts times amperes of a Jetson's INA3221."""
        rails: dict[str, float] = {}
        for chip in self._chips("ina3221"):
            for label in sorted(chip.glob("in*_label")):
                number = label.name.removeprefix("in").removesuffix("_label")
                millivolts, milliamperes = _number(chip / f"in{number}_input"), _number(chip / f"curr{number}_input")
                if millivolts is not None and milliamperes is not None:
                    rails[_text(label).strip()] = millivolts * milliamperes / 1e6
        whole = next((name for name in _BOARD_RAILS if name in rails), None)
        power_w = rails[whole] if whole is not None else sum(rails.values())
        if not rails or not 0 < power_w < _MAX_POWER_W:
            return None, ""
        return power_w, f"INA3221, {whole or ' + '.join(rails)}"

    def _parts_power(self, energy_uj: float | None, elapsed_s: float) -> tuple[float | None, str]:
        """Power of single parts, where no sensor measures the whole."""
        parts = {"processor, RAPL": self._package_power(energy_uj, elapsed_s), "GPU, NVML": self._gpus.power_w()}
        known = {name: watts for name, watts in parts.items() if watts is not None}
        return (sum(known.values()), " + ".join(known)) if known else (None, "")

    def _read_energy(self) -> float | None:
        """Microjoules that all processor packages have used."""
        packages = [p for p in (self._sys / "class/powercap").glob("intel-rapl:*") if p.name.count(":") == 1]
        values = [_number(package / "energy_uj") for package in packages]
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    def _package_power(self, energy_uj: float | None, elapsed_s: float) -> float | None:
        if energy_uj is None or self._energy_uj is None or elapsed_s <= _MIN_INTERVAL_S:
            return None
        power_w = (energy_uj - self._energy_uj) / 1e6 / elapsed_s
        return power_w if 0 < power_w < _MAX_POWER_W else None  # below zero: the counter began anew


def _disk_free_mb(folder: str | Path) -> float | None:
    try:
        return shutil.disk_usage(folder).free / 1e6
    except OSError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None
