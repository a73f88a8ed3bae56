"""Eight bits as a variant of a bundle: quantised on training clips, held to its limits, kept only if it is faster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from mcore.common.errors import ExportError, UserError
from mcore.config import ClipConfig
from mcore.data.manifest import DiveRecord
from mcore.video import normalise, read_clip
from mcore_export.backends import cpu_backends, parity_backends
from mcore_export.log import Log
from mcore_export.parity.compare import CHAIN, Expected, FloatArray, compare
from mcore_export.quantise.int8 import Int8Graphs, ParityVerdict, quantise
from mcore_export.quantise.qdq import Activations
from mcore_export.speed import SpeedRow, compare_speed
from mcore_runtime.backends import open_backend
from mcore_runtime.bundle.records import PARTS, GraphSet, ParityLimits, ParityRow

QUANTISATION_CLIPS = 8
"""Clips that ranges are taken from; 24 gave the same error of the features (docs/explanation/decisions/export.md)."""
SPEED_EXEMPLARS = 10
"""Exemplars that a clip is compared with when speed is measured: the published number."""


def check_quantisation_dives(records: Sequence[DiveRecord]) -> None:
    """Refuse to quantise without training dives; cheap, so do it before exporting.

    Raises:
        UserError: there are fewer than two.
    """
    if len(records) < 2:
        raise UserError(
            "int8 takes the ranges of its activations from at least 2 of the dives that become exemplars, and "
            f"has {len(records)}: say which with --exemplars DIVES.jsonl"
        )


def quantisation_clips(records: Sequence[DiveRecord], config: ClipConfig) -> list[FloatArray]:
    """Read training clips, (3, T, c, c) each, spread evenly over a list that ``check_quantisation_dives`` accepted.

    Raises:
        ClipError: a video cannot be read.
    """
    picked = np.linspace(0, len(records) - 1, min(QUANTISATION_CLIPS, len(records))).round().astype(int)
    return [read_clip(r.path, config, start_s=r.start_s, end_s=r.end_s) for r in (records[i] for i in picked)]


def quantise_within(
    graphs: GraphSet,
    clips: Sequence[FloatArray],
    expected: Expected,
    limits: ParityLimits,
    log: Log,
    *,
    source: GraphSet,
    for_tensorrt: bool,
) -> Int8Graphs:
    """Quantise as many convolutions as the limits allow on every backend of this machine.

    Args:
        graphs: the bundle's fp32 graphs; the int8 ones share those that are not quantised, as files.
        clips: training clips.
        expected: what PyTorch makes of other clips.
        limits: what is allowed.
        log: gets one line for each step.
        source: the fp32 graphs to quantise: the bundle's, or the same ones without tiles.
        for_tensorrt: signed activations, which TensorRT reads; unsigned ones have half the error.

    Raises:
        ExportError: not accurate enough even with one.
        UserError: too few clips.
    """

    def check_parity(trial: GraphSet) -> ParityVerdict:
        rows: list[ParityRow] = []
        for backend in parity_backends(trial, lambda line: None):
            with closing(backend):
                rows += compare(backend, expected, limits)
        return ParityVerdict(all(row.passed for row in rows), _summary(rows))

    activations: Activations = "int8" if for_tensorrt else "uint8"
    made = quantise(source, graphs.folder, clips, check_parity, activations=activations, log=log)
    copies = [part for part in PARTS if made.graphs.precision[part] == graphs.precision[part]]
    for part in copies:
        made.graphs.path(part).unlink()
    records = {**made.graphs.records, **{part: graphs.records[part] for part in copies}}
    return replace(made, graphs=replace(made.graphs, records=records))


def measure_speed(
    fp32: GraphSet, int8: GraphSet, expected: Expected, log: Log, *, keep_slower: bool
) -> tuple[str, ...]:
    """Time int8 against fp32 in turns, on each backend of this machine's CPU.

    Returns:
        One line for each engine and part, for the manifest.

    Raises:
        ExportError: int8 is not the faster one on any of them, and ``keep_slower`` is not set.
    """
    clip = normalise(expected.clips[0].frames, expected.clip_config)
    exemplars = np.resize(expected.tokens, (SPEED_EXEMPLARS, *expected.tokens.shape[1:]))
    rows: list[SpeedRow] = []
    for name in cpu_backends():
        with closing(open_backend(fp32, name)) as before, closing(open_backend(int8, name)) as after:
            rows += compare_speed(before, after, clip, exemplars)
    lines = tuple(row.text for row in rows)
    for line in lines:
        log(line)
    if not keep_slower and not any(row.faster for row in rows if row.part == CHAIN):
        raise ExportError(
            f"int8 is not faster than fp32 on this machine ({'; '.join(lines)}), so nothing was written. Use fp32 or "
            "--fp16, or keep the int8 graphs for another device with: --keep-slower"
        )
    return lines


def _summary(rows: Sequence[ParityRow]) -> str:
    def worst(measure: str) -> float:
        return max(row.figure for row in rows if row.measure == measure)

    srcc = min(row.figure for row in rows if row.measure == "srcc")
    return f"{worst('score_max'):.2g} points, SRCC {srcc:.5f}, {worst('flips'):.0%} of transitions flipped"
