"""Quantise/dequantise pairs around chosen convolutions of an ONNX graph, with ranges from real clips.

ONNX Runtime's quantiser does it, set to place pairs as TensorRT wants them: before a convolution, not behind it,
weights per channel and symmetric, biases left alone. Residual sums then see activations of eight bits too, which
costs no accuracy that could be measured and lets OpenVINO keep them in eight bits.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import onnx
from numpy.typing import NDArray

from mcore.common.errors import ExportError
from mcore.common.optional import require

FloatArray = NDArray[np.float32]

Activations = Literal["uint8", "int8"]
"""Storage of activations: ``uint8`` with a zero point, or ``int8`` around zero, which TensorRT insists on."""
Method = Literal["minmax", "entropy", "percentile"]
"""Choice of an activation's range: all that was seen, or what loses least information, or nearly all."""
METHODS: tuple[Method, ...] = get_args(Method)
PERCENTILE = 99.999
"""Share of an activation's values that the percentile's range holds: 99.99 already lost three times the accuracy."""
_PREFIX, _SUFFIX = "backbone.", ".weight"


@dataclass(frozen=True)
class Convolution:
    """One convolution of a graph."""

    node: str
    """Name of the node."""
    name: str
    """Name of the layer, as in the checkpoint where the exporter kept it: ``blocks.0.conv1``."""


def load_graph(path: Path) -> onnx.ModelProto:
    """Read a graph with the type of every tensor, which the quantiser needs: it leaves out what it does not know."""
    model = onnx.load(str(path))
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type.lower()}_{i}"
    return onnx.shape_inference.infer_shapes(model)


def convolutions(model: onnx.ModelProto) -> list[Convolution]:
    """List the convolutions with constant weights, in the order they run."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        Convolution(node.name, node.input[1].removeprefix(_PREFIX).removesuffix(_SUFFIX))
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in constants
    ]


def observe_ranges(path: Path, clips: Sequence[FloatArray], method: Method) -> Any:
    """Observe the inputs and outputs of every convolution.

    Args:
        path: float32 graph of the backbone.
        clips: (3, T, c, c) each.
        method: how ranges are chosen.

    Returns:
        ONNX Runtime's ``TensorsData``: a range for each tensor.
    """
    tools = require("onnxruntime.quantization", "export", "Exporting int8 graphs")
    kinds, options = tools.CalibrationMethod, {}
    kind = {"minmax": kinds.MinMax, "entropy": kinds.Entropy, "percentile": kinds.Percentile}[method]
    if method == "percentile":
        options = {"percentile": PERCENTILE}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        calibrator = tools.create_calibrator(
            str(path), ["Conv"], str(Path(folder) / "observed.onnx"), kind, extra_options=options
        )
        for clip in clips:  # one at a time: the histograms hold every activation of what they are given
            calibrator.collect_data(_reader(tools, clip))
        return calibrator.compute_data()


def insert_pairs(
    model: onnx.ModelProto, ranges: Any, chosen: Collection[str], activations: Activations
) -> onnx.ModelProto:
    """Quantise some convolutions.

    Args:
        model: from ``load_graph``; not changed.
        ranges: from ``observe_ranges``.
        chosen: names of the nodes to quantise.
        activations: how activations are stored.

    Returns:
        A graph of the same inputs and outputs.

    Raises:
        ExportError: the quantiser left one of them out, or did what TensorRT cannot read.
    """
    if not chosen:
        return _copy(model)
    require("onnxruntime.quantization", "export", "Exporting int8 graphs")
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    signed = activations == "int8"
    quantiser = QDQQuantizer(
        _copy(model),
        True,  # weights per output channel
        False,  # all eight bits
        QuantType.QInt8,
        QuantType.QInt8 if signed else QuantType.QUInt8,
        ranges,
        sorted(chosen),
        [],
        ["Conv"],
        {
            "ActivationSymmetric": signed,
            "WeightSymmetric": True,
            "QuantizeBias": False,  # TensorRT refuses to dequantise an int32 bias; ONNX Runtime does it while loading
            "OpTypesToExcludeOutputQuantization": ["Conv"],
        },
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()  # it appends its nodes, and only ONNX Runtime itself takes that
    result = cast("onnx.ModelProto", quantiser.model.model)
    _drop_unused_domains(result)
    onnx.checker.check_model(result)
    _check(result, chosen)
    return result


def _check(model: onnx.ModelProto, chosen: Collection[str]) -> None:
    """The quantiser leaves out what it does not know without a word, and an old one does not know every option."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    quantised = {
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and all(_is_dequantised(made_by, name) for name in node.input[:2])
    }
    biases = [
        n.input[2] for n in model.graph.node if n.op_type == "Conv" and len(n.input) > 2 and n.input[2] in made_by
    ]
    if quantised != set(chosen) or any(_is_dequantised(made_by, name) for name in biases):
        raise ExportError(
            f"this version of onnxruntime quantised {len(quantised)} of {len(chosen)} convolutions, or biases too; "
            "upgrade it with: pip install --upgrade onnxruntime"
        )


def _is_dequantised(made_by: Mapping[str, onnx.NodeProto], name: str) -> bool:
    return name in made_by and made_by[name].op_type == "DequantizeLinear"


def _drop_unused_domains(model: onnx.ModelProto) -> None:
    """The quantiser declares operators of its own, which other backends need not know."""
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _reader(tools: Any, clip: FloatArray) -> Any:
    class OneClip(tools.CalibrationDataReader):  # type: ignore[misc]  # the base class has no types
        def __init__(self) -> None:
            self.items: Iterator[dict[str, FloatArray]] = iter([{"clip": clip[None]}])

        def get_next(self) -> dict[str, FloatArray] | None:
            return next(self.items, None)

    return OneClip()
