"""What the processor could do at best, measured on the spot, and how far from it each part and layer is.

A part's floor is max(FLOPs / peak, bytes / bandwidth): its operations at the highest rate of matrix multiplication that
any library reaches here, and its weights, input and output moved once. A layer's is of its operations alone: what lies
between layers can stay in a cache, as the maps of tiles do, so no bandwidth bounds it. Below the floor is only what
does fewer operations (Winograd's convolutions) or, for a part, finds its weights and input in a cache.
"""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mcore.common.optional import require
from mcore_bench.account import FLOPS_A_MAC, PartCost
from mcore_bench.layers import LayerTime
from mcore_bench.timing import Call

SIZES = (512, 1024, 1536)
"""Sides of the square matrices; the best counts."""
_COPY_BYTES = 256 << 20
"""More than caches hold."""
_TRIES = 12


@dataclass(frozen=True)
class Peak:
    """Highest rate of matrix multiplication."""

    arithmetic: str
    """``fp32``, ``bf16`` or ``int8``."""
    gflops: float
    """Two operations for each multiplication with its addition; billions a second, of int8 no floating-point ones."""
    library: str
    """That reached it."""
    size: int
    """Side of the matrices."""

    @property
    def rate(self) -> str:
        """Its figure with the unit, such as ``257 GFLOP/s``."""
        return f"{self.gflops:.0f} {'GOP/s' if self.arithmetic == 'int8' else 'GFLOP/s'}"


@dataclass(frozen=True)
class PartLimit:
    """A part against its floor."""

    part: str
    contender: str
    arithmetic: str
    """Whose peak sets the floor."""
    measured_ms: float
    """Of the best run, as the peaks are."""
    compute_floor_ms: float
    memory_floor_ms: float

    @property
    def floor_ms(self) -> float:
        """At the highest rates that were measured here; the module's docstring says what can be below."""
        return max(self.compute_floor_ms, self.memory_floor_ms)

    @property
    def reached(self) -> float:
        """Share of the floor that was reached; 1 is perfect."""
        return self.floor_ms / self.measured_ms


@dataclass(frozen=True)
class LayerGroup:
    """Layers of one kind and size together."""

    name: str
    ms: float
    share: float
    """Of the graph's time."""
    floor_ms: float
    """Of its operations, in the arithmetic that the graph asks for; 0: it multiplies nothing with weights."""

    @property
    def reached(self) -> float:
        """Share of the floor that was reached; 0: it has no floor."""
        return self.floor_ms / self.ms if self.ms else 0.0


@dataclass(frozen=True)
class LayerReport:
    """Where one engine's time goes in the backbone; the largest gap to the floor first."""

    contender: str
    groups: tuple[LayerGroup, ...]
    arithmetic: str = "fp32"
    """Whose peak sets the floors, of quantised layers in an int8 graph."""
    timed_ms: float | None = None
    """Median of the same part without the profiler, in turns with the others; None: it was not written down."""
    elsewise: str = ""
    """Convolutions that the engine computed in another arithmetic than the graph asks for; empty: none."""

    @property
    def kinds(self) -> tuple[LayerGroup, ...]:
        """The same time by kind of layer, in the order of ``KINDS``; they sum to the whole."""
        return tuple(
            LayerGroup(kind, *(sum(each) for each in zip(*figures, strict=True)))
            for kind in KINDS
            if (figures := [(g.ms, g.share, g.floor_ms) for g in self.groups if kind_of(g.name) == kind])
        )

    @property
    def total(self) -> LayerGroup:
        """All that the profiler saw."""
        return LayerGroup("all", *(sum(getattr(g, name) for g in self.groups) for name in ("ms", "share", "floor_ms")))


KINDS = {
    "1x1 convolution": "matrix products as the peak's, but of tens to hundreds of channels; what is fused with them "
    "(bias, activation, shortcut) is in their time",
    "grouped 3x3 convolution": "groups of a few channels fill a part of a vector and reuse each input little",
    "gate": "very few output channels: most of each vector stays empty",
    "stem": "three input channels: a part of each vector, on the largest maps",
    "squeeze and excite": "one pixel a frame: so little arithmetic that starting each call counts",
    "moving data": "no floor: splits, copies, changes of layout and of number format, none of the network's arithmetic",
    "elementwise": "no floor: activations, sums, products and means; each reads and writes maps for little arithmetic",
    "other": "what no layer of the network is known by",
}
"""Kinds of layers, and why each is above its floor."""


def kind_of(group: str) -> str:
    """The kind in a group's name, such as ``gate`` of ``gate, 56 x 56``."""
    kind = re.split("[,:]", group, maxsplit=1)[0]
    return kind if kind in KINDS else "other"


@dataclass(frozen=True)
class Limits:
    """The machine's limits, and the distance from them."""

    threads: int
    peaks: tuple[Peak, ...]
    copy_gb_s: float
    """Bytes read and written by copying more than caches hold, billions a second."""
    parts: tuple[PartLimit, ...]
    layers: tuple[LayerReport, ...]

    def peak(self, arithmetic: str) -> Peak | None:
        """The peak of one arithmetic; None: the device has none."""
        return next((peak for peak in self.peaks if peak.arithmetic == arithmetic), None)


def measure_peaks(threads: int) -> tuple[Peak, ...]:
    """Multiply matrices on the CPU with every library that is here, and keep the best of each arithmetic.

    Args:
        threads: CPU threads of each.
    """
    best: dict[str, Peak] = {}
    for arithmetic, library, size, call in _products(threads):
        try:
            call()
        except RuntimeError:  # this library has no kernel for it on this device
            continue
        seconds = min(_seconds(call) for _ in range(_TRIES))
        peak = Peak(arithmetic, 2 * size**3 / seconds / 1e9, library, size)
        if arithmetic not in best or peak.gflops > best[arithmetic].gflops:
            best[arithmetic] = peak
    return tuple(best.values())


