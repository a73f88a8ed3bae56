"""The time of every node of a backbone's graph, as the engine's own profiler tells, and the layer it belongs to."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcore.common.optional import require
from mcore_runtime.backends.base import BFLOAT16

_ROUNDS = 6
_KINDS = {
    "stem": "stem",
    "shift": "gate",
    "conv1": "1x1 convolution",
    "conv2": "grouped 3x3 convolution",
    "conv3": "1x1 convolution",
    "downsample": "1x1 convolution",
    "fc1": "squeeze and excite",
    "fc2": "squeeze and excite",
}
"""By the last part of a layer's name."""
_ARRANGED = {"spread": "moving data: gates to channels", "change": "moving data: what a shift changes"}
"""Convolutions of ``--for-cpu`` in the place of splits and concatenations: no work that the network needs."""
_MOVES = ("Reorder", "Transpose", "Split", "Slice", "Concat", "Pad", "Squeeze", "Unsqueeze", "StridedSlice",
          "VariadicSplit", "Reshape", "Convert", "Cast", "QuantizeLinear", "DequantizeLinear")  # fmt: skip
"""Beginnings of operators that change where values are or how they are written, not what they are."""
_COMPUTED = {"f32": "fp32", "bf16": "bf16", "i8": "int8", "u8": "int8", "f16": "fp16"}
"""By the end of what OpenVINO says it ran, such as ``brgconv_avx512_1x1_I8``."""
_HINTS = {"f32": "fp32", "bf16": "bf16"}


@dataclass(frozen=True)
class LayerTime:
    """One node of the graph that the engine ran."""

    group: str
    """Kind of layer and size of its maps."""
    ms: float
    macs: int
    """Of weights that are not zero, so that layers widened with zeros count as they are defined; 0: it has none."""
    arithmetic: str = "fp32"
    """That the graph asks for: int8 where its weights are quantised, else that of the run."""
    computed: str = ""
    """Arithmetic that the engine says it took; empty: it does not say."""


@dataclass(frozen=True)
class _Convolution:
    group: str
    macs: int
    quantised: bool


@dataclass
class _Profile:
    """What a profiler said, by node."""

    times_ms: dict[str, list[float]]
    """One for each run."""
    operators: dict[str, str]
    computed: dict[str, str]

    def add(self, node: str, ms: float, operator: str, computed: str) -> None:
        self.times_ms.setdefault(node, []).append(ms)
        self.operators[node], self.computed[node] = operator, computed


def profile_layers(backend: str, path: Path, clip: NDArray[np.float32], threads: int) -> dict[str, LayerTime]:
    """Run a backbone under the profiler of its engine.

    Args:
        backend: ``onnxruntime``, ``openvino`` or ``openvino-bf16``.
        path: graph, in the precision of the contender.
        clip: (1, 3, T, c, c).
        threads: CPU threads.

    Returns:
        Median time by node.
    """
    if backend == "onnxruntime":
        return profile_onnxruntime(path, clip, threads)
    return profile_openvino(path, clip, threads, hint="bf16" if backend == BFLOAT16 else "f32")


def profile_onnxruntime(path: Path, clip: NDArray[np.float32], threads: int) -> dict[str, LayerTime]:
    """Run a backbone under ONNX Runtime's profiler; arguments as ``profile_layers``."""
    onnxruntime = require("onnxruntime", "bench", "Profiling layers")
    with tempfile.TemporaryDirectory(prefix="mcore-bench-") as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(_ROUNDS):
            session.run(["features"], {"clip": clip})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    profile = _Profile({}, {}, {})
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            operator = event["args"]["op_name"]
            computed = "int8" if operator.startswith("QLinear") else "fp32"
            profile.add(event["name"].removesuffix("_kernel_time"), event["dur"] / 1e3, operator, computed)
    return _assign(profile, path, "fp32")


