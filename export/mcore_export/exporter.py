"""From a checkpoint to a bundle, all or nothing: export, compare with PyTorch, encode exemplars, write.

Example:
    >>> export_checkpoint(Path("runs/tiny/best.pt"), Path("bundle"), bank=BankOptions(Path("dives/manifest.jsonl")))
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime
import onnxscript
import torch
from torch import nn

import mcore
from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.typed_json import encode
from mcore.config import DEFAULT_DECODING, GraphDecoding
from mcore.data.manifest import DiveRecord
from mcore.data.trained_dives import recorded_dives
from mcore.evaluation.scoring import COLLAPSED_POINTS
from mcore.network.checkpoint import Checkpoint, build_model, read_checkpoint
from mcore.network.model import MCoRe
from mcore.video.yuv import CONVERSION_VERSION
from mcore_export.backends import parity_backends
from mcore_export.engines.add import EngineOptions, check_engines, write_engines
from mcore_export.exemplars.bank import BankOptions, choose_exemplars, write_banks
from mcore_export.exemplars.conformal import interval_dives
from mcore_export.folder import appearing_folder, check_target
from mcore_export.graphs.cpu_layout import describe_cpu_layout
from mcore_export.graphs.half import ISLANDS
from mcore_export.graphs.onnx import export_graphs, graph_modules
from mcore_export.graphs.streaming_export import write_streaming
from mcore_export.graphs.wide_groups import with_wide_groups
from mcore_export.log import Log
from mcore_export.parity.batched import require_batched_parity
from mcore_export.parity.compare import Expected
from mcore_export.parity.expected import TorchBackend, ValidationOptions, expect, rendered_clips, validation_clips
from mcore_export.parity.golden import write_golden
from mcore_export.parity.limits import DEFAULT_LIMITS
from mcore_export.parity.verify import compare_aloud, compare_with_streaming, require_pass
from mcore_export.quantise.int8 import Int8Graphs
from mcore_export.quantise.variant import check_quantisation_dives, measure_speed, quantisation_clips, quantise_within
from mcore_runtime.bundle.folder import GOLDEN_VIDEO, TRAINED_FILE, Bundle, variant_folder, write_manifest
from mcore_runtime.bundle.manifest import BundleManifest
from mcore_runtime.bundle.records import (
    PARTS,
    CheckpointRecord,
    GraphRecord,
    GraphSet,
    ParityLimits,
    ParityRow,
    Precision,
    VariantRecord,
    batched_graphs,
    hash_file,
    standard_graphs,
)

OPSETS = (17, 20)
TOOLS = {
    "mcore-edge": mcore.__version__,
    "torch": str(torch.__version__),
    "onnx": onnx.__version__,
    "onnxscript": str(onnxscript.__version__),
    "onnxruntime": onnxruntime.__version__,
    "numpy": np.__version__,
}


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export, and the limits of its graphs."""

    precision: Precision = "fp32"
    """Least precision to export; fp32 is always exported too."""
    decoding: GraphDecoding = DEFAULT_DECODING
    """How the graphs find transitions."""
    opset: int = 18
    """ONNX operator set, 17 to 20."""
    limits: ParityLimits | None = None
    """Most that graphs of ``precision`` may differ from PyTorch; None: ``DEFAULT_LIMITS``."""
    validation: ValidationOptions | None = None
    """Real clips to compare on, besides rendered ones."""
    keep_slower: bool = False
    """Write int8 graphs even where they are not faster than fp32 on this machine's CPU."""
    for_cpu: bool = False
    """Export the backbone in the CPU layout: first blocks in tiles of frames, groups as wide as AVX-512; not in fp16
    graphs, which are for GPUs."""
    streaming: bool = True
    """Export the streaming backbone too, with which live streams score sooner after a clip's last frame."""
    batched: bool = False
    """Export fp32 and fp16 graphs with a batch axis too, which servers need."""
    engines: EngineOptions | None = None
    """TensorRT engines to build at once, of ``precision``; None: later, by ``add_engines``."""
    force: bool = False
    """Replace a bundle that is already there."""

    def __post_init__(self) -> None:
        if not OPSETS[0] <= self.opset <= OPSETS[1]:
            raise UserError(f"opset {self.opset}; allowed: {OPSETS[0]} to {OPSETS[1]}")
        if self.for_cpu and self.engines is not None:
            raise UserError("graphs for CPUs and engines for GPUs are two bundles: leave out --for-cpu or --engine")

    def limits_of(self, precision: Precision) -> ParityLimits:
        """Return what a precision's graphs are held to."""
        chosen = self.limits if precision == self.precision else None
        return chosen or DEFAULT_LIMITS[precision]


