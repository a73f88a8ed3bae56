"""From a checkpoint to a bundle, all or nothing: export, compare with PyTorch, encode exemplars, write.

Example:
    >>> export_checkpoint(Path("runs/tiny/best.pt"), Path("bundle"), bank=BankOptions(Path("dives/manifest.jsonl")))
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from mcore.checkpoint import Checkpoint, build_model, read_checkpoint
from mcore.config import ClipConfig
from mcore.errors import UserError
from mcore.model import MCoRe
from mcore.synthetic import render_dive
from mcore.video import crop, normalise, resize_frame, sample_indices
from mcore_export.bank import BankOptions, choose_exemplars, write_bank
from mcore_export.compare import GateLimits, describe_row
from mcore_export.folder import appearing_folder, check_target
from mcore_export.gate import expect_clips, expect_comparison, require_pass, run_gate
from mcore_export.golden import write_golden
from mcore_export.graphs import export_graphs
from mcore_runtime.backends import open_backend
from mcore_runtime.bundle import (
    Bundle,
    BundleManifest,
    CheckpointRecord,
    GraphSet,
    hash_file,
    standard_graphs,
    write_manifest,
)

GATE_DIVES = (("107B", 1001), ("5253B", 1002), ("407C", 1003), ("205B", 1004))
"""Rendered dives (dive number, seed) that the gate compares on; the first is golden, the others its exemplars."""
OPSETS = (17, 20)
_TOOLS = ("mcore-edge", "torch", "onnx", "onnxscript", "numpy")

Say = Callable[[str], None]


@dataclass(frozen=True)
class ExportOptions:
    """What to export and what to allow."""

    opset: int = 18
    """ONNX operator set, 17 to 20."""
    limits: GateLimits = field(default_factory=GateLimits)
    """Most that a graph may differ from PyTorch."""
    overwrite: bool = False
    """Replace a bundle that is already there."""

    def __post_init__(self) -> None:
        if not OPSETS[0] <= self.opset <= OPSETS[1]:
            raise UserError(f"opset {self.opset}; allowed: {OPSETS[0]} to {OPSETS[1]}")


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
        options: opset, limits, overwriting.
        bank: which dives become exemplars; None: the bundle can encode dives but not score them until
            ``add_exemplars`` gives it some.
        say: gets one line for each artefact.

    Returns:
        The bundle, opened from disk.

    Raises:
        UserError: the checkpoint, the list of dives or ``out`` cannot be used.
        ExportError: a graph does not compute what the checkpoint computes.
    """
    options = options or ExportOptions()
    check_target(out, overwrite=options.overwrite)
    records = [] if bank is None else choose_exemplars(bank)
    checkpoint = read_checkpoint(checkpoint_path)
    model = build_model(checkpoint, checkpoint_path)
    with appearing_folder(out) as folder:
        graphs = _write_graphs(model, folder, options.opset, say)
        backend = open_backend(graphs, "onnxruntime")
        try:
            frames = gate_clips(model.config.clip)
            clips = [normalise(clip, model.config.clip) for clip in frames]
            expected = expect_clips(model, clips)
            rows = run_gate(model, backend, expected, options.limits)
            for row in rows:
                say(describe_row(row))
            require_pass(rows)
            others = torch.stack([torch.from_numpy(e.tokens) for e in expected[1:]])  # (clips - 1, 3K, D)
            comparison = expect_comparison(model, torch.from_numpy(expected[0].tokens), others)
            write_golden(folder, frames[0], expected[0], comparison)
            exemplars = None if bank is None else write_bank(backend, model.config.clip, records, bank, folder, say)
        finally:
            backend.close()
        manifest = BundleManifest(
            model=model.config,
            precision=graphs.precision,
            opset=options.opset,
            tools=_tool_versions(),
            graphs=graphs.records,
            checkpoint=_checkpoint_record(checkpoint, checkpoint_path),
            exemplars=exemplars,
            gate=rows,
        )
        write_manifest(folder, manifest)
    return Bundle.open(out)


def gate_clips(config: ClipConfig) -> list[NDArray[np.uint8]]:
    """Render the gate's dives: each (T, c, c, 3) uint8 RGB, centre crop."""
    clips = []
    for dive_number, seed in GATE_DIVES:
        frames = render_dive(dive_number, seed).frames
        indices = sample_indices(len(frames), config.num_frames)
        clips.append(crop(np.stack([resize_frame(frames[i], config) for i in indices]), config))
    return clips


def _write_graphs(model: MCoRe, folder: Path, opset: int, say: Say) -> GraphSet:
    records = standard_graphs(model.config)
    began = time.perf_counter()
    for _, path in export_graphs(model, folder, opset):
        took, began = time.perf_counter() - began, time.perf_counter()
        say(f"{path.name:15}  {path.stat().st_size / 1e6:5.1f} MB  {took:4.1f} s  fp32, opset {opset}")
    return GraphSet(folder, records, dict.fromkeys(records, "fp32"))


def _checkpoint_record(checkpoint: Checkpoint, path: Path) -> CheckpointRecord:
    epoch = checkpoint.extra.get("epoch")
    return CheckpointRecord(path.name, hash_file(path).sha256, epoch if isinstance(epoch, int) else None)


def _tool_versions() -> dict[str, str]:
    # onnxruntime may be installed under another name (onnxruntime-gpu), so ask the module.
    return {name: importlib.metadata.version(name) for name in _TOOLS} | {"onnxruntime": onnxruntime.__version__}
