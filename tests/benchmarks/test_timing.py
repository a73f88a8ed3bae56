"""Turns, percentiles and ratios, on a clock of our own; and what the machine's files say about the conditions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcore.errors import UserError
from mcore_bench import timing
from mcore_bench.conditions import Watch, warnings_of
from mcore_bench.environment import read_environment
from mcore_bench.timing import Effort, compare, ratio, summarise
from mcore_export import speed
from mcore_runtime.doctor.machine import Machine


class Clock:
    """Time passes only where a call works; half of it is the processor's, and the machine gets busier."""

    def __init__(self) -> None:
        self.seconds, self.load = 0.0, 1.0

    def perf_counter(self) -> float:
        return self.seconds

    def process_time(self) -> float:
        return self.seconds / 2

    def work(self, milliseconds: float) -> None:
        self.load *= 1.05
        self.seconds += self.load * milliseconds / 1e3


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(speed, "time", clock)
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_ratios_hold_on_a_machine_that_gets_busier(clock: Clock) -> None:
    calls = {"slow": lambda: clock.work(30.0), "fast": lambda: clock.work(10.0)}
    group = compare("work", calls, Effort(runs=8, seconds=0, warm_up_s=0), about={"fast": "a third of the work"})
    slow, fast = group.rows
    assert (slow.speedup, slow.timing.runs, fast.timing.runs) == (None, 8, 8)
    assert fast.speedup is not None
    assert fast.speedup.median == pytest.approx(3.0, rel=0.06)
    assert fast.about == "a third of the work"
    assert group.row("fast").timing.cpu_cores == pytest.approx(0.5)


@pytest.mark.parametrize(("runs", "seconds", "expected"), [(4, 0.0, 4), (4, 1.0, 10), (20, 1.0, 20)])
def test_it_goes_on_until_there_are_enough_runs_and_enough_time(
    clock: Clock, runs: int, seconds: float, expected: int
) -> None:
    def tenth() -> None:
        clock.seconds += 0.1

    group = compare("work", {"a": tenth, "b": tenth}, Effort(runs, seconds, 0.0))
    assert [row.timing.runs for row in group.rows] == pytest.approx([expected] * 2, abs=1)


def test_who_takes_long_has_fewer_turns_and_is_compared_in_those(clock: Clock) -> None:
    order: list[str] = []

    def call(name: str, milliseconds: float) -> Callable[[], None]:
        def run() -> None:
            order.append(name)
            clock.work(milliseconds)

        return run

    calls = {"fast": call("fast", 1.0), "slow": call("slow", 10.0)}
    group = compare("work", calls, Effort(8, 0.0, 0.0), baseline="slow", every={"slow": 4})
    warm_up, measured = order[:3], order[3:]
    assert (warm_up, measured) == (["fast", "slow", "fast"], ["fast", "slow", *["fast"] * 3] * 2)
    assert [group.row(name).timing.runs for name in calls] == [8, 2]
    speedup = group.row("fast").speedup
    assert speedup is not None
    assert speedup.median == pytest.approx(10.0, rel=0.06)  # over all rounds the medians are further apart
    assert group.effort == Effort(8, 0.0, 0.0)
    assert group.conditions is not None


def test_a_summary_drops_nothing() -> None:
    wall = np.array([1.0] * 98 + [100.0, 200.0])
    summary = summarise(wall, wall / 4)
    assert (summary.runs, summary.median_ms, summary.least_ms, summary.p90_ms) == (100, 1.0, 1.0, 1.0)
    assert summary.mean_ms == pytest.approx(3.98)
    assert summary.p99_ms > 99
    assert summary.variation == pytest.approx(wall.std() / wall.mean())
    assert summary.cpu_cores == pytest.approx(0.25)


def test_a_ratio_is_of_rounds_not_of_medians() -> None:
    found = ratio(np.array([10.0, 20.0, 40.0]), np.array([5.0, 10.0, 20.0]))
    assert (found.low, found.median, found.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("wrong", [{"runs": 3}, {"seconds": -1.0}, {"warm_up_s": -1.0}])
def test_too_little_effort_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="at least 4 runs"):
        Effort(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("others", "steal", "clocks", "words"),
    [
        (0.05, 0.0, (3000.0, 3010.0), []),
        (None, None, None, []),
        (1.4, 0.0, None, ["noisy machine: other programs used 1.4 cores"]),
        (0.0, 0.2, None, ["took 20% of the processor's time away"]),
        (0.0, 0.0, (1000.0, 3000.0), ["clock moved between 1000 and 3000 MHz"]),
    ],
)
def test_conditions_that_make_times_doubtful_are_said(
    others: float | None, steal: float | None, clocks: tuple[float, float] | None, words: list[str]
) -> None:
    found = warnings_of(others, steal, clocks)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def machine(root: Path, *, busy: int, stolen: int, watts: int | None = None) -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text(f"cpu {busy} 0 0 1000 0 0 0 {stolen} 0 0\ncpu0 0\n")
    (root / "proc/cpuinfo").write_text("model name\t: A processor\nflags\t\t: sse avx2\ncpu MHz\t\t: 2500.0\n")
    (root / "proc/meminfo").write_text("MemTotal: 8000000 kB\n")
    if watts is not None:
        chip = root / "sys/class/hwmon/hwmon0"
        chip.mkdir(parents=True)
        for name, text in (("name", "ina3221"), ("in1_label", "VDD_IN"), ("in1_input", "5000"),
                           ("curr1_input", str(watts * 200))):  # fmt: skip
            (chip / name).write_text(text)


def test_a_watch_reads_others_steal_clocks_and_power(tmp_path: Path) -> None:
    machine(tmp_path, busy=0, stolen=0, watts=7)
    with Watch(tmp_path) as watch:
        machine(tmp_path, busy=100_000, stolen=50_000)
    found = watch.conditions
    assert found.other_cores is not None
    assert found.other_cores > 1
    assert found.steal == pytest.approx(1 / 3, abs=0.01)
    assert found.clock_mhz == (2500.0, 2500.0)
    assert found.power_w == pytest.approx(7.0)
    assert found.power_source == "INA3221, VDD_IN"
    assert len(found.warnings) == 2


def test_where_nothing_tells_nothing_is_invented(tmp_path: Path) -> None:
    with Watch(tmp_path) as watch:
        pass
    found = watch.conditions
    assert (found.other_cores, found.steal, found.clock_mhz, found.power_w, found.warnings) == (None,) * 4 + ((),)
    assert found.power_source.startswith("none: ")


def test_the_environment_is_what_the_machine_says(tmp_path: Path) -> None:
    machine(tmp_path, busy=0, stolen=0)
    found = read_environment(3, Machine(tmp_path))
    assert (found.processor, found.instructions, found.memory_gb, found.threads) == ("A processor", ("avx2",), 8.0, 3)
    assert "numpy" in found.versions
