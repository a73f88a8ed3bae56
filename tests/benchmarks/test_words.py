"""What pages say of the machine, its conditions and the contenders: all that is known, and nothing that is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mcore_bench.conditions import Conditions
from mcore_bench.environment import Environment
from mcore_bench.result import TRANSFERS_MEASURED, read_result
from mcore_bench.timing import Group, Row, Timing
from mcore_bench.words import abouts, absent_told, conditions_told, machine_told, software_told

BARE = Environment("a CPU", 2, (), 8.4, "Linux, x86_64", "", "", "", {"python": "3.11"}, 1, "2026-11-28T14:00")
UNKNOWN = Conditions(12.0, 1.0, None, None, (1.0, 2.0, 3.0), None, None, None, "none here", ())
TIMING = Timing(4, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0)


def test_the_machine_is_told_with_what_is_known() -> None:
    assert machine_told(BARE) == "a CPU, 2 cores, 8 GB, no GPU, Linux, x86_64"
    full = dataclasses.replace(
        BARE, instructions=("avx2",), processor_id="family 26", gpu="a GPU", governor="performance", power_mode="MAXN",
        omp_wait_policy="PASSIVE", commit="abc+",
    )  # fmt: skip
    assert machine_told(full) == (
        "a CPU (avx2; family 26), 2 cores, 8 GB, a GPU, Linux, x86_64, governor performance, power mode MAXN"
    )
    assert software_told(BARE) == "threads of every engine: 1; python 3.11"
    assert software_told(full).endswith("; OpenMP's waiting threads: PASSIVE; commit abc+")


def test_conditions_are_told_with_what_is_known() -> None:
    assert conditions_told(UNKNOWN) == (
        "12 s; own processes 1.0 cores; load 1.0, 2.0, 3.0; power not measured (none here)"
    )
    full = dataclasses.replace(
        UNKNOWN, other_cores=0.25, steal=0.011, clock_mhz=(900, 2600), gpu_clock_mhz=(1000, 1980), pace=(0.1, 0.125),
        temperature_c=61.0, power_w=7.25,
    )  # fmt: skip
    assert conditions_told(full) == (
        "12 s; own processes 1.0 cores; other programs 0.25 cores; taken by the hypervisor 1.1%; load 1.0, 2.0, 3.0; "
        "clock 900 to 2600 MHz; the GPU's 1000 to 1980 MHz; a fixed computation 0.100 ms before and 0.125 ms after; "
        "at most 61 °C; power 7.2 W (none here)"
    )


def test_contenders_of_whom_the_same_is_true_stand_together_and_once() -> None:
    rows = [("a", "fast"), ("b", "slow"), ("c", "fast"), ("d", "")]
    first = Group("one", "a", tuple(Row(name, about, TIMING, None) for name, about in rows))
    told: set[tuple[str, str]] = set()
    assert abouts(first, told) == [("a; c", "fast"), ("b", "slow")]
    second = Group("two", "a", tuple(Row(name, "fast", TIMING, None) for name in "abc"))
    assert abouts(second, told) == [("b", "fast")]


def test_what_was_measured_is_not_among_what_was_not() -> None:
    results = Path(__file__).resolve().parents[2] / "benchmarks/results"
    (measured,) = read_result(results / "cpu.json").bundles
    transfers = {"a": "none", "b": TRANSFERS_MEASURED, "c": "none"}
    told = absent_told(dataclasses.replace(measured, absent=("d: not here",), transfers=transfers))
    assert told == ["d: not here", "transfers of a, c: none"]
