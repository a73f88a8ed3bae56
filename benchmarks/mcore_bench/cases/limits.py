"""Highest rates of a processor or GPU, measured on the spot, and the share of them that each part reaches.

A part's floor is max(FLOPs / peak, bytes / bandwidth): its operations at the highest rate of matrix multiplication that
any library reaches here, and its weights, input and output moved once. Below the floor is only what does fewer
operations (Winograd's convolutions) or finds its weights and input in a cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import Tensor
from torch.utils.benchmark import Timer

from mcore_bench.candidates import Candidate
from mcore_bench.cases.parts import PARTS, Dive, exemplar_tokens
from mcore_bench.cost import DiveCost
from mcore_bench.result import Row, Table, make_table
from mcore_bench.timing import Call, TimingGroup

SIZES = {"cpu": (512, 1024, 1536), "cuda": (2048, 4096, 8192)}
"""Sides of the square matrices; the best counts."""
COPY_BYTES = {"cpu": 256 << 20, "cuda": 1 << 30}
"""Bytes that are copied: more than caches hold."""
_TIMED_S = 0.3
"""Seconds for each product: a dozen of the slowest."""
_WIDTH_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Bytes of a weight in each precision."""


@dataclass(frozen=True)
class Peak:
    """Highest rate of matrix multiplication."""

    gflops: float
    """Two operations for each multiplication with its addition; billions a second, of int8 no floating-point ones."""
    reached_by: str
    """Library and side of the matrices."""


@dataclass(frozen=True)
class Limits:
    """Highest rates that a device reached."""

    where: str
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
    best: dict[str, Peak] = {}
    for size in SIZES[device]:
        for dtype, library, call in _products(size, device, threads):
            try:
                seconds = _min_s(call, threads)
            except RuntimeError:  # this library has no kernel for it on this device
                continue
            peak = Peak(2 * size**3 / seconds / 1e9, f"{library}, {size} x {size}")
            if dtype not in best or peak.gflops > best[dtype].gflops:
                best[dtype] = peak
    source, target = (torch.zeros(COPY_BYTES[device] // 4, device=device) for _ in range(2))
    copy_s = _min_s(lambda: target.copy_(source), threads)
    where = f"processor, {threads} threads" if device == "cpu" else "GPU"
    return Limits(where, best, 2 * COPY_BYTES[device] / copy_s / 1e9)


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
    peaks: list[Row] = [
        (dtype, peak.gflops, "GOP/s" if dtype == "int8" else "GFLOP/s", peak.reached_by)
        for dtype, peak in limits.peaks.items()
    ]
    peaks.append(("copying", limits.copy_gb_s, "GB/s", "read and written"))
    parts = [row for part in PARTS for each in candidates if (row := _part_row(part, each, limits, groups, dive, cost))]
    columns = {"part": "", "on": "", "compute dtype": "", "best run, ms": ".3g", "floor, ms": ".2g", "set by": "",
               "reached": ".0%"}  # fmt: skip
    return (
        make_table(
            f"limits of this {limits.where}", {"compute dtype": "", "best": ".1f", "unit": "", "reached by": ""}, peaks
        ),
        make_table(f"parts against their floor on this {limits.where}", columns, parts),
    )


def _part_row(
    part: str, candidate: Candidate, limits: Limits, groups: Sequence[TimingGroup], dive: Dive, cost: DiveCost
) -> Row | None:
    dtype = candidate.compute_dtype(part)
    if (peak := limits.peaks.get(dtype)) is None:
        return None
    features = dive.clip.shape[1] * candidate.scorer.bundle.model.backbone.feature_dim
    times, counted, moved_values = {
        "backbone": (1, cost.backbone, dive.clip.size),
        "segmenter": (1, cost.segmenter, features),
        "regressor": (len(exemplar_tokens(candidate.scorer, dive)), cost.comparison, 0),
    }[part]
    moved = counted.parameters * _WIDTH_BYTES[dtype] + moved_values * 4
    compute_ms, memory_ms = 2 * counted.macs * times / peak.gflops / 1e6, moved / limits.copy_gb_s / 1e6
    floor_ms = max(compute_ms, memory_ms)
    group = next(group for group in groups if group.title == part)
    run_ms = group.row(candidate.name).timing.min_ms  # the peaks are of the best run too
    set_by = "operations" if compute_ms >= memory_ms else "memory"
    return part, candidate.name, dtype, run_ms, floor_ms, set_by, floor_ms / run_ms


def _products(size: int, device: str, threads: int) -> Iterator[tuple[str, str, Call]]:
    """Yield products of square matrices: compute dtype, library, and the call. OpenVINO's are oneDNN, as torch's."""
    a = torch.randn(size, size, device=device)
    bfloat16, half, int8 = a.bfloat16(), a.half(), (a * 20).to(torch.int8)
    # torch multiplies float32 by MKL, which is slow on processors that are not Intel's; a 1x1 convolution by oneDNN.
    picture, kernel = a[None, :, :, None].contiguous(), a[:, :, None, None].contiguous()
    yield "fp32", "torch matmul", lambda: a @ a
    if device == "cpu":
        yield "fp32", "torch 1x1 convolution", lambda: torch.conv2d(picture, kernel)
        yield "fp32", "onnxruntime", _onnxruntime_product(a, threads)
    yield "bf16", "torch matmul", lambda: bfloat16 @ bfloat16
    if device == "cuda":  # processors have no kernels for it
        yield "fp16", "torch matmul", lambda: half @ half
    yield "int8", "torch _int_mm", lambda: torch._int_mm(int8, int8 if device == "cpu" else int8.t())


def _onnxruntime_product(square: Tensor, threads: int) -> Call:
    shape, matrix = list(square.shape), np.asarray(square)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    weight = helper.make_tensor("w", TensorProto.FLOAT, shape, matrix.tobytes(), raw=True)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": matrix})


def _min_s(call: Call, threads: int) -> float:
    """Shortest run, seconds; torch's timer warms up and waits for a GPU."""
    timer = Timer("call()", globals={"call": call}, num_threads=threads)
    return min(timer.blocked_autorange(min_run_time=_TIMED_S).times)
