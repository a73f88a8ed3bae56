"""Traces of a GPU: calls told apart, overlaps counted once, gaps found, names made readable."""

from __future__ import annotations

import numpy as np
import pytest

from mcore_bench.kernels import Kernel, bounds_of, short_name, split_calls, summarise_kernels
from mcore_bench.timing import Group, Row, summarise


def trace(*calls: tuple[tuple[str, float, float], ...]) -> list[Kernel]:
    """Calls 10 ms apart; times in microseconds from the start of each."""
    return [Kernel(name, 1e4 * n + start, 1e4 * n + end) for n, call in enumerate(calls) for name, start, end in call]


CALL = (("void at::native::add<float>(int)", 0, 100), ("conv", 100, 300), ("conv", 250, 400), ("Memcpy HtoD", 450, 500))


def test_overlaps_count_once_and_gaps_are_waiting() -> None:
    report = summarise_kernels("network", trace(CALL, CALL, CALL)[::-1])
    assert (report.kernels, report.span_ms) == (4, 0.5)
    assert report.busy_ms == pytest.approx(0.45)
    assert report.waiting == pytest.approx(0.1)
    assert report.largest_gap_us == pytest.approx(50)
    assert [(group.name, group.launches, group.ms) for group in report.groups] == [
        ("conv", 2, pytest.approx(0.35)), ("add", 1, 0.1), ("Memcpy HtoD", 1, 0.05)
    ]  # fmt: skip


def test_the_middle_call_is_reported_not_the_slow_first_one() -> None:
    slow = (("load", 0, 3000),)
    report = summarise_kernels("network", trace(slow, CALL, CALL))
    assert report.span_ms == 0.5
    assert [len(call) for call in split_calls(trace(slow, CALL, CALL))] == [1, 4, 4]


def test_copies_and_launches_that_bound_a_run_are_said() -> None:
    def group(title: str, **ms: float) -> Group:
        rows = [Row(name.replace("_", " "), "", summarise(np.full(4, t), np.zeros(4)), None) for name, t in ms.items()]
        return Group(title, rows[0].name, tuple(rows))

    copied = group("copied", host_to_device=3.0, compute=4.0, device_to_host=0.0)
    computed = group("computed", host_to_device=1.0, compute=9.0)
    waiting = summarise_kernels("waiting", trace((("a", 0, 10), ("b", 90, 100))))
    assert bounds_of([copied, computed], [waiting, summarise_kernels("busy", trace(CALL))]) == (
        "copied: transfers take 43% of a run",
        "waiting: the GPU waits 80% of the time, launches bound it",
    )


def test_many_kinds_end_in_a_rest() -> None:
    report = summarise_kernels("network", trace(tuple((f"kernel{n}", 10.0 * n, 10.0 * n + n) for n in range(1, 13))))
    assert report.groups[-1].name == "all others"
    assert report.groups[-1].launches == 4
    assert report.groups[-1].ms == pytest.approx((1 + 2 + 3 + 4) / 1e3)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("void onnxruntime::cuda::_UnaryElementWise<float, OP_Tanh<(int)2>, 256>(T1 const*, T2*)", "_UnaryElementWise"),
        ("void at::native::(anonymous namespace)::CatArrayBatchedCopy<float, int, 4>(float*)", "CatArrayBatchedCopy"),
        ("sm80_xmma_fprop_implicit_gemm_f16", "sm80_xmma_fprop_implicit_gemm_f16"),
        ("Memcpy DtoH (Device -> Pageable)", "Memcpy DtoH"),
    ],
)
def test_names_are_short(name: str, short: str) -> None:
    assert short_name(name) == short
