"""The time of every node of a backbone's graph, as the engine's own profiler tells, and the layer it belongs to."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcore._optional import require

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
          "VariadicSplit", "Reshape", "Convert")  # fmt: skip


@dataclass(frozen=True)
class LayerTime:
    """One node of the graph that the engine ran."""

    group: str
    """Kind of layer and size of its maps."""
    ms: float
    macs: int
    """Of weights that are not zero, so that layers widened with zeros count as they are defined; 0: it has none."""
    moved_bytes: int
    """Of input, output and weights that are not zero, in float32."""


@dataclass(frozen=True)
class _Convolution:
    group: str
    macs: int
    moved_bytes: int


def profile_onnxruntime(path: Path, clip: NDArray[np.float32], threads: int) -> dict[str, LayerTime]:
    """Run a backbone under ONNX Runtime's profiler.

    Args:
        path: graph.
        clip: (1, 3, T, c, c).
        threads: CPU threads.

    Returns:
        Median time by node.
    """
    onnxruntime = require("onnxruntime", "bench", "Profiling layers")
    with tempfile.TemporaryDirectory(prefix="mcore-bench-") as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(_ROUNDS):
            session.run(["features"], {"clip": clip})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times.setdefault(name, []).append(event["dur"] / 1e3)
            kinds[name] = event["args"]["op_name"]
    return _assign({name: float(np.median(each)) for name, each in times.items()}, kinds, path)


def profile_openvino(path: Path, clip: NDArray[np.float32], threads: int, hint: str = "f32") -> dict[str, LayerTime]:
    """Run a backbone under OpenVINO's profiler; arguments as ``profile_onnxruntime``, and the precision."""
    openvino = require("openvino", "openvino", "Profiling layers")
    from mcore_runtime.backends.openvino import the_core

    options = {"PERF_COUNT": "YES", "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    options |= {"NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads), "ENABLE_CPU_PINNING": "NO"}
    request = the_core(openvino).compile_model(str(path), "CPU", options).create_infer_request()
    times: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for _ in range(_ROUNDS):
        request.infer({"clip": clip})
        for node in request.get_profiling_info():
            times.setdefault(node.node_name, []).append(node.real_time.total_seconds() * 1e3)
            kinds[node.node_name] = node.node_type
    return _assign({name: float(np.median(each)) for name, each in times.items()}, kinds, path)


def _assign(times_ms: Mapping[str, float], kinds: Mapping[str, str], path: Path) -> dict[str, LayerTime]:
    convolutions = _convolutions(path)
    found = {}
    for name, ms in times_ms.items():
        layer = convolutions.get(_bare(name)) if "Conv" in kinds[name] and kinds[name] != "Convert" else None
        if layer is not None:
            found[name] = LayerTime(layer.group, ms, layer.macs, layer.moved_bytes)
        elif ms:
            moves = kinds[name].startswith(_MOVES)
            group = f"moving data: {kinds[name]}" if moves else f"elementwise: {kinds[name]}"
            found[name] = LayerTime(group, ms, 0, 0)
    return found


def _bare(name: str) -> str:
    """A node's or tensor's name without what exporters and engines put around it."""
    return re.sub(r"(_nchwc|_token_\d+|/WithoutBiases|/fq.*)$", "", name).removeprefix("node_")


def _convolutions(path: Path) -> dict[str, _Convolution]:
    """The graph's convolutions by every name that an engine may give them: their own and those of what is fused."""
    onnx = require("onnx", "bench", "Profiling layers")
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    weights = {
        tensor.name: int(np.count_nonzero(onnx.numpy_helper.to_array(tensor))) for tensor in model.graph.initializer
    }
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    shapes = {value.name: [int(d.dim_value) for d in value.type.tensor_type.shape.dim] for value in values}
    users: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for tensor in node.input:
            users.setdefault(tensor, []).append(node)
    found: dict[str, _Convolution] = {}
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in weights:
            continue
        weight, before, after = weights[node.input[1]], shapes[node.input[0]], shapes[node.output[0]]  # (T, C, H, W)
        name = _last(node.input[1])
        size = f"{after[2]} x {after[3]}"
        if name in _ARRANGED:
            layer = _Convolution(f"{_ARRANGED[name]}, {size}", 0, 0)
        else:
            macs = after[0] * after[2] * after[3] * weight
            moved = 4 * (math.prod(before) + math.prod(after) + weight)
            layer = _Convolution(f"{_KINDS.get(name, 'convolution')}, {size}", macs, moved)
        names = [node.name, node.output[0]]
        following = users.get(node.output[0], [])
        while len(following) == 1 and following[0].op_type in ("Relu", "Sigmoid", "Add"):
            names += [following[0].name, following[0].output[0]]
            following = users.get(following[0].output[0], [])
        for name in names:
            found.setdefault(_bare(name), layer)
    return found


def _last(weight: str) -> str:
    """The layer's own name in its weight's: ``conv1`` of ``backbone.blocks.0.conv1.weight``."""
    return weight.removesuffix(".weight").rsplit(".", 1)[-1]
