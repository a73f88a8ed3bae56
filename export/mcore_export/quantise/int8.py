"""Eight-bit graphs from float32 ones: ranges from real clips, and no further than accuracy allows.

Only the backbone is quantised, which is nine tenths of the time; segmenter and regressor stay float32. If the graph
with every convolution in int8 is not accurate enough, each convolution is quantised alone to learn what it costs,
and the costliest ones stay float32, as few as possible. Nothing here needs torch.

Time, full size, two busy cores: ranges take 1 s a clip by minmax, 1.4 s by entropy and 3 s by percentile (and 1.2 GB);
quantising each of 83 convolutions alone took 144 s, and is done only where not all of them may be int8;
``check_parity`` then runs at most 1 + 2 log2(convolutions) times, else once. Beyond 8 clips ranges hardly changed.

Example:
    >>> result = quantise(bundle.graphs("fp32"), folder, clips, check_parity, log=print)
    >>> result.graphs.precision["backbone"]
    'int8 (14 of 83 convolutions fp32)'
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from mcore.common.errors import ExportError, UserError
from mcore.common.optional import require
from mcore_export.folder import appearing_folder
from mcore_export.log import Log
from mcore_export.quantise.qdq import (
    METHODS,
    Activations,
    Convolution,
    FloatArray,
    Method,
    convolutions,
    insert_pairs,
    load_graph,
    observe_ranges,
)
from mcore_runtime.bundle.records import PARTS, GraphSet, Precision

VARIANT: Precision = "int8"
_QUANTISED = "backbone"
_HELD_OUT = 4
"""Every how many-th clip gives no ranges, but compares features."""


@dataclass(frozen=True)
class ParityVerdict:
    """Verdict of the caller's comparison on a set of graphs."""

    passed: bool
    """Whether every limit holds."""
    summary: str
    """The figures in a line, such as ``0.31 points, SRCC 0.9998, 1 of 64 transitions flipped``."""


@dataclass(frozen=True)
class LayerError:
    """Error of the features by one convolution in int8."""

    name: str
    """Layer, as in the checkpoint: ``blocks.0.conv1``."""
    error: float
    """Relative L2 error of the features when it alone is int8."""


@dataclass(frozen=True)
class Int8Graphs:
    """Result of a quantisation."""

    graphs: GraphSet
    """Variant ``int8``; files below ``int8/``."""
    method: Method
    """Way of choosing ranges."""
    feature_error: float
    """Relative L2 error of the features, on clips that gave no ranges."""
    num_convolutions: int
    kept: tuple[LayerError, ...]
    """Convolutions that stayed float32, the costliest first."""
    verdict: ParityVerdict
    """Verdict of the comparison on these graphs."""

    def describe_float32_layers(self) -> tuple[str, ...]:
        """Return one line for each convolution and part that stayed float32, for the manifest."""
        layers = (f"{layer.name}: alone in int8 it moves features by {layer.error:.2%}" for layer in self.kept)
        return (*layers, "segmenter and regressor: a tenth of the time, so there is little to win")


def quantise(
    graphs: GraphSet,
    folder: Path,
    clips: Sequence[FloatArray],
    check_parity: Callable[[GraphSet], ParityVerdict],
    *,
    activations: Activations = "uint8",
    methods: Sequence[Method] = METHODS,
    log: Log = lambda line: None,
) -> Int8Graphs:
    """Make int8 graphs within the limits, with as many convolutions in int8 as they allow.

    Args:
        graphs: the float32 graphs.
        folder: of the bundle; ``int8`` appears in it whole at the end, or not at all.
        clips: (3, T, c, c) float32 as the network sees them, at least two; training clips, because what
            accuracy is reported on must not give ranges. Every fourth is held out to compare features.
        check_parity: runs a set of graphs against the checkpoint; on every backend that will run them, because backends
            differ in how they compute the same int8 graph.
        activations: ``uint8`` has half the error, for ONNX Runtime and OpenVINO; ``int8`` is what TensorRT reads.
        methods: ways to choose ranges; the one with the smallest error of the features is taken.
        log: gets one line for each step.

    Raises:
        ExportError: not accurate enough even with a single convolution in int8.
        UserError: too few clips.
    """
    if len(clips) < 2:
        raise UserError(f"{len(clips)} clips to take ranges from; at least 2, better 16 or more, of the training split")
    with appearing_folder(folder / VARIANT) as new:
        search = _Search(graphs, new, clips, check_parity, activations, methods, log)
        kept, verdict = search.run()
        method, error = search.method, search.features_error(search.quantised(kept))
    trial = search.graphs
    records = {part: dataclasses.replace(trial.records[part], file=f"{VARIANT}/{part}.onnx") for part in PARTS}
    result = GraphSet(folder, records, trial.precision, VARIANT)
    total = len(search.layers)
    return Int8Graphs(result, method, error, total, search.errors(kept), verdict)


