"""Cost and gain of a training's options: one step of the published network under each, in turns.

    python tools/training_options.py --write benchmarks/results/training_options.json
    python tools/training_options.py --device cuda --compile --write training_options_cuda.json

On a CPU it counts CPU seconds of one thread, so that other work on the machine changes little, and the bytes that a
step keeps for its gradient. On CUDA it counts seconds that pass, copying the frames to the device included, and the
most memory that a step takes. Frames are noise: no option looks at them.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError, first_line
from mcore.common.files import write_text
from mcore.common.typed_json import encode
from mcore.config import PresetName
from mcore.data.cache_folder import check_folder
from mcore.devices.device import choose_device
from mcore.evaluation.tables import markdown_table
from mcore.network.model import MCoRe
from mcore.training.compute import prepare_network
from mcore.training.config import PRESETS, ComputeConfig, TrainingConfig
from mcore.training.loop import TrainingStep, make_optimizer
from mcore.training.pairs import PairBatch

PLAIN = "default"
OPTIONS = {
    PLAIN: ComputeConfig(),
    "--no-channels-last": ComputeConfig(channels_last=False),
    "--precision bf16": ComputeConfig(precision="bf16"),
    "--activation-checkpointing": ComputeConfig(activation_checkpointing=True),
    "--gradient-accumulation 2": ComputeConfig(gradient_accumulation=2),
}
CUDA_OPTIONS = {"--precision fp16": ComputeConfig(precision="fp16")}
COMPILED = {"--precision bf16 --compile": ComputeConfig(precision="bf16", compile=True)}
CUDA_WARM_UP_STEPS = 3
"""The first compiles and chooses kernels, fp16 lowers its scale where it must; the last one's memory counts."""


