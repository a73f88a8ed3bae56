"""Parity of the graphs with a batch axis: each clip of a batch gets what it gets alone.

The graphs for one clip have been compared with PyTorch already, so they are what batches are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import ExportError, first_line
from mcore.common.optional import require
from mcore.video import normalise
from mcore_export.log import Log
from mcore_export.parity.compare import Expected
from mcore_runtime.bundle.records import PARTS, GraphSet

BATCHES = (1, 3)
"""Clips of a batch: one alone, and enough for one with a neighbour on each side."""
LIMIT = 1e-2
"""Most that an output may differ, as a share of the largest. Rounding alone reached 1e-6 in float32 and 1e-3 in half
precision; clips that were mixed, or a frame that came from another clip, differ by tens of percents."""

Arrays = Mapping[str, NDArray[Any]]


def require_batched_parity(single: GraphSet, batched: GraphSet, expected: Expected, log: Log) -> None:
    """Run batches, and their clips one by one, on ONNX Runtime's CPU.

    Args:
        single: graphs for one clip.
        batched: the same with a batch axis.
        expected: what PyTorch makes of clips, which are taken as inputs.
        log: gets one line for each graph.

    Raises:
        ExportError: a clip gets something else in a batch, or other transitions.
    """
    for part in PARTS:
        inputs = _inputs(part, expected)
        alone, together = _session(single.path(part)), _session(batched.path(part))
        rows = [_run(alone, {name: x[i : i + 1] for name, x in inputs.items()}) for i in range(max(BATCHES))]
        worst = 0.0
        for size in BATCHES:
            found = _run(together, {name: x[:size] for name, x in inputs.items()})
            for name, values in found.items():
                wanted = np.concatenate([row[name] for row in rows[:size]])
                worst = max(worst, _difference(part, name, values, wanted))
        log(f"{part:12}  {worst:9.2g} (limit {LIMIT:g})   ok      batches of {max(BATCHES)} against clips one by one")


def _difference(part: str, name: str, found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Relative difference of one output, within the limit."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise _mixed(part, name, f"{found.dtype} {found.shape} instead of {wanted.dtype} {wanted.shape}")
    if found.dtype.kind == "i":
        if not np.array_equal(found, wanted):
            raise _mixed(part, name, f"{found.tolist()} instead of {wanted.tolist()}")
        return 0.0
    difference = float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-12))
    if not difference <= LIMIT:  # not a number is no number below it
        raise _mixed(part, name, f"{difference:.2g} relative difference (limit {LIMIT})")
    return difference


def _inputs(part: str, expected: Expected) -> Arrays:
    """Inputs of the largest batch."""
    clips = expected.clips[: max(BATCHES)]
    tokens = np.stack([clip.tokens for clip in clips])
    if part == "backbone":
        return {"clip": np.stack([normalise(clip.frames, expected.clip_config) for clip in clips])}
    if part == "segmenter":
        return {"features": np.stack([clip.features for clip in clips])}
    return {"query": tokens, "exemplars": np.roll(tokens, 1, axis=0)}


def _session(path: Path) -> Any:
    ort = require("onnxruntime", "export", "Comparing batches with single clips")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Its last level rearranges only graphs whose shapes are fixed, which rounds differently.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session: Any, inputs: Arrays) -> dict[str, NDArray[Any]]:
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # the exporter fixes an axis that it cannot follow, without a word
        raise ExportError(
            f"a graph does not take such a batch, and nothing was written: {first_line(error)}"
        ) from error


def _mixed(part: str, name: str, what: str) -> ExportError:
    return ExportError(
        f"the {part} with a batch axis does not compute what it does for one clip ({name}: {what}); nothing was written"
    )
