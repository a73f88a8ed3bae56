"""The three graphs of a bundle as PyTorch modules, and their trip to ONNX.

Decoding of the transitions and pooling to stage tokens lie inside the segmenter's graph, so that nothing
returns to the host between two graphs; the number of exemplars is the only axis that varies.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from onnxscript import ir
from onnxscript.optimizer import optimize
from torch import Tensor, nn

from mcore.config import DEFAULT_DECODING, GraphDecoding
from mcore.network.decoding import decode_with
from mcore.network.model import MCoRe, stage_deltas
from mcore.network.stages import stage_tokens
from mcore_export.graphs.cpu_layout import CpuBackbone
from mcore_export.graphs.folded import folded_backbone
from mcore_export.graphs.half import HalfRegressorGraph, HalfSegmenterGraph, half_backbone
from mcore_export.graphs.opset import OLDEST_TRACED, to_opset_17
from mcore_runtime.bundle.records import PARTS, GraphRecord, Precision

# Shapes: T frames, D features, P = 3K tokens, E exemplars, c pixels.

TRACED_SIZE = 3
"""Extent of an axis that varies: any number but 0 and 1, which torch.export would take for constants."""
MAX_SIZE = 4096
_ANY_SIZE = 1 << 30


class SegmenterGraph(nn.Module):
    """features (B, T, D) -> logits (B, T, 2), transitions (B, 2) int64, tokens (B, P, D)."""

    def __init__(self, model: MCoRe, decoding: GraphDecoding) -> None:
        super().__init__()
        self.segmenter = model.segmenter
        self.decoding: GraphDecoding = decoding
        self.tokens_per_stage = model.config.tokens_per_stage

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Segment, decode, and pool each stage."""
        logits = self.segmenter(features)
        transitions = decode_with(self.decoding, logits)
        return logits, transitions, stage_tokens(features, transitions, self.tokens_per_stage)


class RegressorGraph(nn.Module):
    """query (1 or E, P, D), exemplars (E, P, D) -> delta (E,), stage_deltas (E, 3), points."""

    def __init__(self, model: MCoRe) -> None:
        super().__init__()
        self.model = model

    def forward(self, query: Tensor, exemplars: Tensor) -> tuple[Tensor, Tensor]:
        """Compare one dive with every exemplar, or each with its own; delta is score(query) - score(exemplar)."""
        points = self.model.token_deltas(query.expand(exemplars.shape[0], -1, -1), exemplars)  # (E, P)
        return points.mean(1), stage_deltas(points)


def graph_modules(
    model: MCoRe,
    precision: Precision,
    decoding: GraphDecoding = DEFAULT_DECODING,
    *,
    for_cpu: bool = False,
    batched: bool = False,
) -> dict[str, nn.Module]:
    """Build the three graphs as modules, by part.

    Args:
        model: in evaluation mode, float32, on the CPU; not touched.
        precision: ``fp32`` or ``fp16``; ``int8`` is made from exported graphs.
        decoding: how the segmenter's graph finds transitions.
        for_cpu: the backbone in the CPU layout; ``fp32`` only, and not ``batched``.
        batched: for any number of clips, and of pairs; else one clip, and one query for all exemplars.
    """
    if precision == "fp16":
        backbone: nn.Module = half_backbone(model, batched=batched)
        others: tuple[nn.Module, nn.Module] = HalfSegmenterGraph(model, decoding), HalfRegressorGraph(model)
    else:
        backbone = CpuBackbone(model) if for_cpu else folded_backbone(model.backbone, batched=batched)
        others = SegmenterGraph(model, decoding), RegressorGraph(model)
    return {part: module.eval() for part, module in zip(PARTS, (backbone, *others), strict=True)}


def export_graphs(
    modules: Mapping[str, nn.Module], records: Mapping[str, GraphRecord], folder: Path, opset: int
) -> Iterator[tuple[str, Path]]:
    """Export each part to ONNX, one after the other.

    Args:
        modules: from ``graph_modules``.
        records: names, shapes and files to write, from ``standard_graphs`` or ``batched_graphs``.
        folder: of the bundle, where the files go.
        opset: ONNX operator set, 17 to 20.

    Yields:
        Part and file, as each is written.
    """
    generator = torch.Generator().manual_seed(0)
    for part, record in records.items():
        # Random inputs of the right shapes; parity uses other ones.
        inputs = tuple(torch.randn(spec.extent(TRACED_SIZE), generator=generator) for spec in record.inputs)
        path = folder / record.file
        write_onnx(modules[part], inputs, record, path, opset)
        yield part, path


def write_onnx(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    record: GraphRecord,
    path: Path,
    opset: int,
) -> None:
    """Trace a module and write it as one ONNX file.

    Args:
        module: in evaluation mode.
        inputs: to trace it with; their values do not matter.
        record: names of inputs and outputs, and the axes that may vary.
        path: the file; its folder is made.
        opset: ONNX operator set, 17 to 20.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            opset_version=max(opset, OLDEST_TRACED),
            input_names=[spec.name for spec in record.inputs],
            output_names=[spec.name for spec in record.outputs],
            dynamic_shapes=_dynamic_shapes(record),
            verbose=False,
        )
        assert program is not None
        # The exporter itself leaves large constants uncomputed, such as the GRU's weights in ONNX's order of gates.
        optimize(program.model, input_size_limit=_ANY_SIZE, output_size_limit=_ANY_SIZE)
        _own_biases(program.model)
        if opset < OLDEST_TRACED:
            to_opset_17(program.model)
        program.save(path, external_data=False)


def _own_biases(model: Any) -> None:
    """Give every convolution of an ``onnx_ir.Model`` a bias of its own, in place; weights stay shared.

    OpenVINO fuses only biases that no other node reads.
    """
    seen: set[str] = set()
    for node in model.graph:
        if node.op_type != "Conv" or len(node.inputs) < 3 or node.inputs[2].const_value is None:
            continue
        bias = node.inputs[2]
        if bias.name in seen:
            name = f"{bias.name}.{len(seen)}"
            own = ir.Value(name=name, shape=bias.shape, type=bias.type, const_value=bias.const_value)
            model.graph.initializers[name] = own
            node.replace_input_with(2, own)
            bias = own
        seen.add(bias.name)


def _dynamic_shapes(record: GraphRecord) -> tuple[dict[int, Any], ...] | None:
    """The axes that a record names, by input; the same name is the same extent."""
    names = {axis for spec in record.inputs for axis in spec.shape if isinstance(axis, str)}
    axes = {name: torch.export.Dim(name, min=1, max=MAX_SIZE) for name in names}
    shapes = tuple(
        {i: axes[axis] for i, axis in enumerate(spec.shape) if isinstance(axis, str)} for spec in record.inputs
    )
    return shapes if names else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress notes off the terminal; its errors still come through as exceptions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
