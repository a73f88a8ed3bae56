"""Measure where a backbone is best cut in two, and what other ways to compute a clip piece by piece would cost.

    python -m mcore_bench.split_sizes runs/first/best.pt --tails 8 12 16 24 --threads 2

All graphs are run in turns, so that their ratios hold whatever else the machine does. Two other ways are measured by
the least that they would take: a single graph for equal chunks with a state still has to push the frames that a clip's
end holds back through every block, and windows without a state overlap by these frames on both sides.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore.network.checkpoint import build_model, read_checkpoint
from mcore.network.model import MCoRe
from mcore_export.backends import cpu_backends
from mcore_export.graphs.folded import folded_backbone
from mcore_export.graphs.onnx import write_onnx
from mcore_export.graphs.streaming import held_frames
from mcore_export.graphs.streaming_export import write_parts
from mcore_export.speed import in_turns
from mcore_runtime.backends.streaming import STREAMING_BACKENDS, open_graphs, open_streaming
from mcore_runtime.bundle.records import GraphRecord, GraphSet, standard_graphs

Calls = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class SizesArguments:
    """Time a backbone in two parts for several sizes of the second, against the whole and against other ways."""

    checkpoint: tyro.conf.Positional[Path]
    """Ours or published."""
    tails: tuple[int, ...] = (8, 12, 16, 24)
    """Sampled frames of the second part."""
    rounds: int = 12
    """How often each graph has its turn."""
    threads: int | None = None
    """CPU threads; default: the engine's choice."""

    def __post_init__(self) -> None:
        if self.rounds < 4 or not self.tails:
            raise UserError(f"{self.rounds} rounds of {len(self.tails)} sizes; at least 4 rounds of one size")


def check_tails(model: MCoRe, tails: Sequence[int]) -> None:
    """Raise UserError where a head would finish no frame, or a tail would have none."""
    most = model.config.clip.num_frames - held_frames(model.config.backbone) - 1
    if wrong := [tail for tail in tails if not 1 < tail <= most]:
        raise UserError(f"tails of {', '.join(map(str, wrong))} frames; this network allows 2 to {most}")


def write_graphs(model: MCoRe, folder: Path, tails: Sequence[int]) -> dict[str, GraphSet]:
    """Export the whole backbone, its two parts for every tail, and shorter clips that stand for the other ways."""
    config, held = model.config, held_frames(model.config.backbone)
    standard = standard_graphs(config)["backbone"]

    def clip_of(frames: int) -> GraphSet:
        (clip,), (features,) = standard.inputs, standard.outputs
        record = GraphRecord(
            f"clip{frames}.onnx",
            (replace(clip, shape=(1, 3, frames, *clip.shape[3:])),),
            (replace(features, shape=(1, frames, features.shape[2])),),
        )
        inputs = (torch.zeros(1, 3, frames, config.clip.crop_size, config.clip.crop_size),)
        write_onnx(folded_backbone(model.backbone), inputs, record, folder / record.file, 18)
        return GraphSet(folder, {"backbone": record}, {"backbone": "fp32"})

    graphs = {"whole clip": clip_of(config.clip.num_frames)}
    for tail in tails:
        below = folder / f"tail{tail}"
        below.mkdir()
        split = write_parts(model, below, 18, "fp32", config.clip.num_frames - tail, lambda line: None)
        graphs[f"two parts, tail of {tail}"] = GraphSet(below, {}, {}, streaming=split)
    smallest = min(tails)
    graphs[f"chunk that ends a clip with {smallest} new frames"] = clip_of(held + smallest)
    graphs[f"window that ends a clip with {smallest} new frames"] = clip_of(2 * held + smallest)
    return graphs


def measure(
    graphs: Mapping[str, GraphSet], backend: str, rounds: int, threads: int | None
) -> dict[str, NDArray[np.float32]]:
    """Run every graph in turns on noise: milliseconds of each round, by name; parts end in ``head`` and ``tail``."""
    rng = np.random.default_rng(0)

    def noise(shape: Sequence[int | str]) -> NDArray[np.float32]:
        return rng.standard_normal([int(extent) for extent in shape], np.float32)

    with ExitStack() as stack:
        calls: Calls = {}
        for name, each in graphs.items():
            if each.streaming is not None:
                parts = stack.enter_context(closing(open_streaming(each, backend, threads=threads)))
                first, (last, state) = (
                    each.streaming.graphs["backbone_prefix"].inputs[0],
                    each.streaming.graphs["backbone_suffix"].inputs,
                )
                calls[f"{name}: head"] = _call(parts.prefix, noise(first.shape))
                calls[f"{name}: tail"] = _call(parts.suffix, noise(last.shape), noise(state.shape))
            else:
                opened = stack.enter_context(closing(open_graphs(each.folder, each.records, backend, threads)))
                inputs = {"clip": noise(each.records["backbone"].inputs[0].shape)}
                calls[name] = _call(opened.run, "backbone", inputs, ["features"])
        times_ms = in_turns(calls, rounds)
    for name in (name for name, each in graphs.items() if each.streaming is not None):
        times_ms[f"{name}: both"] = times_ms[f"{name}: head"] + times_ms[f"{name}: tail"]
    return times_ms


def _call(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def table(times_ms: Mapping[str, NDArray[np.float32]], title: str) -> Table:
    """Each graph's median, and its share of the whole clip's time in the same round."""
    shown = Table("graph", title=title)
    shown.add_column("median ms", justify="right")
    shown.add_column("share of a whole pass [quartiles]", justify="right")
    whole = times_ms["whole clip"]
    for name, times in times_ms.items():
        low, share, high = np.percentile(times / whole, (25, 50, 75))
        shown.add_row(name, f"{np.median(times):.0f}", f"{share:.2f} [{low:.2f}, {high:.2f}]")
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(
        lambda: _run(
            tyro.cli(
                SizesArguments, prog="python -m mcore_bench.split_sizes", args=argv, description=description(__doc__)
            )
        )
    )


def _run(arguments: SizesArguments) -> int:
    model = build_model(read_checkpoint(arguments.checkpoint), arguments.checkpoint)
    check_tails(model, arguments.tails)
    console = Console(soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        graphs = write_graphs(model, Path(folder), arguments.tails)
        for backend in (name for name in cpu_backends() if name in STREAMING_BACKENDS):
            console.print(table(measure(graphs, backend, arguments.rounds, arguments.threads), backend))
    return 0


if __name__ == "__main__":
    sys.exit(main())
