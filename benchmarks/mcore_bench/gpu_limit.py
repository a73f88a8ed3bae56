"""What the GPU could do at best, measured on the spot: matrix products by its fastest library, and copies."""

from __future__ import annotations

from collections.abc import Iterator

from mcore.common.optional import require
from mcore_bench.limit import Limits, Peak
from mcore_bench.timing import Call

SIZES = (2048, 4096, 8192)
"""Sides of the square matrices; the best counts."""
_COPY_BYTES = 1 << 30
_TRIES = 8
_LIBRARY = "torch matmul (cuBLAS)"


def has_gpu() -> bool:
    """Tell whether torch is here and reaches a GPU."""
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def measure_gpu_limits() -> Limits:
    """Multiply matrices of random numbers and copy memory on the GPU, without any part yet."""
    torch = require("torch", "bench", "Measuring the GPU's limits")
    best: dict[str, Peak] = {}
    for arithmetic, size, call in _products():
        try:
            seconds = least_s(call)
        except RuntimeError:  # no kernel for it on this GPU
            continue
        peak = Peak(arithmetic, 2 * size**3 / seconds / 1e9, _LIBRARY, size)
        if arithmetic not in best or peak.gflops > best[arithmetic].gflops:
            best[arithmetic] = peak
    source = torch.ones(_COPY_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copy_gb_s = 2 * _COPY_BYTES / least_s(lambda: target.copy_(source)) / 1e9
    return Limits(0, tuple(best.values()), copy_gb_s, (), ())


def least_s(call: Call) -> float:
    """Shortest time of a call between two events on the GPU, seconds."""
    torch = require("torch", "bench", "Timing on the GPU")
    times = []
    for _ in range(_TRIES + 2):  # the first two load and choose kernels
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return float(min(times[2:]))


def _products() -> Iterator[tuple[str, int, Call]]:
    torch = require("torch", "bench", "Measuring the GPU's limits")
    for size in SIZES:
        square = torch.randn(size, size, device="cuda")
        for arithmetic, tf32 in (("fp32", False), ("tf32", True)):
            yield arithmetic, size, _product(square, tf32=tf32)
        for arithmetic, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
            half = square.to(dtype)
            yield arithmetic, size, _product(half)
        small = (square * 20).to(torch.int8)
        yield "int8", size, lambda small=small: torch._int_mm(small, small.t())  # type: ignore[misc]


def _product(square: object, *, tf32: bool = False) -> Call:
    torch = require("torch", "bench", "Measuring the GPU's limits")

    def run() -> None:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = tf32
        square @ square  # type: ignore[operator]
        torch.backends.cuda.matmul.allow_tf32 = before

    return run