def profile_openvino(path: Path, clip: NDArray[np.float32], threads: int, hint: str = "f32") -> dict[str, LayerTime]:
    """Run a backbone under OpenVINO's profiler; arguments as ``profile_layers``, and the precision."""
    openvino = require("openvino", "openvino", "Profiling layers")
    from mcore_runtime.backends.openvino import the_core

    options = {"PERF_COUNT": "YES", "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    options |= {"NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads), "ENABLE_CPU_PINNING": "NO"}
    request = the_core(openvino).compile_model(str(path), "CPU", options).create_infer_request()
    profile = _Profile({}, {}, {})
    for _ in range(_ROUNDS):
        request.infer({"clip": clip})
        for node in request.get_profiling_info():
            computed = _COMPUTED.get(node.exec_type.rsplit("_", 1)[-1].lower(), "")
            profile.add(node.node_name, node.real_time.total_seconds() * 1e3, node.node_type, computed)
    return _assign(profile, path, _HINTS[hint])


def _assign(profile: _Profile, path: Path, arithmetic: str) -> dict[str, LayerTime]:
    """Median time of each node that takes any, and its layer; ``arithmetic`` is of what is not quantised."""
    convolutions = _convolutions(path)
    found = {}
    for name, times_ms in profile.times_ms.items():
        ms, operator = float(np.median(times_ms)), profile.operators[name]
        convolves = "Conv" in operator and operator != "Convert"
        layer = convolutions.get(_bare(name)) if convolves else None
        if layer is not None:
            wanted = "int8" if layer.quantised else arithmetic
            found[name] = LayerTime(layer.group, ms, layer.macs, wanted, profile.computed[name])
        elif ms:
            found[name] = LayerTime(f"{_without_layer(operator, convolves=convolves)}: {operator}", ms, 0)
    return found


def _without_layer(operator: str, *, convolves: bool) -> str:
    """Kind of a node that no convolution of the graph became."""
    if convolves or operator in ("MatMul", "Gemm", "FullyConnected"):
        return "other"
    return "moving data" if operator.startswith(_MOVES) else "elementwise"


def _bare(name: str) -> str:
    """A node's or tensor's name without what exporters and engines put around it."""
    return re.sub(r"(_nchwc|_token_\d+|/WithoutBiases|/fq.*)$", "", name).removeprefix("node_")


def _convolutions(path: Path) -> dict[str, _Convolution]:
    """The graph's convolutions by every name that an engine may give them: their own and those of what is fused."""
    onnx = require("onnx", "bench", "Profiling layers")
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    stored = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    shapes = {value.name: [int(d.dim_value) for d in value.type.tensor_type.shape.dim] for value in values}
    users: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for tensor in node.input:
            users.setdefault(tensor, []).append(node)
    found: dict[str, _Convolution] = {}
    for node in model.graph.node:
        stored_as = stored.get(node.input[1], node.input[1]) if node.op_type == "Conv" else ""
        if stored_as not in weights:
            continue
        after = shapes[node.output[0]]  # (T, C, H, W)
        name, size = _last(stored_as), f"{after[2]} x {after[3]}"
        quantised = stored_as != node.input[1]
        if name in _ARRANGED:
            layer = _Convolution(f"{_ARRANGED[name]}, {size}", 0, quantised)
        else:
            macs = after[0] * after[2] * after[3] * _used(onnx.numpy_helper.to_array(weights[stored_as]))
            layer = _Convolution(f"{_KINDS.get(name, 'other')}, {size}", macs, quantised)
        names = [node.name, node.output[0]]
        following = users.get(node.output[0], [])
        while len(following) == 1 and following[0].op_type in ("Relu", "Sigmoid", "Add"):
            names += [following[0].name, following[0].output[0]]
            following = users.get(following[0].output[0], [])
        for name in names:
            found.setdefault(_bare(name), layer)
    return found


def _used(weight: NDArray[Any]) -> int:
    """Weights (O, I, h, w) of a layer as it is defined: not those of whole channels or kernels that are zero.

    A single weight may have become zero by rounding to int8, so it counts.
    """
    kernels = np.any(weight != 0, axis=(2, 3))  # (O, I)
    area: int = weight.shape[2] * weight.shape[3]
    if area == 1:
        kernels = np.outer(kernels.any(axis=1), kernels.any(axis=0))
    return int(kernels.sum()) * area


def _last(weight: str) -> str:
    """The layer's own name in its weight's: ``conv1`` of ``backbone.blocks.0.conv1.weight``."""
    return weight.removesuffix("_quantized").removesuffix(".weight").rsplit(".", 1)[-1]