@dataclass(frozen=True)
class Arguments:
    """Options of the measurement."""

    write: Path | None = None
    """JSON file."""
    preset: PresetName = "paper"
    """Preset of the network."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device to measure on."""
    pairs: int = 2
    """Pairs of a step; a training has 8."""
    rounds: int = 5
    """Steps under each option, after those to warm up."""
    compile: bool = False
    """Measure torch.compile too, which compiles for minutes."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.pairs < 1:
            raise UserError(f"{self.rounds} rounds of {self.pairs} pairs; at least 1 of each")


@dataclass(frozen=True)
class Row:
    """One way to compute a step."""

    option: str
    step_s: float
    """Median seconds: a CPU's of one thread, or those that pass on CUDA."""
    pairs_per_s: float
    ratio: float
    """Median over rounds of its time over the default's in the same round."""
    ratio_low: float
    """10th percentile over rounds."""
    ratio_high: float
    """90th percentile."""
    memory_mb: float
    """On a CPU: kept for the gradient at one time; on CUDA: most that a step allocates."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command_line(Arguments, run, prog="python tools/training_options.py", doc=__doc__, argv=argv)


def run(arguments: Arguments) -> int:
    """Measure every option in turns; one that does not run here is said and left out."""
    if arguments.write is not None:
        check_folder(arguments.write.parent, "the folder of --write", "choose another place")
    device = choose_device(arguments.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    options = OPTIONS | (CUDA_OPTIONS if device.type == "cuda" else {}) | (COMPILED if arguments.compile else {})
    batch, steps, memory_mb = noise(arguments), dict[str, TrainingStep](), dict[str, float]()
    for name, compute in options.items():
        try:
            step = make_step(arguments, compute, device)
            memory_mb[name] = (_peak_mb if device.type == "cuda" else _kept_mb)(step, batch)  # the warm-up
        except (UserError, RuntimeError) as error:  # no compiler, no bf16, out of memory
            if name == PLAIN:
                raise
            print(f"left out: {name}: {first_line(error)}", file=sys.stderr)
            continue
        steps[name] = step
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.rounds):
        for name, step in steps.items():
            seconds[name].append(_seconds(step, batch, device))
    rows = [_row(name, seconds, arguments.pairs, memory_mb[name]) for name in steps]
    _print(rows, device)
    if arguments.write is not None:
        about = {"torch": str(torch.__version__), "date": date.today().isoformat(), "machine": platform.machine()}
        about |= {"device": device.type, "preset": arguments.preset}
        write_text(arguments.write, encode({**about, "pairs": arguments.pairs, "rows": rows}, indent=2) + "\n")
    return 0


def make_step(arguments: Arguments, compute: ComputeConfig, device: torch.device) -> TrainingStep:
    """A training step under one option."""
    torch.manual_seed(0)
    model = MCoRe(PRESETS[arguments.preset].model)
    prepare_network(model, compute, device)
    model.train()
    model.freeze_batch_norm()
    # Rates of nothing: the weights stay, so that every step computes the same.
    recipe = TrainingConfig(learning_rate=1e-12, backbone_learning_rate=1e-12, batch_size=arguments.pairs)
    return TrainingStep(model, make_optimizer(model, recipe), recipe, compute)


def noise(arguments: Arguments) -> PairBatch:
    """Pairs on the host, as a loader gives them."""
    clip, count = PRESETS[arguments.preset].model.clip, 2 * arguments.pairs
    generator = torch.Generator().manual_seed(0)
    shape = (count, clip.num_frames, clip.crop_size, clip.crop_size, 3)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    thirds = torch.tensor([clip.num_frames // 3, 2 * clip.num_frames // 3])
    scores, stage_points = torch.linspace(50, 80, count), torch.full((count, 3), torch.nan)
    return PairBatch(frames, thirds.expand(count, 2).clone(), scores, stage_points)


def _seconds(step: TrainingStep, batch: PairBatch, device: torch.device) -> float:
    if device.type == "cpu":
        began = time.process_time()
        step(batch)
        return time.process_time() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    step(batch)
    torch.cuda.synchronize()
    return time.perf_counter() - began


def _peak_mb(step: TrainingStep, batch: PairBatch) -> float:
    """Warm up on CUDA; returns the most megabytes that the last step took, above what was allocated before it."""
    for _ in range(CUDA_WARM_UP_STEPS - 1):
        step(batch)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(batch)
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def _kept_mb(step: TrainingStep, batch: PairBatch) -> float:
    """Make one step; returns the megabytes that its largest forward pass keeps for the gradient."""
    storages, passes, in_forward = dict[int, int](), [0], [False]

    def keep(tensor: Tensor) -> Tensor:
        if in_forward[0]:  # what is computed again for the gradient does not count
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def begin(*_: object) -> None:
        storages.clear()
        in_forward[0] = True

    def end(*_: object) -> None:
        passes.append(sum(storages.values()))
        in_forward[0] = False

    handles = step.model.register_forward_pre_hook(begin), step.model.register_forward_hook(end)
    with saved_tensors_hooks(keep, lambda kept: kept):
        step(batch)
    for handle in handles:
        handle.remove()
    return max(passes) / 1e6


def _row(name: str, seconds: dict[str, list[float]], pairs: int, memory_mb: float) -> Row:
    own, plain = np.array(seconds[name]), np.array(seconds[PLAIN])
    low, ratio, high = np.percentile(own / plain, (10, 50, 90)).tolist()
    step_s = float(np.median(own))
    return Row(name, step_s, pairs / step_s, ratio, low, high, memory_mb)


def _print(rows: Sequence[Row], device: torch.device) -> None:
    second, memory = ("s", "most memory of a step, MB") if device.type == "cuda" else ("CPU s", "kept, MB")
    head = ["option", f"{second} a step", f"pairs a {second}", "over the default", memory]
    cells = []
    for row in rows:
        ratio = f"{row.ratio:.2f} [{row.ratio_low:.2f}, {row.ratio_high:.2f}]"
        cells.append([row.option, f"{row.step_s:.3f}", f"{row.pairs_per_s:.2f}", ratio, f"{row.memory_mb:.0f}"])
    print("\n".join(markdown_table(head, cells)))


if __name__ == "__main__":
    raise SystemExit(main())
