"""Turns, percentiles and ratios, on a clock of our own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore_bench import machine, timing
from mcore_bench.timing import TimingSettings, compare, ratio, summarise, supports
from mcore_export import speed


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
    monkeypatch.setattr(machine, "measure_pace_ms", lambda: 0.125)
    return clock


def test_ratios_hold_on_a_machine_that_gets_busier(clock: Clock) -> None:
    calls = {"slow": lambda: clock.work(30.0), "fast": lambda: clock.work(10.0)}
    group = compare(
        "work", calls, TimingSettings(runs=8, seconds=0, warm_up_s=0), about={"fast": "a third of the work"}
    )
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

    group = compare("work", {"a": tenth, "b": tenth}, TimingSettings(runs, seconds, 0.0))
    assert [row.timing.runs for row in group.rows] == pytest.approx([expected] * 2, abs=1)


def test_who_takes_long_has_fewer_turns_and_is_compared_in_those(clock: Clock) -> None:
    order: list[str] = []

    def call(name: str, milliseconds: float) -> Callable[[], None]:
        def run() -> None:
            order.append(name)
            clock.work(milliseconds)

        return run

    calls = {"fast": call("fast", 1.0), "slow": call("slow", 10.0)}
    group = compare("work", calls, TimingSettings(8, 0.0, 0.0), baseline="slow", every={"slow": 4})
    warm_up, first, second = order[:3], order[3:8], order[8:]
    assert (warm_up, first) == (["fast", "slow", "fast"], ["fast", "slow", *["fast"] * 3])
    assert second == ["slow", *["fast"] * 4], "its turns are in both orders"
    assert [group.row(name).timing.runs for name in calls] == [8, 2]
    speedup = group.row("fast").speedup
    assert speedup is not None
    assert speedup.median == pytest.approx(10.0, rel=0.06)  # over all rounds the medians are further apart
    assert group.conditions is not None


def test_a_summary_drops_nothing() -> None:
    wall = np.array([1.0] * 98 + [100.0, 200.0])
    summary = summarise(wall, wall / 4)
    assert (summary.runs, summary.median_ms, summary.min_ms, summary.p90_ms) == (100, 1.0, 1.0, 1.0)
    assert summary.mean_ms == pytest.approx(3.98)
    assert summary.p99_ms > 99
    assert summary.variation == pytest.approx(wall.std() / wall.mean())
    assert summary.cpu_cores == pytest.approx(0.25)


def test_a_ratio_is_of_rounds_not_of_medians() -> None:
    found = ratio(np.array([10.0, 20.0, 40.0]), np.array([5.0, 10.0, 20.0]))
    assert (found.low, found.median, found.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("wrong", [{"runs": 3}, {"seconds": -1.0}, {"warm_up_s": -1.0}])
def test_too_few_runs_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="at least 4 runs"):
        TimingSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("runs", "percentile", "enough"), [(10, 90, True), (9, 90, False), (20, 95, True), (99, 99, False)]
)
def test_a_percentile_needs_a_run_above_it(runs: int, percentile: int, enough: bool) -> None:
    assert supports(runs, percentile) is enough