def export_checkpoint(
    checkpoint_path: Path,
    out: Path,
    options: ExportOptions | None = None,
    *,
    bank: BankOptions | None = None,
    log: Log = lambda line: None,
) -> Bundle:
    """Export a checkpoint's three graphs, prove them, and write a bundle.

    Args:
        checkpoint_path: ours or the published layout.
        out: folder of the bundle; appears whole at the end, or not at all.
        options: precision, opset, limits, overwriting.
        bank: which dives become exemplars; None: the bundle can encode dives but not score them until
            ``add_exemplars`` gives it some.
        log: gets one line for each artefact and each comparison.

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
    records = [] if bank is None else choose_exemplars(bank, log)
    if options.precision == "int8":
        check_quantisation_dives(records)
    checkpoint = read_checkpoint(checkpoint_path)
    _check_stages(checkpoint, checkpoint_path)
    trained = recorded_dives(checkpoint.extra, checkpoint_path)
    interval_records = [] if bank is None else interval_dives(bank.dives, bank.split, trained, checkpoint_path, log)
    model = build_model(checkpoint, checkpoint_path)
    more = [] if options.validation is None else validation_clips(options.validation, model.config.clip)
    with appearing_folder(out) as folder:
        video = folder / GOLDEN_VIDEO
        clips = rendered_clips(model.config.clip, video)
        golden = expect(model, clips, video, options.decoding)
        _check_not_constant(golden, checkpoint_path)
        write_golden(folder, golden)
        write_text(folder / TRAINED_FILE, encode(trained))
        expected = expect(model, [*clips, *more], video, options.decoding) if more else golden
        variants = _write_variants(model, folder, options, expected, records, log)
        sets = {name: GraphSet(folder, v.graphs, v.precision, name) for name, v in variants.items()}
        banks = {} if bank is None else write_banks(sets, model.config, records, interval_records, bank, folder, log)
        manifest = BundleManifest(
            model=model.config,
            opset=options.opset,
            decoding=options.decoding,
            tools=_tools(),
            checkpoint=_checkpoint_record(checkpoint, checkpoint_path),
            trained_on=trained.summary(),
            conversion=CONVERSION_VERSION,
            variants={name: replace(variant, exemplars=banks.get(name)) for name, variant in variants.items()},
        )
        write_manifest(folder, manifest)
        if options.engines is not None:
            write_engines(Bundle.open(folder), replace(options.engines, precision=options.precision), log)
    return Bundle.open(out)


def training_dives(checkpoint_path: Path) -> Path | None:
    """Find the list of dives that a checkpoint of ours was trained on, at its old place or beside the run."""
    data = read_checkpoint(checkpoint_path).extra.get("data")
    if not isinstance(data, dict):
        return None
    # The second is relative to the run, so that a folder with both can be moved or mounted elsewhere.
    bases = {"manifest": Path(), "manifest_relative": checkpoint_path.parent}
    places = [base / str(data[name]) for name, base in bases.items() if name in data]
    found = next((path for path in places if path.is_file()), None)
    if found is None and places:
        print(f"note: the dives this checkpoint was trained on are no longer at {places[0]}")
    return found


def _write_variants(
    model: MCoRe, folder: Path, options: ExportOptions, expected: Expected, records: list[DiveRecord], log: Log
) -> dict[Precision, VariantRecord]:
    """Write the graphs of every precision, each compared with PyTorch before the next is made."""
    fp32 = _write_graphs(model, folder, options, "fp32", log)
    written: dict[Precision, VariantRecord] = {"fp32": _compare(model, fp32, folder, options, expected, log)}
    if options.precision == "fp16":
        kept = tuple(f"{part}: {island}" for part, islands in ISLANDS.items() for island in islands)
        half = _write_graphs(model, folder, options, "fp16", log)
        written["fp16"] = replace(_compare(model, half, folder, options, expected, log), kept=kept)
    if options.precision == "int8":
        int8 = _quantise(model, fp32, options, expected, records, log)
        variant = _compare(model, int8.graphs, folder, options, expected, log)
        speed = measure_speed(fp32, int8.graphs, expected, log, keep_slower=options.keep_slower)
        written["int8"] = replace(variant, kept=int8.describe_float32_layers(), speed=speed)
    return written


def _write_graphs(model: MCoRe, folder: Path, options: ExportOptions, precision: Precision, log: Log) -> GraphSet:
    """Export one precision's graphs, and its streaming backbone where that is wanted."""
    for_cpu = options.for_cpu and precision == "fp32"
    arranged = with_wide_groups(model) if for_cpu else model
    if for_cpu:
        log(describe_cpu_layout(arranged))
    graphs = write_graphs(arranged, folder, options.opset, precision, options.decoding, log, for_cpu=for_cpu)
    if not options.streaming:
        return graphs
    return replace(graphs, streaming=write_streaming(arranged, folder, options.opset, precision, log))


