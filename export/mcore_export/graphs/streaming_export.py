"""Export of the streaming backbone; ``streaming`` holds the network."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import nn

from mcore.config import ModelConfig
from mcore.network.model import MCoRe
from mcore_export.graphs.folded import folded_backbone
from mcore_export.graphs.half import half_backbone
from mcore_export.graphs.onnx import write_onnx
from mcore_export.graphs.streaming import BackbonePrefix, BackboneSuffix, held_frames
from mcore_export.log import Log
from mcore_runtime.bundle.folder import variant_folder
from mcore_runtime.bundle.records import STREAMING_PARTS, Precision, StreamingRecord, streaming_graphs

SUFFIX_SHARE = 6
"""The suffix is one part in this many of the clip: of 96 frames 16, 0.7 s of a dive, in which the prefix has to be
done. A suffix of 8 is a tenth of a whole pass less work, but leaves slow or busy machines too little time."""
MIN_SUFFIX_FRAMES = 2


def prefix_frames_of(config: ModelConfig) -> int | None:
    """Return the number of a clip's frames that the prefix takes; None: the clip is too short.

    A shorter suffix is less work after the last frame, but leaves less time for the prefix before it.
    """
    frames = config.clip.num_frames
    prefix = frames - max(MIN_SUFFIX_FRAMES, frames // SUFFIX_SHARE)
    return prefix if prefix > held_frames(config.backbone) else None


def streaming_modules(model: MCoRe, precision: Precision, prefix_frames: int) -> tuple[dict[str, nn.Module], int]:
    """Build the two parts as modules.

    Args:
        model: in evaluation mode, float32, on the CPU; not touched.
        precision: ``fp32`` or ``fp16``.
        prefix_frames: sampled frames that the prefix takes.

    Returns:
        The modules by part, and how many numbers the prefix hands over.
    """
    side = model.config.clip.crop_size
    backbone = half_backbone(model) if precision == "fp16" else folded_backbone(model.backbone)
    prefix = BackbonePrefix(backbone).eval()
    with torch.no_grad():
        shapes = [part.shape for part in prefix.parts(torch.zeros(1, 3, prefix_frames, side, side))]
    modules = (prefix, BackboneSuffix(backbone, shapes).eval())
    return dict(zip(STREAMING_PARTS, modules, strict=True)), sum(shape.numel() for shape in shapes)


def write_streaming(model: MCoRe, folder: Path, opset: int, precision: Precision, log: Log) -> StreamingRecord | None:
    """Export prefix and suffix below the folder of a bundle.

    Args:
        model: in evaluation mode, float32, on the CPU.
        folder: of the bundle.
        opset: ONNX operator set, 17 to 20.
        precision: ``fp32`` or ``fp16``.
        log: gets one line for each file, or the reason why there is none.

    Returns:
        What the manifest says of it; None: the clip is too short.
    """
    config, prefix_frames = model.config, prefix_frames_of(model.config)
    if prefix_frames is None:
        log(
            f"no streaming backbone: a frame reaches {held_frames(config.backbone)} others each way, and a clip has "
            f"{config.clip.num_frames}"
        )
        return None
    return write_parts(model, folder, opset, precision, prefix_frames, log)


def write_parts(
    model: MCoRe, folder: Path, opset: int, precision: Precision, prefix_frames: int, log: Log
) -> StreamingRecord:
    """Export both parts for a prefix of a given size; otherwise as ``write_streaming``."""
    config = model.config
    modules, state_size = streaming_modules(model, precision, prefix_frames)
    records = streaming_graphs(config, prefix_frames, state_size, variant_folder(precision))
    for part, record in records.items():
        began = time.perf_counter()
        inputs = tuple(torch.zeros([int(extent) for extent in spec.shape]) for spec in record.inputs)
        write_onnx(modules[part], inputs, record, folder / record.file, opset)
        took, size = time.perf_counter() - began, (folder / record.file).stat().st_size
        log(f"{record.file:20}  {size / 1e6:5.1f} MB  {took:5.1f} s  {precision}, opset {opset}")
    return StreamingRecord(prefix_frames, records)
