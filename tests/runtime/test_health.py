"""Figures of the machine's health, on this one and on trees of files as other machines have them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcore_runtime import health as health_module
from mcore_runtime.health import HealthReader
from mcore_runtime.live.snapshot import MACHINE
from mcore_runtime.nvml import GpuSensors


def write(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def jetson(root: Path, rails: dict[str, tuple[int, int]]) -> Path:
    files: dict[str, object] = {
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": 48250,
        "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
        "sys/class/thermal/thermal_zone1/temp": 51000,
        "sys/class/thermal/thermal_zone2/type": "cv0-thermal",
        "sys/class/thermal/thermal_zone2/temp": -256000,
        "sys/class/hwmon/hwmon1/name": "ina3221",
    }
    for number, (name, (millivolts, milliamperes)) in enumerate(rails.items(), start=1):
        chip = f"sys/class/hwmon/hwmon1/in{number}"
        files |= {f"{chip}_label": name, f"{chip}_input": millivolts}
        files[f"sys/class/hwmon/hwmon1/curr{number}_input"] = milliamperes
    return write(root, files)


class Clock:
    """Time as ``health`` reads it, so that no mean depends on how busy the machine is."""

    def __init__(self) -> None:
        self.now_s = self.cpu_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def process_time(self) -> float:
        return self.cpu_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(health_module, "time", clock)
    return clock


def test_this_machine_says_what_it_can(tmp_path: Path, clock: Clock) -> None:
    reader = HealthReader()
    clock.now_s += 2.0
    clock.cpu_s += 0.5
    health = reader.read(tmp_path)
    assert set(health) == set(MACHINE)
    assert 5 < health["memory_mb"] < 100_000
    assert health["disk_free_mb"] > 0
    assert health["cpu_percent"] == pytest.approx(25.0)
    assert reader.read(tmp_path)["cpu_percent"] is None  # at once: a mean over no time
    assert (health["power_w"] is None) == (health["power_source"] is None)


def test_a_jetson_tells_temperature_and_the_power_of_the_whole_board(tmp_path: Path) -> None:
    rails = {"VDD_IN": (5000, 2400), "VDD_CPU_GPU_CV": (5000, 900), "VDD_SOC": (5000, 500)}
    health = HealthReader(jetson(tmp_path, rails)).read(tmp_path)
    assert health["temperature_c"] == 51.0
    assert (health["power_w"], health["power_source"]) == (12.0, "INA3221, VDD_IN")


def test_rails_are_added_where_none_is_the_whole_board(tmp_path: Path) -> None:
    health = HealthReader(jetson(tmp_path, {"VDD_GPU_SOC": (20_000, 300), "VDD_CPU_CV": (20_000, 100)})).read(tmp_path)
    assert health["power_w"] == pytest.approx(8.0)
    assert health["power_source"] == "INA3221, VDD_GPU_SOC + VDD_CPU_CV"


def test_a_desktop_tells_through_hwmon_and_rapl(tmp_path: Path, clock: Clock) -> None:
    energy = "sys/class/powercap/intel-rapl:0/energy_uj"
    files = {
        "sys/class/hwmon/hwmon0/name": "k10temp",
        "sys/class/hwmon/hwmon0/temp1_input": 62500,
        energy: 1_000_000,
        "sys/class/powercap/intel-rapl:0:0/energy_uj": 999_999_999,  # a part of the package: not counted twice
    }
    reader = HealthReader(write(tmp_path, files))
    clock.now_s += 0.5
    write(tmp_path, {energy: 3_000_000})
    health = reader.read(tmp_path)
    assert health["temperature_c"] == 62.5
    assert health["power_w"] == pytest.approx(4.0)  # two joules in half a second
    assert health["power_source"] == "processor, RAPL"
    write(tmp_path, {energy: 5})  # the counter began anew
    clock.now_s += 0.5
    assert reader.read(tmp_path)["power_w"] is None


def test_a_machine_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    reader = HealthReader(tmp_path)
    health = reader.read(tmp_path / "gone")
    for name in ("disk_free_mb", "temperature_c", "power_w", "power_source"):
        assert health[name] is None
    write(tmp_path, {"sys/class/thermal/thermal_zone0/temp": "hot"})
    assert reader.read(tmp_path)["temperature_c"] is None


class FakeNvml:
    """Two GPUs, of which the second has no power sensor."""

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:
        assert sensor == 0
        return 60 + 10 * gpu

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:
        if gpu:
            raise RuntimeError("not supported")
        return 75_500

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> SimpleNamespace:
        return SimpleNamespace(used=(gpu + 1) * 100_000_000)


def test_gpus_tell_through_nvml_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    energy = "sys/class/powercap/intel-rapl:0/energy_uj"
    reader = HealthReader(write(tmp_path, {energy: 1_000_000}), GpuSensors())
    assert (reader.read(tmp_path)["temperature_c"], reader.read(tmp_path)["power_w"]) == (70.0, 75.5)
    clock.now_s += 0.5
    write(tmp_path, {energy: 2_000_000})
    health = reader.read(tmp_path)
    assert health["power_source"] == "processor, RAPL + GPU, NVML"
    assert health["power_w"] == pytest.approx(75.5 + 2.0)


def test_a_board_that_measures_itself_needs_no_nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    health = HealthReader(jetson(tmp_path, {"VDD_IN": (5000, 2400)}), GpuSensors()).read(tmp_path)
    assert (health["power_w"], health["power_source"]) == (12.0, "INA3221, VDD_IN")


def test_memory_is_that_of_all_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert GpuSensors(ask=False).memory_mb() is None
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    assert GpuSensors().memory_mb() == 300.0


def test_nvml_without_a_driver_or_that_breaks_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert (GpuSensors().temperatures_c(), GpuSensors().power_w()) == ([], None)
    broken = FakeNvml()
    monkeypatch.setattr(broken, "nvmlInit", lambda: 1 / 0)
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    assert (GpuSensors().temperatures_c(), GpuSensors().power_w()) == ([], None)
