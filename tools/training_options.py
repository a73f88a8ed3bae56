"""What the options of a training cost and gain: one step of the published network under each, in turns.

CPU seconds of one thread, so that other work on the machine changes little, and the bytes that a step keeps for its
gradient. Frames are noise: no option looks at them. ``--compile`` adds torch.compile, which compiles for minutes.

python tools/training_options.py --write benchmarks/results/training_options.json
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from mcore.compute import prepare_network
from mcore.data.dataset import PairBatch
from mcore.engine import TrainingStep, make_optimizer
from mcore.errors import run_command
from mcore.model import MCoRe
from mcore.training_config import PRESETS, ComputeConfig, PresetName, TrainingConfig

PLAIN = "default"
OPTIONS = {
    PLAIN: ComputeConfig(),
    "--no-channels-last": ComputeConfig(channels_last=False),
    "--precision bf16": ComputeConfig(precision="bf16"),
    "--recompute": ComputeConfig(recompute=True),
    "--micro-batches 2": ComputeConfig(micro_batches=2),
}


@dataclass(frozen=True)
class Row:
    """One way to compute a step."""

    option: str
    step_s: float
    """Median CPU seconds of one thread."""
    ratio: float
    """Median over rounds of its time over the default's in the same round."""
    ratio_low: float
    ratio_high: float
    kept_mb: float
    """Largest amount kept for a gradient at one time."""


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
    pairs: int = 2
    """Pairs of a step."""
    rounds: int = 5
    """Steps under each option, after one to warm up."""
    compile: bool = False
    """Measure torch.compile too."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write it."""
    return run_command(lambda: run(tyro.cli(Arguments, args=argv, description=__doc__)))


def run(arguments: Arguments) -> int:
    """Measure every option in turns."""
    torch.set_num_threads(1)
    options = dict(OPTIONS)
    if arguments.compile:
        options["--compile"] = ComputeConfig(compile=True)
    steps = {name: _step(arguments, compute) for name, compute in options.items()}
    batch, kept = _noise(arguments), {}
    for name, step in steps.items():  # the warm-up counts bytes
        kept[name] = _count(step, batch)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.rounds):
        for name, step in steps.items():
            began = time.process_time()
            step(batch)
            seconds[name].append(time.process_time() - began)
    rows = [_row(name, seconds, kept[name]) for name in steps]
    _print(rows)
    if arguments.write is not None:
        content = {
            "torch": torch.__version__,
            "machine": platform.machine(),
            "threads": 1,
            **{name: value for name, value in asdict(arguments).items() if name != "write"},
            "rows": [asdict(row) for row in rows],
        }
        arguments.write.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


def _step(arguments: Arguments, compute: ComputeConfig) -> TrainingStep:
    torch.manual_seed(0)
    model = MCoRe(PRESETS[arguments.preset].model)
    prepare_network(model, compute, torch.device("cpu"))
    model.train()
    model.freeze_batch_norm()
    # Rates of nothing: the weights stay, so that every step computes the same.
    recipe = TrainingConfig(learning_rate=1e-12, backbone_learning_rate=1e-12, batch_size=arguments.pairs)
    return TrainingStep(model, make_optimizer(model, recipe), recipe, compute)


def _noise(arguments: Arguments) -> PairBatch:
    clip, count = PRESETS[arguments.preset].model.clip, 2 * arguments.pairs
    generator = torch.Generator().manual_seed(0)
    shape = (count, clip.num_frames, clip.crop_size, clip.crop_size, 3)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    thirds = torch.tensor([clip.num_frames // 3, 2 * clip.num_frames // 3])
    return PairBatch(frames, thirds.expand(count, 2).clone(), torch.linspace(50, 80, count))


def _count(step: TrainingStep, batch: PairBatch) -> float:
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


def _row(name: str, seconds: dict[str, list[float]], kept_mb: float) -> Row:
    own, plain = np.array(seconds[name]), np.array(seconds[PLAIN])
    low, ratio, high = np.percentile(own / plain, (10, 50, 90)).tolist()
    return Row(name, float(np.median(own)), ratio, low, high, kept_mb)


def _print(rows: Sequence[Row]) -> None:
    print("| option | CPU s a step | over the default | kept for the gradient, MB |")
    print("| --- | ---: | ---: | ---: |")
    for row in rows:
        spread = f"{row.ratio:.2f} [{row.ratio_low:.2f}, {row.ratio_high:.2f}]"
        print(f"| {row.option} | {row.step_s:.2f} | {spread} | {row.kept_mb:.0f} |")


if __name__ == "__main__":
    raise SystemExit(main())
