"""The three graphs of a bundle as PyTorch modules, and their trip to ONNX.

Decoding of the transitions and pooling to stage tokens lie inside the segmenter's graph, so that nothing
returns to the host between two graphs; the number of exemplars is the only axis that varies.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from onnxscript.optimizer import optimize
from torch import Tensor, nn

from mcore.config import ModelConfig
from mcore.network.model import MCoRe, stage_deltas
from mcore.network.segmenter import decode_transitions
from mcore.network.stages import stage_tokens
from mcore_export.graphs.biases import own_biases
from mcore_export.graphs.cpu_layout import TiledBackboneGraph
from mcore_export.graphs.folded import lean_backbone
from mcore_export.graphs.half import HalfBackboneGraph, HalfRegressorGraph, HalfSegmenterGraph
from mcore_export.graphs.opset import OLDEST_TRACED, to_opset_17
from mcore_runtime.bundle.records import GraphRecord, Precision

# Shapes: T frames, D features, P = 3K tokens, E exemplars, c pixels.

TRACED_EXEMPLARS = 3
"""Any number but 0 and 1, which torch.export would take for constants."""
_ANY_SIZE = 1 << 30


class BackboneGraph(nn.Module):
    """clip (1, 3, T, c, c) -> features (1, T, D)."""

    def __init__(self, model: MCoRe) -> None:
        super().__init__()
        self.backbone = lean_backbone(model.backbone)

    def forward(self, clip: Tensor) -> Tensor:
        """Run the backbone; normalised RGB in, float32 out."""
        features: Tensor = self.backbone(clip)
        return features


class SegmenterGraph(nn.Module):
    """features (1, T, D) -> logits (1, T, 2), transitions (1, 2) int64, tokens (1, P, D)."""

    def __init__(self, model: MCoRe) -> None:
        super().__init__()
        self.segmenter = model.segmenter
        self.tokens_per_stage = model.config.tokens_per_stage

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Segment, decode as published, and pool each stage."""
        logits = self.segmenter(features)
        transitions = decode_transitions(logits)
        return logits, transitions, stage_tokens(features, transitions, self.tokens_per_stage)


class RegressorGraph(nn.Module):
    """query (1, P, D), exemplars (E, P, D) -> delta (E,), stage_deltas (E, 3), points."""

    def __init__(self, model: MCoRe) -> None:
        super().__init__()
        self.model = model

    def forward(self, query: Tensor, exemplars: Tensor) -> tuple[Tensor, Tensor]:
        """Compare one dive with every exemplar; delta is score(query) - score(exemplar)."""
        points = self.model.token_deltas(query.expand(exemplars.shape[0], -1, -1), exemplars)  # (E, P)
        return points.mean(1), stage_deltas(points)


def graph_modules(model: MCoRe, precision: Precision, *, tiled: bool = False) -> dict[str, nn.Module]:
    """Build the three graphs as modules, by part.

    Args:
        model: in evaluation mode, float32, on the CPU; not touched.
        precision: ``fp32`` or ``fp16``; ``int8`` is made from exported graphs.
        tiled: the backbone's first blocks in tiles of frames, for CPUs; ``fp32`` only.
    """
    kinds = _GRAPHS[precision] | ({"backbone": TiledBackboneGraph} if tiled else {})
    return {part: kind(model).eval() for part, kind in kinds.items()}


def export_graphs(
    model: MCoRe,
    graphs: Mapping[str, GraphRecord],
    folder: Path,
    opset: int,
    precision: Precision = "fp32",
    *,
    tiled: bool = False,
) -> Iterator[tuple[str, Path]]:
    """Export each part to ONNX, one after the other.

    Args:
        model: in evaluation mode, float32, on the CPU.
        graphs: names, shapes and files to write, from ``standard_graphs``.
        folder: of the bundle, where the files go.
        opset: ONNX operator set, 17 to 20.
        precision: ``fp32`` or ``fp16``.
        tiled: as for ``graph_modules``.

    Yields:
        Part and file, as each is written.
    """
    inputs = _trace_inputs(model.config)
    exemplars_axis = torch.export.Dim("E", min=1, max=4096)
    modules = graph_modules(model, precision, tiled=tiled)
    for part, record in graphs.items():
        dynamic = {"query": None, "exemplars": {0: exemplars_axis}} if part == "regressor" else None
        path = folder / record.file
        write_onnx(modules[part], inputs[part], record, path, opset, dynamic)
        yield part, path


def write_onnx(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    record: GraphRecord,
    path: Path,
    opset: int,
    dynamic: dict[str, Any] | None = None,
) -> None:
    """Trace a module and write it as one ONNX file.

    Args:
        module: in evaluation mode.
        inputs: to trace it with; their values do not matter.
        record: names of inputs and outputs.
        path: the file; its folder is made.
        opset: ONNX operator set, 17 to 20.
        dynamic: axes that may vary, by input; None: none.
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
            dynamic_shapes=dynamic,
            verbose=False,
        )
        assert program is not None
        # The exporter itself leaves large constants uncomputed, such as the GRU's weights in ONNX's order of gates.
        optimize(program.model, input_size_limit=_ANY_SIZE, output_size_limit=_ANY_SIZE)
        own_biases(program.model)
        if opset < OLDEST_TRACED:
            to_opset_17(program.model)
        program.save(path, external_data=False)


def _trace_inputs(config: ModelConfig) -> dict[str, tuple[Tensor, ...]]:
    """Make random inputs of the right shapes; the gate uses other ones."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    clip, dim, tokens = config.clip, config.backbone.feature_dim, config.num_tokens
    return {
        "backbone": (random(1, 3, clip.num_frames, clip.crop_size, clip.crop_size),),
        "segmenter": (random(1, clip.num_frames, dim),),
        "regressor": (random(1, tokens, dim), random(TRACED_EXEMPLARS, tokens, dim)),
    }


_GRAPHS: dict[str, dict[str, Callable[[MCoRe], nn.Module]]] = {
    "fp32": {"backbone": BackboneGraph, "segmenter": SegmenterGraph, "regressor": RegressorGraph},
    "fp16": {"backbone": HalfBackboneGraph, "segmenter": HalfSegmenterGraph, "regressor": HalfRegressorGraph},
}


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
