"""From a checkpoint to a bundle, all or nothing: export, compare with PyTorch, encode exemplars, write.

Example:
    >>> export_checkpoint(Path("runs/tiny/best.pt"), Path("bundle"), bank=BankOptions(Path("dives/manifest.jsonl")))
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxscript
import torch

import mcore
from mcore.checkpoint import Checkpoint, build_model, read_checkpoint
from mcore.errors import UserError
from mcore.model import MCoRe
from mcore_export.add_engines import EngineOptions, write_engines
from mcore_export.backends import gate_backends
from mcore_export.bank import BankOptions, choose_exemplars, write_banks
from mcore_export.compare import DEFAULT_LIMITS, Expected
from mcore_export.folder import appearing_folder, check_target
from mcore_export.gate import TorchBackend, ValidationOptions, expect, rendered_clips, validation_clips
from mcore_export.golden import write_golden
from mcore_export.graphs import export_graphs, graph_modules
from mcore_export.half import ISLANDS
from mcore_export.verify import compare_aloud, require_pass
from mcore_runtime.bundle import Bundle, variant_folder, write_manifest
from mcore_runtime.manifest import (
    PARTS,
    BundleManifest,
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
    engines: EngineOptions | None = None
    """TensorRT engines to build at once; None: later, by ``add_engines``."""
    force: bool = False
    """Replace a bundle that is already there."""

    def __post_init__(self) -> None:
        if not OPSETS[0] <= self.opset <= OPSETS[1]:
            raise UserError(f"opset {self.opset}; allowed: {OPSETS[0]} to {OPSETS[1]}")

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Everything that is exported."""
        return ("fp32",) if self.precision == "fp32" else ("fp32", self.precision)

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
    records = [] if bank is None else choose_exemplars(bank)
    checkpoint = read_checkpoint(checkpoint_path)
    model = build_model(checkpoint, checkpoint_path)
    clips = rendered_clips(model.config.clip)
    more = [] if options.validation is None else validation_clips(options.validation, model.config.clip)
    with appearing_folder(out) as folder:
        golden = expect(model, clips)
        write_golden(folder, golden)
        expected = expect(model, [*clips, *more]) if more else golden
        sets = {name: write_graphs(model, folder, options.opset, name, say) for name in options.precisions}
        gates = {name: _prove(model, graphs, expected, options.limits_of(name), say) for name, graphs in sets.items()}
        banks = {} if bank is None else write_banks(sets, model.config.clip, records, bank, folder, say)
        manifest = BundleManifest(
            model=model.config,
            opset=options.opset,
            tools=TOOLS,
            checkpoint=_checkpoint_record(checkpoint, checkpoint_path),
            variants={
                name: VariantRecord(
                    precision=graphs.precision,
                    kept=_kept(name),
                    graphs=graphs.records,
                    exemplars=banks.get(name),
                    limits=options.limits_of(name),
                    gate=gates[name],
                )
                for name, graphs in sets.items()
            },
        )
        write_manifest(folder, manifest)
        if options.engines is not None:
            write_engines(Bundle.open(folder), options.engines, say)
    return Bundle.open(out)


def write_graphs(model: MCoRe, folder: Path, opset: int, precision: Precision, say: Say) -> GraphSet:
    """Export one precision's three graphs below the folder of a bundle."""
    records = standard_graphs(model.config, variant_folder(precision))
    began = time.perf_counter()
    for part, path in export_graphs(model, records, folder, opset, precision):
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
            rows += compare_aloud(backend, expected, limits, say)
    require_pass(rows)
    return tuple(rows)


def _kept(precision: Precision) -> tuple[str, ...]:
    if precision != "fp16":
        return ()
    return tuple(f"{part}: {island}" for part, islands in ISLANDS.items() for island in islands)


def _checkpoint_record(checkpoint: Checkpoint, path: Path) -> CheckpointRecord:
    epoch = checkpoint.extra.get("epoch")
    return CheckpointRecord(path.name, hash_file(path).sha256, epoch if isinstance(epoch, int) else None)
