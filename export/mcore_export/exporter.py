"""From a checkpoint to a bundle, all or nothing: export, compare with PyTorch, encode exemplars, write.

Example:
    >>> export_checkpoint(Path("runs/tiny/best.pt"), Path("bundle"), bank=BankOptions(Path("dives/manifest.jsonl")))
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime
import onnxscript
import torch

import mcore
from mcore.common.errors import UserError
from mcore.data.manifest import DiveRecord
from mcore.evaluation.scoring import COLLAPSED_POINTS
from mcore.network.checkpoint import Checkpoint, build_model, read_checkpoint
from mcore.network.model import MCoRe
from mcore_export.backends import gate_backends
from mcore_export.engines.add import EngineOptions, check_engines, write_engines
from mcore_export.exemplars.bank import BankOptions, choose_exemplars, write_banks
from mcore_export.folder import appearing_folder, check_target
from mcore_export.graphs.cpu_layout import describe_tiles
from mcore_export.graphs.half import ISLANDS
from mcore_export.graphs.onnx import export_graphs, graph_modules
from mcore_export.graphs.streaming_graphs import write_split
from mcore_export.graphs.wide_groups import widened
from mcore_export.parity.compare import DEFAULT_LIMITS, Expected
from mcore_export.parity.expected import TorchBackend, ValidationOptions, expect, rendered_clips, validation_clips
from mcore_export.parity.golden import write_golden
from mcore_export.parity.verify import compare_aloud, compare_with_split, require_pass
from mcore_export.quantise.variant import calibration_clips, check_calibration, measure_speed, quantise_within
from mcore_runtime.bundle.folder import Bundle, variant_folder, write_manifest
from mcore_runtime.bundle.manifest import BundleManifest
from mcore_runtime.bundle.records import (
    PARTS,
    CheckpointRecord,
    GateLimits,
    GateRow,
    GraphSet,
    Precision,
    VariantRecord,
    hash_file,
    standard_graphs,
)

OPSETS = (17, 20)
TOOLS = {
    "mcore-edge": mcore.__version__,
    "torch": torch.__version__,
    "onnx": onnx.__version__,
    "onnxscript": onnxscript.__version__,
    "onnxruntime": onnxruntime.__version__,
    "numpy": np.__version__,
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class ExportOptions:
    """What to export and what to allow."""

    precision: Precision = "fp32"
    """Least precision to export; fp32 is always exported too."""
    opset: int = 18
    """ONNX operator set, 17 to 20."""
    limits: GateLimits | None = None
    """Most that graphs of ``precision`` may differ from PyTorch; None: ``DEFAULT_LIMITS``."""
    validation: ValidationOptions | None = None
    """Real clips to compare on, besides rendered ones."""
    keep_slower: bool = False
    """Write int8 graphs even where they are not faster than fp32 on this machine's CPU."""
    for_cpu: bool = False
    """Rearrange the backbone for CPUs: first blocks in tiles of frames, groups as wide as AVX-512; not in fp16 graphs,
    which are for GPUs."""
    split: bool = True
    """Export the backbone in two parts too, which live streams use to score sooner after a clip's last frame."""
    engines: EngineOptions | None = None
    """TensorRT engines to build at once, of ``precision`` unless they say another; None: later, by ``add_engines``."""
    force: bool = False
    """Replace a bundle that is already there."""

    def __post_init__(self) -> None:
        if not OPSETS[0] <= self.opset <= OPSETS[1]:
            raise UserError(f"opset {self.opset}; allowed: {OPSETS[0]} to {OPSETS[1]}")
        if self.engines is not None and self.engines.precision not in (None, "fp32", self.precision):
            raise UserError(
                f"engines of {self.engines.precision} graphs, which this export does not make; add "
                f"--{self.engines.precision}, or leave out --precision"
            )
        if self.engines is not None and self.engines.precision is None:
            object.__setattr__(self, "engines", replace(self.engines, precision=self.precision))
        if self.for_cpu and self.engines is not None:
            raise UserError("graphs for CPUs and engines for GPUs are two bundles: leave out --for-cpu or --engine")

    def limits_of(self, precision: Precision) -> GateLimits:
        """Return what a precision's graphs are held to."""
        chosen = self.limits if precision == self.precision else None
        return chosen or DEFAULT_LIMITS[precision]


