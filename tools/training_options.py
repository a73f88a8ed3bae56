"""What the options of a training cost and gain: one step of the published network under each, in turns.

On a CPU: CPU seconds of one thread, so that other work on the machine changes little, and the bytes that a step keeps
for its gradient. On CUDA: seconds that pass, copying the frames to the device included, and the most memory that a step
takes. Frames are noise: no option looks at them. ``--compile`` adds torch.compile, which compiles for minutes.

python tools/training_options.py --write benchmarks/results/training_options.json
python tools/training_options.py --device cuda --compile --write training_options_cuda.json
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from mcore.common.errors import UserError, first_line, run_command
from mcore.common.files import write_text
from mcore.data.clip_files import check_folder
from mcore.data.dataset import PairBatch
from mcore.devices.device import choose_device
from mcore.network.model import MCoRe
from mcore.training.compute import prepare_network
from mcore.training.config import PRESETS, ComputeConfig, PresetName, TrainingConfig
from mcore.training.loop import TrainingStep, make_optimizer
from mcore_bench.machine import processor

PLAIN = "default"
OPTIONS = {
    PLAIN: ComputeConfig(),
    "--no-channels-last": ComputeConfig(channels_last=False),
    "--precision bf16": ComputeConfig(precision="bf16"),
    "--recompute": ComputeConfig(recompute=True),
    "--micro-batches 2": ComputeConfig(micro_batches=2),
}
CUDA_OPTIONS = {"--precision fp16": ComputeConfig(precision="fp16")}
COMPILED = {"--compile": ComputeConfig(compile=True)}
CUDA_COMPILED = {"--precision bf16 --compile": ComputeConfig(precision="bf16", compile=True)}
CPU_PAIRS = 2
CUDA_WARM_UP_STEPS = 3
"""The first compiles and chooses kernels, fp16 lowers its scale where it must; the last one's memory counts."""


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
    ratio_high: float
    kept_mb: float | None
    """On a CPU: largest amount kept for a gradient at one time."""
    peak_mb: float | None
    """On CUDA: most memory allocated in a step, above what all the networks held before it."""


class KeptBytes:
    """Counts the storages that a forward pass keeps; of several passes in one step the largest counts."""

    def __init__(self) -> None:
        self.largest, self._storages, self._counting = 0, dict[int, int](), False
        self.hooks = saved_tensors_hooks(self._keep, lambda kept: kept)

    def start_pass(self) -> None:
        """Forget the storages of the pass before."""
        self._storages.clear()
        self._counting = True

    def end_pass(self) -> None:
        """What is computed again for the gradient does not count."""
        self._counting = False

    def _keep(self, tensor: Tensor) -> Tensor:
        if not self._counting:
            return tensor
        storage = tensor.untyped_storage()
        self._storages[storage.data_ptr()] = storage.nbytes()
        self.largest = max(self.largest, sum(self._storages.values()))
        return tensor


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    write: Path | None = None
    """JSON file."""
    preset: PresetName = "paper"
    """Network."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to measure."""
    pairs: int | None = None
    """Pairs of a step; default: 2 on a CPU, the recipe's on CUDA."""
    rounds: int = 5
    """Steps under each option, after those to warm up."""
    compile: bool = False
    """Measure torch.compile too; on CUDA also with bf16."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or (self.pairs is not None and self.pairs < 1):
            raise UserError(f"{self.rounds} rounds of {self.pairs} pairs; at least 1 of each")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write it."""
    return run_command(lambda: run(tyro.cli(Arguments, args=argv, description=__doc__)))


