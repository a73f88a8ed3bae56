"""Train MCoRe on a list of dives.

Run it with ``python -m mcore.train --data manifest.jsonl --out runs/first --preset tiny``; after Ctrl-C or a
crash the same command with ``--resume`` goes on to the same numbers as an uninterrupted run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.progress import Progress

from mcore.allocator import keep_freed_memory
from mcore.checkpoint import Checkpoint, read_checkpoint
from mcore.config import BACKBONES, BackboneName, ModelConfig, from_dict
from mcore.data.cache import fill_cache
from mcore.data.manifest import read_manifest, select_split
from mcore.devices import choose_device
from mcore.errors import CheckpointError, UserError
from mcore.model import MCoRe
from mcore.pretrained import load_pretrained
from mcore.train_log import TrainLog
from mcore.trainer import BEST, LAST, Stopped, Trainer, TrainingData
from mcore.training_config import PRESETS, PresetName, TrainingConfig

INTERRUPTED = 130
RUN_FILES = (LAST, BEST, "metrics.csv")


@dataclass(frozen=True)
class Options:
    """What the command line decides beyond the recipe."""

    data: Path
    """List of dives (.jsonl or .csv) with splits train and val."""
    out: Path
    """Folder of the run: last.pt, best.pt, metrics.csv, tensorboard/."""
    preset: PresetName = "paper"
    """Network and recipe that the other flags override; a resumed run keeps its own."""
    backbone: BackboneName | None = None
    """Named backbone instead of the preset's; --model.backbone.* flags change single numbers of it."""
    resume: bool = False
    """Go on from last.pt in --out."""
    overwrite: Annotated[bool, tyro.conf.arg(aliases=["--force"])] = False
    """Delete the run that is in --out."""
    pretrained: str | None = None
    """ImageNet weights of the backbone: a .safetensors or .pth file, or "auto" to fetch them."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    workers: int = 0
    """Processes that read clips; they change the speed, nothing else."""
    cache: Path | None = None
    """Folder of decoded clips; default: .clips beside the list of dives."""
    no_cache: bool = False
    """Decode the videos in every epoch."""
    save_every_steps: int = 200
    """Steps between saves of last.pt within an epoch; 0: only at its end."""
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")] = field(default_factory=TrainingConfig)
    """Recipe."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Network."""


def run_arguments(arguments: list[str]) -> int:
    """Train as the command line says; returns the exit code."""
    options = _parse(arguments)
    trainer = prepare(options)
    with stop_on_signal() as should_stop:
        try:
            run(trainer, options, should_stop)
        except Stopped:
            again = [argument for argument in arguments if argument not in ("--resume", "--overwrite")]
            command = shlex.join(["python", "-m", "mcore.train", *again, "--resume"])
            print(f"stopped and saved {options.out / LAST}; go on with:\n{command}", file=sys.stderr)
            return INTERRUPTED
    best = trainer.progress
    srcc = "undefined" if best.best_srcc is None else f"{best.best_srcc:.4f}"
    size = (options.out / BEST).stat().st_size
    print(f"{options.out / BEST}: epoch {best.best_epoch}, validation SRCC {srcc}, {size / 1e6:.1f} MB")
    return 0


def prepare(options: Options) -> Trainer:
    """Make a trainer at the point where its run begins or goes on; decodes the clips if they are to be cached.

    Raises:
        UserError: the data, the run's folder or the device cannot be used.
    """
    device = choose_device(options.device)
    keep_freed_memory()
    if not options.resume and not options.overwrite:
        _refuse_existing(options.out)
    data = _load_data(options)
    torch.manual_seed(options.training.seed)
    model = MCoRe(options.model)
    weights = "random weights"
    if options.pretrained is not None and not options.resume:
        weights = f"backbone from {load_pretrained(model.backbone, options.pretrained)}"
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer = Trainer(model, options.training, data, options.out, options.workers)
    _check_same_data(options, data)
    _announce(trainer, weights if not options.resume else f"resumed from {options.out / LAST}", device)
    if data.cache_dir is not None:
        _fill_cache(trainer, data.cache_dir)
    if options.resume:
        trainer.resume()
    else:
        _clear(options.out)
        trainer.start()
    return trainer