def _quantise(
    model: MCoRe, fp32: GraphSet, options: ExportOptions, expected: Expected, records: list[DiveRecord], log: Log
) -> Int8Graphs:
    """Make int8 graphs from the fp32 ones."""
    clips = quantisation_clips(records, model.config.clip)
    with tempfile.TemporaryDirectory(prefix="mcore-export-") as scratch:
        source = fp32
        if options.for_cpu:
            # A quarter of the bytes gains little from tiles, and each tile's layers would get ranges of their own.
            source = write_graphs(with_wide_groups(model), Path(scratch), options.opset, "fp32", options.decoding)
        limits, for_tensorrt = options.limits_of("int8"), options.engines is not None
        int8 = quantise_within(fp32, clips, expected, limits, log, source=source, for_tensorrt=for_tensorrt)
    return replace(int8, graphs=replace(int8.graphs, for_cpu=options.for_cpu))


def _compare(
    model: MCoRe, graphs: GraphSet, folder: Path, options: ExportOptions, expected: Expected, log: Log
) -> VariantRecord:
    """Compare graphs with PyTorch on every backend of this machine, none of which may disagree, and describe them."""
    precision = cast("Precision", graphs.variant)
    limits = options.limits_of(precision)
    rows: list[ParityRow] = []
    if precision == "fp16":
        rows += compare_aloud(
            TorchBackend(graph_modules(model, "fp16", options.decoding), graphs.precision), expected, limits, log
        )
    for backend in parity_backends(graphs, log):
        with closing(backend):
            rows += compare_with_streaming(backend, graphs, expected, limits, log)
    require_pass(rows)
    variant = VariantRecord(
        graphs.precision, (), graphs.records, None, limits, tuple(rows), (), graphs.streaming, graphs.for_cpu
    )
    if not options.batched or precision == "int8":
        return variant
    return replace(variant, batched=_write_batched(model, graphs, folder, options, expected, log))


def _write_batched(
    model: MCoRe, graphs: GraphSet, folder: Path, options: ExportOptions, expected: Expected, log: Log
) -> dict[str, GraphRecord]:
    """Export one precision's graphs with a batch axis, and hold them to the graphs for one clip."""
    precision = cast("Precision", graphs.variant)
    records = batched_graphs(model.config, variant_folder(precision))
    modules = graph_modules(model, precision, options.decoding, batched=True)
    _export(modules, records, folder, options.opset, precision, log)
    require_batched_parity(graphs, GraphSet(folder, records, graphs.precision, precision), expected, log)
    return records


def write_graphs(
    model: MCoRe,
    folder: Path,
    opset: int,
    precision: Precision,
    decoding: GraphDecoding = DEFAULT_DECODING,
    log: Log = lambda line: None,
    *,
    for_cpu: bool = False,
) -> GraphSet:
    """Export one precision's three graphs below the folder of a bundle; see ``graph_modules``."""
    records = standard_graphs(model.config, variant_folder(precision))
    _export(graph_modules(model, precision, decoding, for_cpu=for_cpu), records, folder, opset, precision, log)
    return GraphSet(folder, records, dict.fromkeys(PARTS, precision), precision, for_cpu=for_cpu)


def _export(
    modules: Mapping[str, nn.Module],
    records: Mapping[str, GraphRecord],
    folder: Path,
    opset: int,
    precision: Precision,
    log: Log,
) -> None:
    began = time.perf_counter()
    for part, path in export_graphs(modules, records, folder, opset):
        took, began = time.perf_counter() - began, time.perf_counter()
        log(f"{records[part].file:20}  {path.stat().st_size / 1e6:5.1f} MB  {took:5.1f} s  {precision}, opset {opset}")


def _check_stages(checkpoint: Checkpoint, path: Path) -> None:
    """Refuse a network that never learned stages: the graphs decode them."""
    training = checkpoint.extra.get("training")
    if isinstance(training, dict) and training.get("stages", "labelled") != "labelled":
        raise UserError(
            f"{path} was trained with --stages {training['stages']}, for comparison only: its logits say nothing, and "
            "the graphs would cut stages by them. Export a network trained with --stages labelled"
        )


def _check_not_constant(expected: Expected, path: Path) -> None:
    """Refuse a network that gives all pairs of dives the same difference: no comparison of it could fail."""
    apart = expected.deltas[~np.eye(len(expected.clips), dtype=bool)]
    if np.ptp(apart) < COLLAPSED_POINTS:
        raise UserError(
            f"{path} predicts {apart.mean():+.3f} points for every pair of eight rendered dives, whatever it sees: its "
            "regressor has collapsed to a constant, and a wrong graph of it would pass for a right one. Train it again "
            "with a lower --learning-rate"
        )


def _tools() -> dict[str, str]:
    """Versions of what made the bundle; OpenVINO only checks it, and only where it is installed."""
    if importlib.util.find_spec("openvino") is None:
        return TOOLS
    return {**TOOLS, "openvino": importlib.metadata.version("openvino")}


def _checkpoint_record(checkpoint: Checkpoint, path: Path) -> CheckpointRecord:
    epoch = checkpoint.extra.get("epoch")
    return CheckpointRecord(path.name, hash_file(path).sha256, epoch if isinstance(epoch, int) else None)
