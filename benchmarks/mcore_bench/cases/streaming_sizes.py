"""Sizes of the streaming backbone's suffix, timed against the whole backbone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro

from mcore.common.errors import UserError
from mcore.network.checkpoint import load_checkpoint
from mcore.network.model import MCoRe
from mcore_bench.output import JsonFile, begin_result, finish_result
from mcore_bench.timing import Call, TimingGroup, TimingSettings, compare
from mcore_export.backends import cpu_backends
from mcore_export.graphs.folded import folded_backbone
from mcore_export.graphs.onnx import write_onnx
from mcore_export.graphs.streaming import held_frames
from mcore_export.graphs.streaming_export import write_parts
from mcore_runtime.backends.streaming import STREAMING_BACKENDS, StreamingBackbone, open_graphs, open_streaming
from mcore_runtime.bundle.records import GraphSet, standard_graphs

_WHOLE = "whole clip"


@dataclass(frozen=True)
class StreamingSizesArguments(JsonFile):
    """Time the streaming backbone for several sizes of its suffix, against the whole backbone.

        mcore-bench streaming-sizes runs/first/best.pt --suffixes 8 12 16 24 --threads 2

    All graphs are exported anew and have their turns in the same rounds.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Checkpoint, ours or the published layout."""
    suffixes: tuple[int, ...] = (8, 12, 16, 24)
    """Sampled frames of the suffix."""
    settings: tyro.conf.OmitArgPrefixes[TimingSettings] = field(
        default_factory=lambda: TimingSettings(runs=12, seconds=0.0)
    )
    """Duration of the measurement."""
    threads: int | None = None
    """CPU threads; default: the backend's choice."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.suffixes:
            raise UserError("no sizes to measure: give at least one with --suffixes")


def measure_streaming_sizes(arguments: StreamingSizesArguments) -> int:
    """Run ``mcore-bench streaming-sizes``."""
    model = load_checkpoint(arguments.checkpoint)
    check_suffixes(model, arguments.suffixes)
    result = begin_result("Sizes of the streaming backbone's suffix", threads=arguments.threads or 0)
    with tempfile.TemporaryDirectory(prefix="mcore-bench-") as folder:
        graphs = write_graphs(model, Path(folder), arguments.suffixes)
        groups = tuple(
            measure(graphs, backend, arguments.settings, arguments.threads)
            for backend in cpu_backends()
            if backend in STREAMING_BACKENDS
        )
    finish_result(replace(result, groups=groups), arguments.json)
    return 0


def check_suffixes(model: MCoRe, suffixes: Sequence[int]) -> None:
    """Raise UserError where the first part would finish no frame, or the second would have none."""
    most = model.config.clip.num_frames - held_frames(model.config.backbone) - 1
    if wrong := [size for size in suffixes if not 1 < size <= most]:
        raise UserError(f"suffixes of {', '.join(map(str, wrong))} frames; this network allows 2 to {most}")


def write_graphs(model: MCoRe, folder: Path, suffixes: Sequence[int]) -> dict[str, GraphSet]:
    """Export the whole backbone, and its two parts for every size."""
    config, record = model.config, standard_graphs(model.config)["backbone"]
    inputs = (torch.zeros(1, 3, config.clip.num_frames, config.clip.crop_size, config.clip.crop_size),)
    write_onnx(folded_backbone(model.backbone), inputs, record, folder / record.file, 18)
    graphs = {_WHOLE: GraphSet(folder, {"backbone": record}, {"backbone": "fp32"})}
    for size in suffixes:
        below = folder / f"suffix{size}"
        below.mkdir()
        streaming = write_parts(model, below, 18, "fp32", config.clip.num_frames - size, lambda line: None)
        graphs[f"two parts, suffix of {size}"] = GraphSet(below, {}, {}, streaming=streaming)
    return graphs


def measure(graphs: Mapping[str, GraphSet], backend: str, settings: TimingSettings, threads: int | None) -> TimingGroup:
    """Run every graph in turns on noise; of two parts the second alone, which a score waits for, and both."""
    rng = np.random.default_rng(0)

    def noise(shape: Sequence[int | str]) -> Any:
        return rng.standard_normal([int(extent) for extent in shape], np.float32)

    with ExitStack() as stack:
        calls: dict[str, Call] = {}
        for name, each in graphs.items():
            if each.streaming is None:
                opened = stack.enter_context(closing(open_graphs(each.folder, each.records, backend, threads)))
                inputs = {"clip": noise(each.records["backbone"].inputs[0].shape)}
                calls[name] = partial(opened.run, "backbone", inputs, ["features"])
                continue
            parts = stack.enter_context(closing(open_streaming(each, backend, threads=threads)))
            first = noise(each.streaming.graphs["backbone_prefix"].inputs[0].shape)
            rest = [noise(tensor.shape) for tensor in each.streaming.graphs["backbone_suffix"].inputs]
            calls[f"{name}: suffix"] = partial(parts.suffix, *rest)
            calls[f"{name}: both"] = partial(_both, parts, first, rest)
        return compare(f"backbone in parts, {backend}", calls, settings, baseline=_WHOLE)


def _both(parts: StreamingBackbone, first: Any, rest: Sequence[Any]) -> None:
    parts.prefix(first)
    parts.suffix(*rest)