def run(arguments: Arguments) -> int:
    """Measure every option in turns; one that does not run here is said and left out."""
    if arguments.write is not None:
        check_folder(arguments.write.parent, "the folder of --write", "choose another place")
    device = choose_device(arguments.device)
    on_cuda = device.type == "cuda"
    if not on_cuda:
        torch.set_num_threads(1)
    pairs = arguments.pairs
    if pairs is None:
        pairs = PRESETS[arguments.preset].training.batch_size if on_cuda else CPU_PAIRS
    options = _options(on_cuda, arguments.compile)
    batch, steps, memory = _noise(arguments.preset, pairs), dict[str, TrainingStep](), dict[str, float]()
    for name, compute in options.items():
        try:
            step = _step(arguments.preset, pairs, compute, device)
            memory[name] = (_peak_mb if on_cuda else _kept_mb)(step, batch)  # the warm-up
        except (UserError, RuntimeError) as error:  # no compiler, no bf16, out of memory
            if name == PLAIN:
                raise
            print(f"left out: {name}: {first_line(error)}", file=sys.stderr)
            continue
        steps[name] = step
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.rounds):
        for name, step in steps.items():
            seconds[name].append((_cuda_seconds if on_cuda else _cpu_seconds)(step, batch))
    rows = [_row(name, seconds, pairs, memory[name], on_cuda) for name in steps]
    _print(rows, on_cuda)
    if arguments.write is not None:
        content = {
            "torch": torch.__version__,
            "date": date.today().isoformat(),
            "machine": platform.machine(),
            "device_name": torch.cuda.get_device_name(device) if on_cuda else processor(),
            "threads": torch.get_num_threads(),
            **{name: value for name, value in asdict(arguments).items() if name != "write"},
            "pairs": pairs,
            "rows": [asdict(row) for row in rows],
        }
        write_text(arguments.write, json.dumps(content, indent=2) + "\n")
    return 0


def _options(on_cuda: bool, compiled: bool) -> dict[str, ComputeConfig]:
    return {
        **OPTIONS,
        **(CUDA_OPTIONS if on_cuda else {}),
        **(COMPILED if compiled else {}),
        **(CUDA_COMPILED if on_cuda and compiled else {}),
    }


def _step(preset: PresetName, pairs: int, compute: ComputeConfig, device: torch.device) -> TrainingStep:
    torch.manual_seed(0)
    model = MCoRe(PRESETS[preset].model)
    prepare_network(model, compute, device)
    model.train()
    model.freeze_batch_norm()
    # Rates of nothing: the weights stay, so that every step computes the same.
    recipe = TrainingConfig(learning_rate=1e-12, backbone_learning_rate=1e-12, batch_size=pairs)
    return TrainingStep(model, make_optimizer(model, recipe), recipe, compute)


def _noise(preset: PresetName, pairs: int) -> PairBatch:
    """Pairs on the host, as a loader gives them."""
    clip, count = PRESETS[preset].model.clip, 2 * pairs
    generator = torch.Generator().manual_seed(0)
    shape = (count, clip.num_frames, clip.crop_size, clip.crop_size, 3)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    thirds = torch.tensor([clip.num_frames // 3, 2 * clip.num_frames // 3])
    return PairBatch(frames, thirds.expand(count, 2).clone(), torch.linspace(50, 80, count))


def _cpu_seconds(step: TrainingStep, batch: PairBatch) -> float:
    began = time.process_time()
    step(batch)
    return time.process_time() - began


def _cuda_seconds(step: TrainingStep, batch: PairBatch) -> float:
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
    """Make one step; returns the megabytes that it kept at one time."""
    kept = KeptBytes()
    handles = (
        step.model.register_forward_pre_hook(lambda *_: kept.start_pass()),
        step.model.register_forward_hook(lambda *_: kept.end_pass()),
    )
    with kept.hooks:
        step(batch)
    for handle in handles:
        handle.remove()
    return kept.largest / 1e6


def _row(name: str, seconds: dict[str, list[float]], pairs: int, memory_mb: float, on_cuda: bool) -> Row:
    own, plain = np.array(seconds[name]), np.array(seconds[PLAIN])
    low, ratio, high = np.percentile(own / plain, (10, 50, 90)).tolist()
    step_s = float(np.median(own))
    kept, peak = (None, memory_mb) if on_cuda else (memory_mb, None)
    return Row(name, step_s, pairs / step_s, ratio, low, high, kept, peak)


def _print(rows: Sequence[Row], on_cuda: bool) -> None:
    second, memory = ("s", "most memory of a step, MB") if on_cuda else ("CPU s", "kept for the gradient, MB")
    print(f"| option | {second} a step | pairs a {second} | over the default | {memory} |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        spread = f"{row.ratio:.2f} [{row.ratio_low:.2f}, {row.ratio_high:.2f}]"
        memory_mb = row.peak_mb if on_cuda else row.kept_mb
        print(f"| {row.option} | {row.step_s:.3f} | {row.pairs_per_s:.2f} | {spread} | {memory_mb:.0f} |")


if __name__ == "__main__":
    raise SystemExit(main())
