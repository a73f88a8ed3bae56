"""What the machine's files say about the conditions, and which of it makes times doubtful."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mcore_bench import conditions
from mcore_bench.conditions import Conditions, Watch, measure_pace, warnings_of
from mcore_runtime.nvml import GpuSensors


def of(**values: Any) -> Conditions:
    """A calm minute, but for what is given."""
    calm: dict[str, Any] = {"wall_s": 60.0, "own_cores": 1.0, "other_cores": 0.0, "steal": 0.0, "load": (1.0, 1.0, 1.0),
                            "clock_mhz": None, "temperature_c": None, "power_w": None, "power_source": "",
                            "warnings": ()}  # fmt: skip
    return Conditions(**{**calm, **values})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"other_cores": 0.05, "clock_mhz": (3000.0, 3010.0), "pace": (0.125, 0.130)}, []),
        ({"other_cores": None, "steal": None}, []),
        ({"other_cores": 1.4}, ["noisy machine: other programs used 1.4 cores"]),
        ({"steal": 0.2}, ["took 20% of the processor's time away"]),
        ({"clock_mhz": (1000.0, 3000.0)}, ["the processor's clock moved between 1000 and 3000 MHz"]),
        ({"gpu_clock_mhz": (1980.0, 1900.0 + 80)}, []),
        ({"gpu_clock_mhz": (1700.0, 1980.0)}, ["the GPU's clock moved between 1700 and 1980 MHz"]),
        (
            {"pace": (0.125, 0.25)},
            ["became slower by 100%: a fixed computation took 0.125 ms before and 0.250 ms after"],
        ),
        ({"pace": (0.15, 0.125)}, ["became faster by 20%"]),
    ],
)
def test_conditions_that_make_times_doubtful_are_said(values: dict[str, Any], words: list[str]) -> None:
    found = warnings_of(of(**values), cores=2)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


@pytest.mark.parametrize(("wall_s", "noisy"), [(0.2, False), (1.0, True), (200.0, True)])
def test_ticks_do_not_cry_wolf_on_short_stretches(wall_s: float, noisy: bool) -> None:
    # 0.25 cores of a fifth of a second are five ticks, which counting alone may be off by on two cores.
    assert bool(warnings_of(of(wall_s=wall_s, other_cores=0.25), cores=2)) is noisy


def test_many_cores_err_more() -> None:
    short = of(wall_s=1.0, other_cores=0.25)
    assert warnings_of(short, cores=2)
    assert not warnings_of(short, cores=64)


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside other tests the real pace may move."""
    monkeypatch.setattr(conditions, "measure_pace", lambda: 0.125)


def machine(root: Path, *, busy: int, stolen: int, watts: int | None = None, flags: str = "sse avx2") -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text(f"cpu {busy} 0 0 1000 0 0 0 {stolen} 0 0\ncpu0 0\n")
    (root / "proc/cpuinfo").write_text(f"model name\t: A processor\nflags\t\t: {flags}\ncpu MHz\t\t: 2500.0\n")
    if watts is not None:
        chip = root / "sys/class/hwmon/hwmon0"
        chip.mkdir(parents=True)
        for name, text in (("name", "ina3221"), ("in1_label", "VDD_IN"), ("in1_input", "5000"),
                           ("curr1_input", str(watts * 200))):  # fmt: skip
            (chip / name).write_text(text)


def clocks(root: Path, *khz: int) -> None:
    for core, value in enumerate(khz):
        path = root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def test_a_watch_reads_others_steal_clocks_and_power(tmp_path: Path) -> None:
    machine(tmp_path, busy=0, stolen=0, watts=7)
    clocks(tmp_path, 800_000, 3_000_000)
    with Watch(tmp_path) as watch:
        time.sleep(0.2)
        machine(tmp_path, busy=100_000, stolen=50_000)
    found = watch.conditions
    assert found.other_cores is not None
    assert found.other_cores > 1
    assert found.steal == pytest.approx(1 / 3, abs=0.01)
    assert found.clock_mhz == (3000.0, 3000.0)  # the core at work, not those that sleep
    assert found.pace == (0.125, 0.125)
    assert found.power_w == pytest.approx(7.0)
    assert found.power_source == "INA3221, VDD_IN"
    assert len(found.warnings) == 2


@pytest.mark.parametrize(("files", "flags"), [(False, "sse avx2"), (True, "sse hypervisor avx2")])
def test_the_number_that_a_virtual_machine_was_told_is_no_clock(tmp_path: Path, files: bool, flags: str) -> None:
    machine(tmp_path, busy=0, stolen=0, flags=flags)
    if files:
        clocks(tmp_path, 2_500_000)
    with Watch(tmp_path) as watch:
        pass
    assert watch.conditions.clock_mhz is None


def test_where_nothing_tells_nothing_is_invented(tmp_path: Path) -> None:
    with Watch(tmp_path) as watch:
        pass
    found = watch.conditions
    assert (found.other_cores, found.steal, found.clock_mhz, found.gpu_clock_mhz, found.power_w) == (None,) * 5
    assert found.warnings == ()
    assert found.power_source.startswith("none: ")


def test_a_gpu_that_clocks_down_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks_mhz, over = iter((1980.0, None, 1500.0)), threading.Event()

    def clock_mhz() -> float | None:
        for clock in clocks_mhz:
            return clock
        over.set()
        return None

    sensors = GpuSensors(ask=False)
    monkeypatch.setattr(sensors, "working_clock_mhz", clock_mhz)
    monkeypatch.setattr(conditions, "_gpu_sensors", lambda ask: sensors)
    monkeypatch.setattr(conditions, "_EVERY_S", 0.01)
    with Watch() as watch:
        assert over.wait(60.0)
    assert watch.conditions.gpu_clock_mhz == (1500.0, 1980.0)
    assert any("GPU's clock moved" in line for line in watch.conditions.warnings)


@pytest.mark.skipif(sys.platform != "linux", reason="children are found by Linux's files")
def test_children_that_still_run_are_ones_own() -> None:
    busy = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"  # ends by itself
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    with subprocess.Popen([sys.executable, "-c", code]), Watch() as watch:
        time.sleep(1.0)  # neither the child nor its child is over
    assert watch.conditions.own_cores > 0.1


def test_a_pace_is_short_and_said_in_milliseconds() -> None:
    began = time.perf_counter()
    found_ms = measure_pace()
    took_ms = (time.perf_counter() - began) * 1e3
    assert 0 < found_ms <= took_ms / 3
