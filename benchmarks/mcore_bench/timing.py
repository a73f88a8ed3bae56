"""Times of candidates that have their turns in the same rounds: every call counts, nothing is dropped.

Milliseconds depend on what else the machine does; the ratio within a round does not, so that is what is compared.

    group = compare("backbone", {"plain": plain, "folded": folded}, TimingSettings())
    print(group.row("folded").speedup)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore_bench.machine import Conditions, Watch
from mcore_export.speed import in_turns

Call = Callable[[], object]
Times = NDArray[np.floating]
"""(N,) milliseconds of one candidate in N rounds, NaN where it had no turn."""


@dataclass(frozen=True)
class TimingSettings:
    """Duration of a measurement."""

    runs: int = 50
    """Fewest rounds, in each of which every candidate has one turn."""
    seconds: float = 3.0
    """Least time for each candidate."""
    warm_up_s: float = 1.0
    """Least time for each candidate before anything counts; two rounds at least."""

    def __post_init__(self) -> None:
        if self.runs < 4 or self.seconds < 0 or self.warm_up_s < 0:
            raise UserError(f"{self.runs} runs, {self.seconds} s, {self.warm_up_s} s of warm-up; at least 4 runs, 0 s")


@dataclass(frozen=True)
class Timing:
    """Times of one call."""

    runs: int
    median_ms: float
    mean_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    min_ms: float
    variation: float
    """Coefficient of variation: standard deviation over mean."""
    cpu_cores: float
    """Processor seconds of this process for each second on the clock: far below the threads, others had the cores."""


@dataclass(frozen=True)
class Ratio:
    """Speed of something over the baseline's, round by round; ``low`` and ``high`` are quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class TimingRow:
    """One candidate."""

    name: str
    timing: Timing
    speedup: Ratio | None
    """Baseline's time over this one's; None for the baseline itself."""
    about: str = ""
    """Description of the candidate and, where that is not plain, its limits."""


@dataclass(frozen=True)
class TimingGroup:
    """Candidates that were measured in turns, so that their ratios mean something."""

    title: str
    baseline: str
    rows: tuple[TimingRow, ...]
    conditions: Conditions | None
    """Conditions of the machine meanwhile, the warm-up included; None: not recorded."""

    def row(self, name: str) -> TimingRow:
        """Return one candidate's row."""
        return next(row for row in self.rows if row.name == name)


def compare(
    title: str,
    calls: Mapping[str, Call],
    settings: TimingSettings,
    *,
    about: Mapping[str, str] | None = None,
    baseline: str = "",
    every: Mapping[str, int] | None = None,
    by_cpu_time: bool = False,
) -> TimingGroup:
    """Time calls in turns: A B, B A, B A, A B, ...

    Args:
        title: what they all do.
        calls: by name.
        settings: how long.
        about: what each is; may leave out some.
        baseline: what the others are compared with; default: the first.
        every: by name, those that take so long that they have a turn in every n-th round only.
        by_cpu_time: summarise and compare the processor's time instead of the clock's; not with ``every``.
    """
    cpu_ms: dict[str, list[float]] = {name: [] for name in calls}
    metered = {name: _metered(call, cpu_ms[name]) for name, call in calls.items()}
    with Watch() as watch:
        wall_ms = in_turns(
            metered, settings.runs, at_least_s=settings.seconds, warm_up_s=settings.warm_up_s, every=every
        )
    times_ms = {name: np.array(cpu_ms[name][-len(wall_ms[name]) :]) for name in calls} if by_cpu_time else wall_ms
    return group_of(title, times_ms, cpu_ms, about or {}, watch.conditions, baseline)


def group_of(
    title: str,
    times_ms: Mapping[str, Times],
    cpu_ms: Mapping[str, Sequence[float]],
    about: Mapping[str, str],
    conditions: Conditions,
    baseline: str = "",
) -> TimingGroup:
    """Summarise rounds; of ``cpu_ms`` the turns are the last ones, so that a warm-up does not count."""
    baseline = baseline or next(iter(times_ms))
    rows = []
    for name, times in times_ms.items():
        own_ms = times[~np.isnan(times)]
        timing = summarise(own_ms, np.array(cpu_ms[name][-len(own_ms) :]))
        speedup = None if name == baseline else ratio(times_ms[baseline], times)
        rows.append(TimingRow(name, timing, speedup, about.get(name, "")))
    return TimingGroup(title, baseline, tuple(rows), conditions)


def supports(runs: int, percentile: int) -> bool:
    """Tell whether so many runs say anything of a percentile: one of them at least is to lie above it."""
    return runs * (100 - percentile) >= 100


def summarise(wall_ms: Times, cpu_ms: Times) -> Timing:
    """Summarise the times of all runs, on the clock and of the processor."""
    wall = wall_ms.astype(np.float64)
    median, p90, p95, p99 = np.percentile(wall, (50, 90, 95, 99)).tolist()
    mean, total = float(wall.mean()), float(wall.sum())
    variation = float(wall.std()) / mean if mean else 0.0
    cpu_cores = float(cpu_ms.sum()) / total if total else 0.0
    return Timing(len(wall), median, mean, p90, p95, p99, float(wall.min()), variation, cpu_cores)


def ratio(baseline_ms: Times, other_ms: Times) -> Ratio:
    """Return the speed of ``other`` over the baseline's, from times of the same rounds."""
    low, median, high = np.nanpercentile(baseline_ms.astype(np.float64) / other_ms, (25, 50, 75)).tolist()
    return Ratio(median, low, high)


def _metered(call: Call, cpu_ms: list[float]) -> Call:
    def run() -> None:
        began_s = time.process_time()
        call()
        cpu_ms.append((time.process_time() - began_s) * 1e3)

    return run