class _Search:
    """The trials: files are written to one folder, over and over, until a set of graphs passes."""

    def __init__(
        self,
        source: GraphSet,
        folder: Path,
        clips: Sequence[FloatArray],
        check_parity: Callable[[GraphSet], ParityVerdict],
        activations: Activations,
        methods: Sequence[Method],
        log: Log,
    ) -> None:
        records = {part: dataclasses.replace(source.records[part], file=f"{part}.onnx") for part in PARTS}
        self.graphs = GraphSet(folder, records, dict(source.precision), VARIANT)
        for part in PARTS:
            shutil.copyfile(source.path(part), self.graphs.path(part))
        self.model = load_graph(source.path(_QUANTISED))
        self.layers = convolutions(self.model)
        if not self.layers:
            raise ExportError(f"the {_QUANTISED} has no convolution, so there is nothing to quantise")
        self._source, self._check_parity, self._log = source.path(_QUANTISED), check_parity, log
        self._activations = activations
        self._seen = [clip for i, clip in enumerate(clips) if i % _HELD_OUT != 1]
        self._held_out = [clip for i, clip in enumerate(clips) if i % _HELD_OUT == 1]
        self._expected = _features(self.model, self._held_out)
        self._alone: dict[str, float] = {}
        self.method, self._ranges = self._observe(methods)

    def run(self) -> tuple[list[Convolution], ParityVerdict]:
        """Find the shortest list of costliest layers that must stay float32; its graphs are then in the folder."""
        verdict = self._try([])
        if verdict.passed:
            return [], verdict
        ranked, all_int8 = self._rank(), verdict
        # 1, 2, 4, ... layers in float32 until all limits hold, then bisection: more of them are taken for no worse.
        # What is returned has been tried and has passed.
        failed, passed = 0, min(1, len(ranked) - 1)
        while passed > failed and not (verdict := self._try(ranked[:passed])).passed:
            failed, passed = passed, min(2 * passed, len(ranked) - 1)
        if not verdict.passed:
            raise ExportError(self._failure_message(ranked, all_int8, verdict))
        best = verdict
        while passed - failed > 1:
            middle = (failed + passed) // 2
            verdict = self._try(ranked[:middle])
            if verdict.passed:
                passed, best = middle, verdict
            else:
                failed = middle
        self._write(ranked[:passed])
        return ranked[:passed], best

    def quantised(self, kept: Collection[Convolution]) -> onnx.ModelProto:
        """The backbone with all but some convolutions in int8."""
        names = {layer.node for layer in self.layers} - {layer.node for layer in kept}
        return insert_pairs(self.model, self._ranges, names, self._activations)

    def features_error(self, model: onnx.ModelProto) -> float:
        """Relative L2 error of the features of the clips that were held out."""
        found = _features(model, self._held_out)
        return float(np.linalg.norm(found - self._expected) / max(float(np.linalg.norm(self._expected)), 1e-12))

    def errors(self, layers: Sequence[Convolution]) -> tuple[LayerError, ...]:
        """Return the measured errors of some layers."""
        return tuple(LayerError(layer.name, self._alone[layer.node]) for layer in layers)

    def _observe(self, methods: Sequence[Method]) -> tuple[Method, object]:
        found = {}
        names = [layer.node for layer in self.layers]
        for method in methods:
            ranges = observe_ranges(self._source, self._seen, method)
            error = self.features_error(insert_pairs(self.model, ranges, names, self._activations))
            found[method] = error, ranges
            self._log(f"int8 ranges by {method} on {len(self._seen)} clips: features off by {error:.2%}")
        best = min(found, key=lambda method: found[method][0])
        return best, found[best][1]

    def _rank(self) -> list[Convolution]:
        """Quantise each layer alone; the costliest first."""
        for layer in self.layers:
            model = insert_pairs(self.model, self._ranges, [layer.node], self._activations)
            self._alone[layer.node] = self.features_error(model)
        ranked = sorted(self.layers, key=lambda layer: -self._alone[layer.node])
        worst = ", ".join(f"{layer.name} {self._alone[layer.node]:.2%}" for layer in ranked[:3])
        self._log(f"int8 one convolution at a time, features off by: {worst}, ...")
        return ranked

    def _try(self, kept: Sequence[Convolution]) -> ParityVerdict:
        self._write(kept)
        verdict = self._check_parity(self.graphs)
        outcome = "passes" if verdict.passed else "fails"
        self._log(f"int8 with {len(kept)} of {len(self.layers)} convolutions in fp32 {outcome}: {verdict.summary}")
        return verdict

    def _write(self, kept: Sequence[Convolution]) -> None:
        onnx.save(self.quantised(kept), str(self.graphs.path(_QUANTISED)))
        precision = f"{VARIANT} ({len(kept)} of {len(self.layers)} convolutions fp32)" if kept else VARIANT
        self.graphs = dataclasses.replace(self.graphs, precision={**self.graphs.precision, _QUANTISED: precision})

    def _failure_message(
        self, ranked: Sequence[Convolution], all_int8: ParityVerdict, least_int8: ParityVerdict
    ) -> str:
        worst = ", ".join(f"{layer.name} ({self._alone[layer.node]:.2%})" for layer in ranked[:5])
        return (
            f"the {_QUANTISED} cannot be int8 within the limits, so no int8 graphs were written: with all "
            f"{len(ranked)} convolutions in int8 {all_int8.summary}; with only the most harmless one, "
            f"{ranked[-1].name}, {least_int8.summary}. Costliest for the features: {worst}. Use --fp16, or "
            "give more training clips like those it will see"
        )


def _features(model: onnx.ModelProto, clips: Sequence[FloatArray]) -> FloatArray:
    """Features (clips, T, D) as ONNX Runtime computes them, which computes them in the types that the graph names."""
    ort = require("onnxruntime", "export", "Exporting int8 graphs")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: FloatArray = np.concatenate([session.run(["features"], {"clip": clip[None]})[0] for clip in clips])
    return found