def run(trainer: Trainer, options: Options, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Train to the last epoch, with progress on the terminal.

    Args:
        trainer: from ``prepare``.
        options: the same.
        should_stop: asked after each step.

    Raises:
        Stopped: ``should_stop`` said so; the run can be resumed.
    """
    with TrainLog(
        options.out,
        total_steps=trainer.total_steps,
        done_steps=trainer.done_steps,
        first_epoch=trainer.progress.epoch + 1,
    ) as log:
        trainer.run(log, should_stop=should_stop, save_every_steps=options.save_every_steps)


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a flag, and the second into what it was before."""
    received: list[int] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for each, handler in previous.items():
            signal.signal(each, handler)
        print("finishing this step, then saving; again to stop at once", file=sys.stderr)

    for number in previous:
        signal.signal(number, remember)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _parse(arguments: list[str]) -> Options:
    """Parse in two passes: preset or resumed run first, because they are the defaults of everything else."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="paper")
    first.add_argument("--backbone")
    first.add_argument("--out", type=Path)
    first.add_argument("--resume", action="store_true")
    known, _ = first.parse_known_args(arguments)
    preset = PRESETS.get(known.preset, PRESETS["paper"])  # the second pass refuses another name
    training, model = preset.training, preset.model
    if known.resume and known.out is not None:
        checkpoint = _resumable(known.out)
        training, model = from_dict(TrainingConfig, checkpoint.extra["training"]), checkpoint.config
    default_model = model
    if known.backbone in BACKBONES:  # the second pass refuses another name
        default_model = replace(model, backbone=replace(BACKBONES[known.backbone], shift=model.backbone.shift))
    options = tyro.cli(
        Options,
        default=Options(data=tyro.MISSING, out=tyro.MISSING, training=training, model=default_model),
        args=arguments,
        prog="python -m mcore.train",
        description=__doc__,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    if known.resume:
        _check_same_recipe(options, training, model)
    return options


def _resumable(run_dir: Path) -> Checkpoint:
    """The checkpoint that a run in this folder goes on from."""
    if not (run_dir / LAST).is_file():
        raise UserError(f"nothing to resume in {run_dir}: no {LAST}; start without --resume")
    checkpoint = read_checkpoint(run_dir / LAST)
    if "training" not in checkpoint.extra or "state" not in checkpoint.extra:
        raise CheckpointError(f"{run_dir / LAST} holds a network, but no training to go on with")
    return checkpoint


def _check_same_recipe(options: Options, training: TrainingConfig, model: ModelConfig) -> None:
    """A resumed run keeps its recipe; only a constant schedule may become longer."""
    allowed = training
    if training.schedule == "constant":
        allowed = replace(training, epochs=options.training.epochs)
    for name, given, kept in (("training", options.training, allowed), ("model", options.model, model)):
        if given != kept:
            fields = [key for key, value in vars(given).items() if value != getattr(kept, key)]
            raise UserError(
                f"--resume keeps the run's own {name} settings, but {', '.join(fields)} would change; "
                "leave the flags out, or start a new run in another --out"
            )


def _check_same_data(options: Options, data: TrainingData) -> None:
    if not options.resume:
        return
    kept = _resumable(options.out).extra.get("data", {})
    if kept.get("sha256") != data.source["sha256"]:
        raise UserError(
            f"{options.data} is not the list of dives this run began with ({kept.get('manifest')}, "
            f"sha256 {str(kept.get('sha256'))[:12]}; given {data.source['sha256'][:12]})"
        )


def _refuse_existing(run_dir: Path) -> None:
    if found := [name for name in RUN_FILES if (run_dir / name).exists()]:
        raise UserError(
            f"{run_dir} already holds a run ({', '.join(found)}); go on with it by --resume, replace it by "
            "--overwrite, or choose another --out"
        )


def _clear(run_dir: Path) -> None:
    """Make the run's folder, without what an earlier run wrote there."""
    run_dir.mkdir(parents=True, exist_ok=True)
    for name in RUN_FILES:
        (run_dir / name).unlink(missing_ok=True)
    shutil.rmtree(run_dir / "tensorboard", ignore_errors=True)


def _load_data(options: Options) -> TrainingData:
    records = read_manifest(options.data)
    manifest = options.data.resolve()
    cache_dir = None if options.no_cache else options.cache or manifest.parent / ".clips"
    return TrainingData(
        train=select_split(records, "train"),
        val=select_split(records, "val"),
        source={
            "manifest": str(manifest),
            "manifest_relative": os.path.relpath(manifest, options.out.resolve()),
            "sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
        },
        cache_dir=cache_dir,
    )


def _announce(trainer: Trainer, weights: str, device: torch.device) -> None:
    """Say what is trained on what, and what is left out."""
    numbers = {record.dive_number for record in trainer.pairs.records}
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    print(
        f"{len(trainer.pairs)} training and {len(trainer.validation.queries)} validation dives of "
        f"{len(numbers)} dive numbers; {parameters / 1e6:.2f} M parameters, {weights}; "
        f"{trainer.config.epochs} epochs of {len(trainer.batches)} steps on {device}",
        file=sys.stderr,
    )
    if single := trainer.pairs.single_numbers:
        print(f"skipped for want of a partner: the only training dives of {', '.join(single)}", file=sys.stderr)
    if skipped := trainer.validation.skipped:
        names = ", ".join(sorted({record.dive_number for record in skipped}))
        print(f"skipped {len(skipped)} validation dives without an exemplar: {names}", file=sys.stderr)


def _fill_cache(trainer: Trainer, cache_dir: Path) -> None:
    records = [*trainer.data.train, *trainer.data.val]
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("decoding clips", total=len(records))
        fill_cache(
            records,
            trainer.model.config.clip,
            cache_dir,
            workers=max(2, trainer.workers),
            on_clip=lambda: progress.advance(task),
        )
