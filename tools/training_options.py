"""Cost and gain of a training's options: one step of the published network under each, in turns.

    python tools/training_options.py --json benchmarks/results/training_options.json
    python tools/training_options.py --device cuda --compile --json training_options_cuda.json

On a CPU it counts CPU seconds of one thread, so that other work on the machine changes little, and the bytes that a
step keeps for its gradient. On CUDA it counts seconds that pass, copying the frames to the device included, and the
most memory that a step takes. Frames are noise: no option looks at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
import tyro
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError, first_line
from mcore.config import PresetName
from mcore.devices.device import choose_device
from mcore.network.model import MCoRe
from mcore.training.compute import prepare_network
from mcore.training.config import PRESETS, ComputeConfig, TrainingConfig
from mcore.training.loop import TrainingStep, make_optimizer
from mcore.training.pairs import PairBatch
from mcore_bench.report import finish_result
from mcore_bench.result import JsonFile, begin_result, make_table
from mcore_bench.timing import Call, TimingSettings, compare

PROGRAM = "python tools/training_options.py"
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
class Arguments(JsonFile):
    """Options of the measurement."""

    preset: PresetName = "paper"
    """Preset of the network."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device to measure on."""
    pairs: int = 2
    """Pairs of a step; a training has 8."""
    settings: tyro.conf.OmitArgPrefixes[TimingSettings] = field(
        default_factory=lambda: TimingSettings(runs=5, seconds=0.0, warm_up_s=0.0)
    )
    """Duration of the measurement."""
    compile: bool = False
    """Measure torch.compile too, which compiles for minutes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pairs < 1:
            raise UserError(f"{self.pairs} pairs; at least 1")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command_line(Arguments, run, prog=PROGRAM, doc=__doc__, argv=argv)


def run(arguments: Arguments) -> int:
    """Measure every option in turns; one that does not run here is said and left out."""
    device = choose_device(arguments.device)
    on_cpu = device.type == "cpu"
    if on_cpu:
        torch.set_num_threads(1)
    result = begin_result(f"Options of a training step: preset {arguments.preset}", threads=1, program=PROGRAM)
    options = OPTIONS | ({} if on_cpu else CUDA_OPTIONS) | (COMPILED if arguments.compile else {})
    batch, steps, memory_mb, absent = noise(arguments), dict[str, Call](), dict[str, float](), list[str]()
    for name, compute in options.items():
        try:
            step = make_step(arguments, compute, device)
            memory_mb[name] = (_kept_mb if on_cpu else _peak_mb)(step, batch)  # the warm-up
        except (UserError, RuntimeError) as error:  # no compiler, no bf16, out of memory
            if name == PLAIN:
                raise
            absent.append(f"{name}: {first_line(error)}")
            continue
        steps[name] = partial(_step, step, batch, device)
    second, memory = ("CPU time", "kept for the gradient, MB") if on_cpu else ("time", "most memory of a step, MB")
    title = f"{second} of a step of {arguments.pairs} pairs"
    group = compare(title, steps, arguments.settings, by_cpu_time=on_cpu)
    table = make_table("memory", {"option": "", memory: ".0f"}, memory_mb.items())
    finish_result(replace(result, groups=(group,), tables=(table,), absent=tuple(absent)), arguments.json)
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
    return PairBatch(frames, thirds.expand(count, 2).clone(), scores, stage_points, torch.empty(count, 0))


def _step(step: TrainingStep, batch: PairBatch, device: torch.device) -> None:
    step(batch)
    if device.type == "cuda":
        torch.cuda.synchronize()


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


if __name__ == "__main__":
    raise SystemExit(main())