def export_checkpoint(
    checkpoint_path: Path,
    out: Path,
    options: ExportOptions | None = None,
    *,
    bank: BankOptions | None = None,
    say: Say = lambda line: None,
) -> Bundle:
    """Export a checkpoint's three graphs, prove them, and write a bundle.

    Args:
        checkpoint_path: ours or the published layout.
        out: folder of the bundle; appears whole at the end, or not at all.
        options: precision, opset, limits, overwriting.
        bank: which dives become exemplars; None: the bundle can encode dives but not score them until
            ``add_exemplars`` gives it some.
        say: gets one line for each artefact and each comparison.

    Returns:
        The bundle, opened from disk.

    Raises:
        UserError: the checkpoint, a list of dives or ``out`` cannot be used.
        ExportError: a graph does not compute what the checkpoint computes.
    """
    options = options or ExportOptions()
    check_target(out, force=options.force)
    if options.engines is not None:
        check_engines(options.engines)
    records = [] if bank is None else choose_exemplars(bank)
    if options.precision == "int8":
        check_calibration(records)
    checkpoint = read_checkpoint(checkpoint_path)
    _check_stages(checkpoint, checkpoint_path)
    model = build_model(checkpoint, checkpoint_path)
    clips = rendered_clips(model.config.clip)
    more = [] if options.validation is None else validation_clips(options.validation, model.config.clip)
    with appearing_folder(out) as folder:
        golden = expect(model, clips)
        _check_alive(golden, checkpoint_path)
        write_golden(folder, golden)
        expected = expect(model, [*clips, *more]) if more else golden
        variants = _write_variants(model, folder, options, expected, records, say)
        sets = {name: GraphSet(folder, v.graphs, v.precision, name) for name, v in variants.items()}
        banks = {} if bank is None else write_banks(sets, model.config, records, bank, folder, say)
        manifest = BundleManifest(
            model=model.config,
            opset=options.opset,
            tools=_tools(),
            checkpoint=_checkpoint_record(checkpoint, checkpoint_path),
            variants={name: replace(variant, exemplars=banks.get(name)) for name, variant in variants.items()},
        )
        write_manifest(folder, manifest)
        if options.engines is not None:
            write_engines(Bundle.open(folder), options.engines, say)
    return Bundle.open(out)


def _write_variants(
    model: MCoRe, folder: Path, options: ExportOptions, expected: Expected, records: list[DiveRecord], say: Say
) -> dict[Precision, VariantRecord]:
    """Write the graphs of every precision, each proven before the next is made."""
    arranged = widened(model) if options.for_cpu else model
    if options.for_cpu:
        say(describe_tiles(arranged))
    graphs = _write_graphs(arranged, folder, options, "fp32", say)
    limits = options.limits_of("fp32")
    written = {"fp32": _record(graphs, limits, _prove(model, graphs, expected, limits, say))}
    limits = options.limits_of(options.precision)
    if options.precision == "fp16":
        half = _write_graphs(model, folder, options, "fp16", say)
        kept = tuple(f"{part}: {island}" for part, islands in ISLANDS.items() for island in islands)
        written["fp16"] = _record(half, limits, _prove(model, half, expected, limits, say), kept)
    if options.precision == "int8":
        clips = calibration_clips(records, model.config.clip)
        for_tensorrt = options.engines is not None and options.engines.precision == "int8"
        with tempfile.TemporaryDirectory(prefix="mcore-export-") as scratch:
            # A quarter of the bytes gains little from tiles, and each tile's layers would get ranges of their own.
            whole = write_graphs(arranged, Path(scratch), options.opset, "fp32") if options.for_cpu else graphs
            int8 = quantise_within(graphs, clips, expected, limits, say, source=whole, for_tensorrt=for_tensorrt)
        gate = _prove(model, int8.graphs, expected, limits, say)
        speed = measure_speed(graphs, int8.graphs, expected, say, keep_slower=options.keep_slower)
        int8_graphs = replace(int8.graphs, for_cpu=options.for_cpu)
        written["int8"] = _record(int8_graphs, limits, gate, int8.describe_kept(), speed)
    return cast("dict[Precision, VariantRecord]", written)


