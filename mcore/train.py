"""Train MCoRe on a list of dives.

    python -m mcore.train --data manifest.jsonl --out runs/first --preset tiny --pretrained poses

After Ctrl-C or a crash the same command with --resume (and without --start-from) goes on to the same numbers as an
uninterrupted run. On several GPUs, --batch-size counts the pairs of all processes together:

    torchrun --nproc-per-node 4 -m mcore.train --data manifest.jsonl --out runs/first
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mcore.common.command_line import run_command_line
from mcore.common.errors import run_command
from mcore.common.optional import require, require_all
from mcore.config import BACKBONES
from mcore.devices.cpu import let_waiting_threads_sleep
from mcore.training.config import PRESETS, TrainingOptions, compute_from_dict, training_from_dict
from mcore.training.losses import LOSSES, default_weights

if TYPE_CHECKING:
    from mcore.network.checkpoint import Checkpoint

NEEDED = ("torch", "torch.utils.tensorboard", "matplotlib.figure")
"""Optional modules that a training imports sooner or later, asked for before its folder is made."""
INTERRUPTED = 130
"""Exit code of a run that a signal stopped, as a shell has it for Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, 2 with one line where torch is not installed."""
    let_waiting_threads_sleep()
    arguments = list(sys.argv[1:] if argv is None else argv)

    def run(options: TrainingOptions, checkpoint: Checkpoint | None) -> int:
        require_all(*NEEDED, extra="train", purpose="Training")
        from mcore.training.run import train

        return 0 if train(options, checkpoint, arguments) else INTERRUPTED

    return with_options(arguments, run)


def with_options(arguments: Sequence[str], body: Callable[[TrainingOptions, Checkpoint | None], int]) -> int:
    """Read a command line and call a body with its options and, of a resumed run, the checkpoint it goes on from."""
    given = [_loss_weight_flag(argument) for argument in arguments]

    def run() -> int:
        default, checkpoint = _defaults(given)
        return run_command_line(
            TrainingOptions,
            lambda options: body(options, checkpoint),
            prog="python -m mcore.train",
            doc=__doc__,
            argv=given,
            default=default,
        )

    return run_command(run)


def _defaults(arguments: Sequence[str]) -> tuple[TrainingOptions, Checkpoint | None]:
    """Values of all flags that are not given: a resumed run's own, or those of preset and backbone."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="paper")
    first.add_argument("--backbone")
    first.add_argument("--out", type=Path)
    first.add_argument("--resume", action="store_true")
    known, _ = first.parse_known_args(arguments)
    preset = PRESETS.get(known.preset, PRESETS["paper"])  # the options refuse another name
    # A preset knows the losses of this package; one that other code registers since then has its own weight.
    recipe = replace(preset.training, loss_weights=default_weights(**preset.training.loss_weights))
    default = TrainingOptions(data=tyro.MISSING, out=tyro.MISSING, training=recipe, model=preset.model)
    checkpoint = None
    if known.resume and known.out is not None:
        require("torch", "train", "Training")
        from mcore.training.run import read_resumable

        checkpoint = read_resumable(known.out)
        default = replace(
            default,
            training=training_from_dict(checkpoint.extra["training"]),
            compute=compute_from_dict(checkpoint.extra.get("compute", {})),
            model=checkpoint.config,
        )
    if known.backbone in BACKBONES:  # the preset's shift stays
        named = replace(BACKBONES[known.backbone].config, shift=default.model.backbone.shift)
        default = replace(default, model=replace(default.model, backbone=named))
    return default, checkpoint


def _loss_weight_flag(argument: str) -> str:
    """``--stage-targets-weight`` is the short form of ``--loss-weights.stage-targets``."""
    flag, equals, value = argument.partition("=")
    name = flag.removeprefix("--").removesuffix("-weight")
    is_short = name.replace("-", "_") in LOSSES and flag == f"--{name}-weight"
    return f"--loss-weights.{name}{equals}{value}" if is_short else argument


if __name__ == "__main__":
    sys.exit(main())