def measure_copy(threads: int) -> float:
    """Copy memory and return billions of bytes a second, read and written."""
    torch = require("torch", "bench", "Measuring the machine's limits")
    torch.set_num_threads(threads)
    source, target = (torch.zeros(_COPY_BYTES // 4) for _ in range(2))
    return float(2 * _COPY_BYTES / min(_seconds(lambda: target.copy_(source)) for _ in range(_TRIES)) / 1e9)


def part_limit(
    cost: PartCost, times: int, contender: str, arithmetic: str, measured_ms: float, peak: Peak, copy_gb_s: float,
    moved_values: int,
) -> PartLimit:  # fmt: skip
    """Compare a part with its floor.

    Args:
        cost: operations and parameters.
        times: how often they are done, such as for each exemplar.
        contender: what was measured.
        arithmetic: of most of it.
        measured_ms: its time.
        peak: of that arithmetic.
        copy_gb_s: from ``measure_copy``.
        moved_values: input and output, float32 numbers.
    """
    width = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}[arithmetic]
    moved = cost.parameters * width + moved_values * 4
    compute_ms = FLOPS_A_MAC * cost.macs * times / peak.gflops / 1e6
    return PartLimit(cost.part, contender, arithmetic, measured_ms, compute_ms, moved / copy_gb_s / 1e6)


def group_layers(
    contender: str, layers: Mapping[str, LayerTime], limits: Limits, arithmetic: str, timed_ms: float | None = None
) -> LayerReport:
    """Sum layers of one kind and size.

    Args:
        contender: the engine, with its precision.
        layers: by node.
        limits: with the peak of every arithmetic that the graph asks for.
        arithmetic: that most of it is to be computed in.
        timed_ms: of the part, without the profiler.
    """
    gflops = {peak.arithmetic: peak.gflops for peak in limits.peaks}
    total_ms = sum(layer.ms for layer in layers.values())
    sums: dict[str, list[float]] = {}
    for layer in layers.values():
        group = sums.setdefault(layer.group, [0.0, 0.0])
        group[0] += layer.ms
        group[1] += FLOPS_A_MAC * layer.macs / gflops[layer.arithmetic] / 1e6 if layer.macs else 0.0
    groups = [LayerGroup(name, ms, ms / total_ms, floor_ms) for name, (ms, floor_ms) in sums.items()]
    groups.sort(key=lambda group: group.floor_ms - group.ms)
    return LayerReport(contender, tuple(groups), arithmetic, timed_ms, _elsewise(layers))


def _elsewise(layers: Mapping[str, LayerTime]) -> str:
    convolutions = [layer for layer in layers.values() if layer.macs and layer.computed]
    found: dict[tuple[str, str], list[float]] = {}
    for layer in convolutions:
        if layer.computed != layer.arithmetic:
            found.setdefault((layer.arithmetic, layer.computed), []).append(layer.ms)
    return "; ".join(
        f"{len(times_ms)} of {len(convolutions)} convolutions are {asked} in the graph and were computed in {got}: "
        f"{sum(times_ms):.1f} ms"
        for (asked, got), times_ms in found.items()
    )


def _products(threads: int) -> Iterator[tuple[str, str, int, Call]]:
    """Matrix products to time: arithmetic, library, size, and the call."""
    rng = np.random.default_rng(0)
    for size in SIZES:
        square = rng.standard_normal((size, size), np.float32)
        if importlib.util.find_spec("torch") is not None:
            yield from _torch_products(square, threads)
        if importlib.util.find_spec("onnxruntime") is not None and importlib.util.find_spec("onnx") is not None:
            yield "fp32", "onnxruntime", size, _onnxruntime_product(square, threads)
        if importlib.util.find_spec("openvino") is not None:
            for arithmetic, hint in (("fp32", "f32"), ("bf16", "bf16")):
                yield arithmetic, "openvino", size, _openvino_product(square, threads, hint)


def _torch_products(square: np.ndarray[tuple[int, int], np.dtype[np.float32]], threads: int) -> Iterator[
    tuple[str, str, int, Call]
]:  # fmt: skip
    import torch

    torch.set_num_threads(threads)
    size = len(square)
    a = torch.from_numpy(square)
    half, small = a.bfloat16(), (a * 20).to(torch.int8)
    # torch multiplies float32 by MKL, which is slow on processors that are not Intel's; a 1x1 convolution by oneDNN.
    picture, kernel = a[None, :, :, None].contiguous(), a[:, :, None, None].contiguous()
    yield "fp32", "torch matmul", size, lambda: a @ a
    yield "fp32", "torch 1x1 convolution", size, lambda: torch.conv2d(picture, kernel)
    yield "bf16", "torch matmul", size, lambda: half @ half
    yield "int8", "torch _int_mm", size, lambda: torch._int_mm(small, small)


def _onnxruntime_product(square: np.ndarray[tuple[int, int], np.dtype[np.float32]], threads: int) -> Call:
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


def _openvino_product(square: np.ndarray[tuple[int, int], np.dtype[np.float32]], threads: int, hint: str) -> Call:
    import openvino
    from openvino import opset13

    from mcore_runtime.backends.openvino import the_core

    x = opset13.parameter(square.shape, np.float32)
    model = openvino.Model([opset13.matmul(x, opset13.constant(square), False, False)], [x])
    options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": str(threads), "NUM_STREAMS": "1"}
    request = (
        the_core(openvino).compile_model(model, "CPU", {**options, "ENABLE_CPU_PINNING": "NO"}).create_infer_request()
    )
    return lambda: request.infer([square])


def _seconds(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
