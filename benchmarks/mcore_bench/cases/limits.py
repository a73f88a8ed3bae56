"""Highest rates of a processor or GPU, measured on the spot, and the share of them that each part reaches.

A part's floor is max(FLOPs / peak, bytes / bandwidth): its operations at the highest rate of matrix multiplication that
any library reaches here, and its weights, input and output moved once. Below the floor is only what does fewer
operations (Winograd's convolutions) or finds its weights and input in a cache.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.common.optional import require
from mcore_bench.candidates import Candidate
from mcore_bench.cases.parts import PARTS, Dive, exemplar_tokens
from mcore_bench.cost import DiveCost
from mcore_bench.result import Column, Table, Value
from mcore_bench.timing import Call, TimingGroup

SIZES = {"cpu": (512, 1024, 1536), "cuda": (2048, 4096, 8192)}
"""Sides of the square matrices; the best counts."""
COPY_BYTES = {"cpu": 256 << 20, "cuda": 1 << 30}
"""Bytes that are copied: more than caches hold."""
_TRIES = 12
_WIDTH_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Bytes of a weight in each precision."""


@dataclass(frozen=True)
class Peak:
    """Highest rate of matrix multiplication."""

    gflops: float
    """Two operations for each multiplication with its addition; billions a second, of int8 no floating-point ones."""
    library: str
    """Library that reached it."""
    size: int
    """Side of the matrices."""


@dataclass(frozen=True)
class Limits:
    """Highest rates that a device reached."""

    device: str
    threads: int
    peaks: Mapping[str, Peak]
    """Highest rate of each compute dtype."""
    copy_gb_s: float
    """Bytes read and written by copying more than caches hold, billions a second."""


