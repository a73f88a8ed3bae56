"""The backbone in two parts, written to a bundle for live streams; ``split`` holds the network."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from mcore.config import ModelConfig
from mcore.network.model import MCoRe
from mcore_export.graphs.folded import lean_backbone
from mcore_export.graphs.half import half_backbone
from mcore_export.graphs.onnx import write_onnx
from mcore_export.graphs.streaming import BackboneHead, BackboneTail, held_frames
from mcore_runtime.bundle.folder import variant_folder
from mcore_runtime.bundle.records import SPLIT_PARTS, Precision, SplitRecord, split_graphs

Say = Callable[[str], None]

TAIL_SHARE = 6
"""The tail is one part in this many of the clip: of 96 frames 16, 0.7 s of a dive, in which the head has to be done. A
tail of 8 is a tenth of a whole pass less work, but leaves slow or busy machines too little time (docs/streaming.md)."""
_LEAST_TAIL = 2


def head_frames_of(config: ModelConfig) -> int | None:
    """How many of a clip's frames the head takes; None: the clip is too short to be split.

    A shorter tail is less work after the last frame, but leaves less time for the head before it.
    """
    frames = config.clip.num_frames
    head = frames - max(_LEAST_TAIL, frames // TAIL_SHARE)
    return head if head > held_frames(config.backbone) else None


def split_modules(model: MCoRe, precision: Precision, head_frames: int) -> tuple[dict[str, nn.Module], int]:
    """Build the two parts as modules.

    Args:
        model: in evaluation mode, float32, on the CPU; not touched.
        precision: ``fp32`` or ``fp16``.
        head_frames: sampled frames that the head takes.

    Returns:
        The modules by part, and how many numbers the head hands over.
    """
    side = model.config.clip.crop_size
    backbone = half_backbone(model) if precision == "fp16" else lean_backbone(model.backbone)
    head = BackboneHead(backbone).eval()
    with torch.no_grad():
        shapes = [part.shape for part in head.parts(torch.zeros(1, 3, head_frames, side, side))]
    modules = (head, BackboneTail(backbone, shapes).eval())
    return dict(zip(SPLIT_PARTS, modules, strict=True)), sum(shape.numel() for shape in shapes)


def write_split(model: MCoRe, folder: Path, opset: int, precision: Precision, say: Say) -> SplitRecord | None:
    """Export the backbone in two parts below the folder of a bundle.

    Args:
        model: in evaluation mode, float32, on the CPU.
        folder: of the bundle.
        opset: ONNX operator set, 17 to 20.
        precision: ``fp32`` or ``fp16``.
        say: gets one line for each file, or the reason why there is none.

    Returns:
        What the manifest says of it; None: the clip is too short to be split.
    """
    config, head_frames = model.config, head_frames_of(model.config)
    if head_frames is None:
        say(
            f"no backbone in two parts: a frame reaches {held_frames(config.backbone)} others each way, and a clip has "
            f"{config.clip.num_frames}"
        )
        return None
    return write_parts(model, folder, opset, precision, head_frames, say)


def write_parts(
    model: MCoRe, folder: Path, opset: int, precision: Precision, head_frames: int, say: Say
) -> SplitRecord:
    """Export both parts for a head of a given size; otherwise as ``write_split``."""
    config = model.config
    modules, state_size = split_modules(model, precision, head_frames)
    records = split_graphs(config, head_frames, state_size, variant_folder(precision))
    for part, record in records.items():
        began = time.perf_counter()
        inputs = tuple(torch.zeros([int(extent) for extent in spec.shape]) for spec in record.inputs)
        write_onnx(modules[part], inputs, record, folder / record.file, opset)
        took, size = time.perf_counter() - began, (folder / record.file).stat().st_size
        say(f"{record.file:20}  {size / 1e6:5.1f} MB  {took:5.1f} s  {precision}, opset {opset}")
    return SplitRecord(head_frames, records)