def _record(
    graphs: GraphSet,
    limits: GateLimits,
    gate: tuple[GateRow, ...],
    kept: tuple[str, ...] = (),
    speed: tuple[str, ...] = (),
) -> VariantRecord:
    return VariantRecord(
        graphs.precision, kept, graphs.records, None, limits, gate, speed, graphs.split, for_cpu=graphs.for_cpu
    )


def _write_graphs(model: MCoRe, folder: Path, options: ExportOptions, precision: Precision, say: Say) -> GraphSet:
    """Export one precision's graphs, and its backbone in two parts where that is wanted."""
    tiled = options.for_cpu and precision == "fp32"
    graphs = replace(write_graphs(model, folder, options.opset, precision, say, tiled=tiled), for_cpu=tiled)
    if not options.split:
        return graphs
    return replace(graphs, split=write_split(model, folder, options.opset, precision, say))


def write_graphs(
    model: MCoRe,
    folder: Path,
    opset: int,
    precision: Precision,
    say: Say = lambda line: None,
    *,
    tiled: bool = False,
) -> GraphSet:
    """Export one precision's three graphs below the folder of a bundle; tiled as for ``graph_modules``."""
    records = standard_graphs(model.config, variant_folder(precision))
    began = time.perf_counter()
    for part, path in export_graphs(model, records, folder, opset, precision, tiled=tiled):
        took, began = time.perf_counter() - began, time.perf_counter()
        say(f"{records[part].file:20}  {path.stat().st_size / 1e6:5.1f} MB  {took:5.1f} s  {precision}, opset {opset}")
    return GraphSet(folder, records, dict.fromkeys(PARTS, precision), precision)


def _prove(model: MCoRe, graphs: GraphSet, expected: Expected, limits: GateLimits, say: Say) -> tuple[GateRow, ...]:
    """Run the gate on every engine of this machine; none of them may disagree."""
    rows: list[GateRow] = []
    if graphs.variant == "fp16":
        rows += compare_aloud(TorchBackend(graph_modules(model, "fp16"), graphs.precision), expected, limits, say)
    for backend in gate_backends(graphs, say):
        with closing(backend):
            rows += compare_with_split(backend, graphs, expected, limits, say)
    require_pass(rows)
    return tuple(rows)


def _check_stages(checkpoint: Checkpoint, path: Path) -> None:
    """Refuse a network that never learned stages: the graphs decode them."""
    training = checkpoint.extra.get("training")
    if isinstance(training, dict) and training.get("stages", "labelled") != "labelled":
        raise UserError(
            f"{path} was trained with --stages {training['stages']}, for comparison only: its logits say nothing, and "
            "the graphs would cut stages by them. Export a network trained with --stages labelled"
        )


def _check_alive(expected: Expected, path: Path) -> None:
    """Refuse a network that gives all pairs of dives the same difference: no comparison of it could fail."""
    apart = expected.deltas[~np.eye(len(expected.clips), dtype=bool)]
    if np.ptp(apart) < COLLAPSED_POINTS:
        raise UserError(
            f"{path} predicts {apart.mean():+.3f} points for every pair of eight rendered dives, whatever it sees: its "
            "regression is dead, and a wrong graph of it would pass for a right one. Train it again with a lower "
            "--learning-rate"
        )


def _tools() -> dict[str, str]:
    """Versions of what made the bundle; OpenVINO only checks it, and only where it is installed."""
    if importlib.util.find_spec("openvino") is None:
        return TOOLS
    return {**TOOLS, "openvino": importlib.metadata.version("openvino")}


def _checkpoint_record(checkpoint: Checkpoint, path: Path) -> CheckpointRecord:
    epoch = checkpoint.extra.get("epoch")
    return CheckpointRecord(path.name, hash_file(path).sha256, epoch if isinstance(epoch, int) else None)
