"""Shows that graphs with a batch axis give each clip what the bundle's own graphs give it alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import ExportError
from mcore.common.optional import require
from mcore.video import normalise
from mcore_export.parity.compare import Expected
from mcore_runtime.bundle.records import PARTS, GraphSet

CLIPS = 3
"""Clips of the batch: enough for one with a neighbour on each side."""
LIMIT = 1e-2
"""Most that an output may differ, as a share of the largest. Rounding alone reached 0 to 1e-6, because both graphs then
run the same kernels; clips that were mixed, or a frame that came from another clip, differ by tens of percents."""

Arrays = Mapping[str, NDArray[Any]]


def prove_batched(single: GraphSet, batched: GraphSet, expected: Expected, say: Callable[[str], None]) -> None:
    """Run a batch, and its clips one by one, through both on ONNX Runtime's CPU.

    Args:
        single: graphs of a bundle.
        batched: from ``write_batched``.
        expected: the bundle's golden values, whose clips are taken.
        say: gets one line for each graph.

    Raises:
        ExportError: a batch gives something else, or other transitions.
        MissingDependencyError: onnxruntime is not installed.
    """
    for part, (batch, alone) in _cases(expected).items():
        one, many = _session(single.path(part)), _session(batched.path(part))
        apart = [_run(one, inputs) for inputs in alone]
        together = _run(many, batch)
        difference = 0.0
        for name, values in together.items():
            reference = np.concatenate([outputs[name] for outputs in apart])
            if values.shape != reference.shape or (values.dtype.kind == "i" and not np.array_equal(values, reference)):
                raise _broken(part, name, "another result")
            difference = max(difference, float(np.abs(values - reference).max() / (np.abs(reference).max() or 1.0)))
            if not difference <= LIMIT:  # not a number is none either
                raise _broken(part, name, f"{difference:.2g} relative difference (limit {LIMIT})")
        say(f"{part:10} {difference:.1g} relative difference between a batch and its clips one by one")


def _cases(expected: Expected) -> dict[str, tuple[Arrays, Sequence[Arrays]]]:
    """Inputs of a batch, and the same ones one by one, by part."""
    clips = expected.clips[:CLIPS]
    pixels = np.stack([normalise(clip.frames, expected.clip_config) for clip in clips])
    features = np.stack([clip.features for clip in clips])
    tokens = np.stack([clip.tokens for clip in clips])
    others = np.roll(tokens, 1, axis=0)
    cases = {
        "backbone": {"clip": pixels},
        "segmenter": {"features": features},
        "regressor": {"query": tokens, "exemplars": others},
    }
    return {
        part: (batch, [{name: values[i : i + 1] for name, values in batch.items()} for i in range(len(clips))])
        for part, batch in ((part, cases[part]) for part in PARTS)
    }


def _session(path: Path) -> Any:
    ort = require("onnxruntime", "triton", "Comparing batches with single clips")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Its last level rearranges only graphs whose shapes are fixed, which rounds differently.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session: Any, inputs: Arrays) -> dict[str, NDArray[Any]]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _broken(part: str, name: str, what: str) -> ExportError:
    return ExportError(
        f"the {part} with a batch axis does not compute what it does for one clip ({name}: {what}); nothing was written"
    )