def measure_limits(device: str, threads: int) -> Limits:
    """Multiply matrices with every library that is here, keep the best of each compute dtype, and copy memory.

    Args:
        device: ``cpu`` or ``cuda``.
        threads: CPU threads of each library.
    """
    torch = require("torch", "bench", "Measuring the machine's limits")
    torch.set_num_threads(threads)
    best: dict[str, Peak] = {}
    for dtype, library, size, call in _products(device, threads):
        try:
            seconds = _min_s(call, device)
        except RuntimeError:  # this library has no kernel for it on this device
            continue
        peak = Peak(2 * size**3 / seconds / 1e9, library, size)
        if dtype not in best or peak.gflops > best[dtype].gflops:
            best[dtype] = peak
    source, target = (torch.zeros(COPY_BYTES[device] // 4, device=device) for _ in range(2))
    copy_s = _min_s(lambda: target.copy_(source), device)
    return Limits(device, threads, best, 2 * COPY_BYTES[device] / copy_s / 1e9)


def limit_tables(
    limits: Limits, candidates: Sequence[Candidate], groups: Sequence[TimingGroup], dive: Dive, cost: DiveCost
) -> tuple[Table, Table]:
    """Set the parts of a dive, as they were timed, against their floors.

    Args:
        limits: of the device.
        candidates: that run on it.
        groups: among them the parts'.
        dive: what was scored.
        cost: of the network.
    """
    where = f"processor, {limits.threads} threads" if limits.device == "cpu" else "GPU"
    peaks: list[tuple[Value, ...]] = [
        (dtype, peak.gflops, "GOP/s" if dtype == "int8" else "GFLOP/s", f"{peak.library}, {peak.size} x {peak.size}")
        for dtype, peak in limits.peaks.items()
    ]
    peaks.append(("copying", limits.copy_gb_s, "GB/s", "read and written"))
    columns = (Column("compute dtype"), Column("best", ".1f"), Column("unit"), Column("reached by"))
    parts = [row for part in PARTS for each in candidates if (row := _part_row(part, each, limits, groups, dive, cost))]
    headings = (Column("part"), Column("on"), Column("compute dtype"), Column("best run, ms", ".3g"),
                Column("floor, ms", ".2g"), Column("set by"), Column("reached", ".0%"))  # fmt: skip
    return (
        Table(f"limits of this {where}", columns, tuple(peaks)),
        Table(f"parts against their floor on this {where}", headings, tuple(parts)),
    )


def _part_row(
    part: str, candidate: Candidate, limits: Limits, groups: Sequence[TimingGroup], dive: Dive, cost: DiveCost
) -> tuple[Value, ...] | None:
    dtype = candidate.compute_dtype(part)
    if (peak := limits.peaks.get(dtype)) is None:
        return None
    times, counted = {
        "backbone": (1, cost.backbone),
        "segmenter": (1, cost.segmenter),
        "regressor": (len(exemplar_tokens(candidate.scorer, dive)), cost.comparison),
    }[part]
    features = dive.clip.shape[1] * candidate.scorer.bundle.model.backbone.feature_dim
    moved_values = {"backbone": dive.clip.size, "segmenter": features}.get(part, 0)
    moved = counted.parameters * _WIDTH_BYTES[dtype] + moved_values * 4
    compute_ms, memory_ms = 2 * counted.macs * times / peak.gflops / 1e6, moved / limits.copy_gb_s / 1e6
    floor_ms = max(compute_ms, memory_ms)
    group = next(group for group in groups if group.title == part)
    run_ms = group.row(candidate.name).timing.min_ms  # the peaks are of the best run too
    set_by = "operations" if compute_ms >= memory_ms else "memory"
    return part, candidate.name, dtype, run_ms, floor_ms, set_by, floor_ms / run_ms


def _products(device: str, threads: int) -> Iterator[tuple[str, str, int, Call]]:
    """Yield matrix products to time: compute dtype, library, size, and the call. OpenVINO's are oneDNN, as torch's."""
    rng = np.random.default_rng(0)
    for size in SIZES[device]:
        square = rng.standard_normal((size, size), np.float32)
        yield from _torch_products(square, device)
        if device == "cpu" and importlib.util.find_spec("onnxruntime") is not None:
            yield "fp32", "onnxruntime", size, _onnxruntime_product(square, threads)


def _torch_products(square: NDArray[np.float32], device: str) -> Iterator[tuple[str, str, int, Call]]:
    import torch

    size, a = len(square), torch.from_numpy(square).to(device)
    small = (a * 20).to(torch.int8)
    # torch multiplies float32 by MKL, which is slow on processors that are not Intel's; a 1x1 convolution by oneDNN.
    picture, kernel = a[None, :, :, None].contiguous(), a[:, :, None, None].contiguous()
    yield "fp32", "torch matmul", size, lambda: a @ a
    if device == "cpu":
        yield "fp32", "torch 1x1 convolution", size, lambda: torch.conv2d(picture, kernel)
    bfloat16, half, other = a.bfloat16(), a.half(), small if device == "cpu" else small.t()
    yield "bf16", "torch matmul", size, lambda: bfloat16 @ bfloat16
    if device == "cuda":  # processors have no kernels for it
        yield "fp16", "torch matmul", size, lambda: half @ half
    yield "int8", "torch _int_mm", size, lambda: torch._int_mm(small, other)


def _onnxruntime_product(square: NDArray[np.float32], threads: int) -> Call:
    import onnxruntime
    from onnx import TensorProto, helper

    shape = list(square.shape)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    weight = helper.make_tensor("w", TensorProto.FLOAT, shape, square.tobytes(), raw=True)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": square})


def _min_s(call: Call, device: str) -> float:
    """Shortest of several runs, after two that load and choose kernels."""
    times_s = []
    for _ in range(_TRIES + 2):
        began_s = time.perf_counter()
        call()
        if device == "cuda":
            require("torch", "bench", "Timing on the GPU").cuda.synchronize()
        times_s.append(time.perf_counter() - began_s)
    return min(times_s[2:])
