"""Train MCoRe on a list of dives.

Run it with ``python -m mcore.train --data manifest.jsonl --out runs/first --preset tiny``; after Ctrl-C or a
crash the same command with ``--resume`` (and without ``--start-from``) goes on to the same numbers as an uninterrupted
run. On several GPUs:
``torchrun --nproc-per-node 4 -m mcore.train ...``; --batch-size counts the pairs of all processes together.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from mcore.common.errors import CheckpointError, UserError
from mcore.common.files import write_text
from mcore.common.signals import stop_on_signal
from mcore.config import BACKBONES, BackboneName, ModelConfig, from_dict, to_dict
from mcore.data.clip_files import cache_folder, check_folder, decode_missing
from mcore.data.manifest import read_manifest, select_split
from mcore.devices.allocator import keep_freed_memory
from mcore.devices.device import choose_device
from mcore.devices.distributed import ALONE, Processes, joined_processes
from mcore.evaluation.plots import loss_curves
from mcore.evaluation.run_folders import CONFIG
from mcore.network.checkpoint import Checkpoint, read_checkpoint
from mcore.network.model import MCoRe
from mcore.network.pretrained import load_pretrained
from mcore.network.start_weights import StartWeights, load_start_weights
from mcore.training.compute import prepare_network
from mcore.training.config import PRESETS, ComputeConfig, PresetName, TrainingConfig
from mcore.training.log import SilentLog, TrainLog
from mcore.training.trainer import BEST, LAST, Progress, Stopped, Trainer, TrainingData

INTERRUPTED = 130
CURVES = "losses.png"
RUN_FILES = (LAST, BEST, CONFIG, CURVES, "metrics.csv")


@dataclass(frozen=True)
class Options:
    """What the command line decides beyond the recipe."""

    data: Path
    """List of dives (.jsonl or .csv) with splits train and val."""
    out: Path
    """Folder of the run: config.json, last.pt, best.pt, metrics.csv, losses.png, tensorboard/."""
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
    start_from: Path | None = None
    """Checkpoint whose weights the network begins with, where they fit: to go on learning from other dives, or
    from larger clips. Network and recipe stay those of preset and flags."""
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
    compute: Annotated[ComputeConfig, tyro.conf.arg(name="")] = field(default_factory=ComputeConfig)
    """How the recipe is computed; a resumed run keeps it unless told otherwise."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Network."""


def run_arguments(arguments: list[str]) -> int:
    """Train as the command line says; returns the exit code."""
    options, checkpoint = parse(arguments)
    with joined_processes(options.device) as (processes, device):
        best = _train(options, checkpoint, processes, device)
    if best is None:
        if processes.is_first:
            command = _command_to_resume(arguments, processes.count)
            print(f"stopped and saved {options.out / LAST}; go on with:\n{command}", file=sys.stderr)
        return INTERRUPTED
    if processes.is_first:
        srcc = "undefined" if best.best_srcc is None else f"{best.best_srcc:.4f}"
        size = (options.out / BEST).stat().st_size
        print(f"{options.out / BEST}: epoch {best.best_epoch}, validation SRCC {srcc}, {size / 1e6:.1f} MB")
    return 0


def _train(
    options: Options, checkpoint: Checkpoint | None, processes: Processes, device: torch.device
) -> Progress | None:
    """Train; None where it was stopped. The trainer ends here, before the processes part."""
    trainer = prepare(options, checkpoint, processes, device)
    with stop_on_signal(processes.is_first) as should_stop:
        try:
            run(trainer, options, should_stop)
        except Stopped:
            return None
        except UserError as error:
            if processes.count == 1:
                raise
            # Said here, where a signal does not kill: the launcher ends the others as soon as one has died.
            print(f"error: {error}", file=sys.stderr, flush=True)
            raise SystemExit(2) from error
    return trainer.progress


def prepare(
    options: Options,
    checkpoint: Checkpoint | None = None,
    processes: Processes = ALONE,
    device: torch.device | None = None,
) -> Trainer:
    """Make a trainer at the point where its run begins or goes on; decodes the clips if they are to be cached.

    Args:
        options: from ``parse``.
        checkpoint: the same's; where a resumed run goes on.
        processes: those that train together.
        device: this process's; None chooses it.

    Raises:
        UserError: the data, the run's folder or the device cannot be used.
    """
    keep_freed_memory()
    trainer, start_weights = processes.agree(lambda: _make_trainer(options, checkpoint, processes, device))
    cache_dir = trainer.data.cache_dir
    if cache_dir is not None:
        records, clip = [*trainer.data.train, *trainer.data.val], trainer.model.config.clip
        processes.agree(
            lambda: decode_missing(records, clip, cache_dir, trainer.workers) if processes.is_first else None
        )
    if checkpoint is not None:
        trainer.resume(checkpoint)
    else:
        if processes.is_first:
            _clear(options.out)
        trainer.start(start_weights)
    if processes.is_first:
        config = {"model": to_dict(trainer.model.config), **trainer.describe()}
        write_text(options.out / CONFIG, json.dumps(config, indent=2) + "\n")
    return trainer


def _make_trainer(
    options: Options, checkpoint: Checkpoint | None, processes: Processes, device: torch.device | None
) -> tuple[Trainer, StartWeights | None]:
    device = device or choose_device(options.device)
    check_folder(options.out, "--out", "choose another --out DIR")
    if not options.resume and not options.overwrite:
        _refuse_existing(options.out)
    data = _load_data(options)
    if checkpoint is not None:
        _check_same_data(options, data, checkpoint)
    options.compute.check(options.training, processes.count, device.type)
    torch.manual_seed(options.training.seed)
    model = MCoRe(options.model)
    weights, start_weights = "random weights", None
    if checkpoint is not None:
        weights = f"resumed from {options.out / LAST}"
    elif options.pretrained is not None:
        weights = f"backbone from {load_pretrained(model.backbone, options.pretrained)}"
    elif options.start_from is not None:
        start_weights = load_start_weights(model, options.start_from)
        weights = str(start_weights)
    prepare_network(model, options.compute, device)
    trainer = Trainer(
        model, options.training, data, options.out, options.workers, compute=options.compute, processes=processes
    )
    if processes.is_first:
        _announce(trainer, weights)
    return trainer, start_weights


def run(trainer: Trainer, options: Options, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Train to the last epoch, with progress on the terminal.

    Args:
        trainer: from ``prepare``.
        options: the same.
        should_stop: asked after each step.

    Raises:
        Stopped: ``should_stop`` said so; the run can be resumed.
    """
    log: TrainLog | SilentLog = SilentLog()
    if trainer.processes.is_first:
        log = TrainLog(
            options.out,
            total_steps=trainer.total_steps,
            done_steps=trainer.done_steps,
            first_epoch=trainer.progress.epoch + 1,
        )
    with log:
        trainer.run(log, should_stop=should_stop, save_every_steps=options.save_every_steps)
    if trainer.processes.is_first:
        loss_curves(options.out / CURVES, trainer.progress.history, options.out.name)


def parse(arguments: list[str]) -> tuple[Options, Checkpoint | None]:
    """Read the command line in two passes: preset or resumed run first, the defaults of everything else.

    Returns:
        The options, and the checkpoint from which a resumed run goes on.

    Raises:
        UserError: nothing to resume, or by another recipe; two origins of the weights.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="paper")
    first.add_argument("--backbone")
    first.add_argument("--out", type=Path)
    first.add_argument("--resume", action="store_true")
    known, _ = first.parse_known_args(arguments)
    preset = PRESETS.get(known.preset, PRESETS["paper"])  # the second pass refuses another name
    training, model, compute, checkpoint = preset.training, preset.model, ComputeConfig(), None
    if known.resume and known.out is not None:
        checkpoint = _resumable(known.out)
        training, model = from_dict(TrainingConfig, checkpoint.extra["training"]), checkpoint.config
        compute = _recorded_compute(checkpoint)
    default_model = model
    if known.backbone in BACKBONES:  # the second pass refuses another name
        default_model = replace(model, backbone=replace(BACKBONES[known.backbone], shift=model.backbone.shift))
    options = tyro.cli(
        Options,
        default=Options(data=tyro.MISSING, out=tyro.MISSING, training=training, compute=compute, model=default_model),
        args=arguments,
        prog="python -m mcore.train",
        description=__doc__,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    if options.start_from is not None:
        _check_only_origin(options, options.start_from)
    if options.resume:
        _check_same_recipe(options, training, model)
    return options, checkpoint


def _check_only_origin(options: Options, start_from: Path) -> None:
    """Weights come from one place, which the run does not delete."""
    if options.resume:
        raise UserError(
            f"--resume goes on with the weights in {options.out / LAST}: drop --start-from; or drop --resume and "
            "choose another --out for a new run"
        )
    if options.pretrained is not None:
        raise UserError(
            "--start-from and --pretrained both give the backbone's weights: drop --pretrained to begin with those of "
            f"{start_from}, or --start-from to begin with ImageNet's"
        )
    if options.overwrite and start_from.resolve() in [(options.out / name).resolve() for name in (LAST, BEST)]:
        raise UserError(f"--overwrite would delete {start_from}, which --start-from names; choose another --out")


def _resumable(run_dir: Path) -> Checkpoint:
    """The checkpoint that a run in this folder goes on from."""
    if not (run_dir / LAST).is_file():
        raise UserError(f"nothing to resume in {run_dir}: no {LAST}; start without --resume")
    checkpoint = read_checkpoint(run_dir / LAST)
    if "training" not in checkpoint.extra or "state" not in checkpoint.extra:
        raise CheckpointError(f"{run_dir / LAST} holds a network, but no training to go on with")
    return checkpoint


def _recorded_compute(checkpoint: Checkpoint) -> ComputeConfig:
    """How a run was computed; plainly where it began before there was a choice."""
    names = {each.name for each in fields(ComputeConfig)}
    recorded = checkpoint.extra.get("compute", {})
    return from_dict(ComputeConfig, {name: value for name, value in recorded.items() if name in names})


def _check_same_recipe(options: Options, training: TrainingConfig, model: ModelConfig) -> None:
    """A resumed run keeps its recipe; only a constant schedule may become longer."""
    allowed = training
    if training.schedule == "constant":
        allowed = replace(training, epochs=options.training.epochs)
    for name, given, kept in (("training", options.training, allowed), ("model", options.model, model)):
        if given != kept:
            changed = [key for key, value in vars(given).items() if value != getattr(kept, key)]
            raise UserError(
                f"--resume keeps the run's own {name} settings, but {', '.join(changed)} would change; "
                "leave the flags out, or start a new run in another --out"
            )


def _check_same_data(options: Options, data: TrainingData, checkpoint: Checkpoint) -> None:
    kept = checkpoint.extra.get("data", {})
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
    return TrainingData(
        train=select_split(records, "train"),
        val=select_split(records, "val"),
        source={
            "manifest": str(manifest),
            "manifest_relative": os.path.relpath(manifest, options.out.resolve()),
            "sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
        },
        cache_dir=cache_folder(options.data, options.cache, options.no_cache),
    )


def _announce(trainer: Trainer, weights: str) -> None:
    """Say what is trained on what, and what is left out."""
    numbers = {record.dive_number for record in trainer.pairs.records}
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    print(
        f"{len(trainer.pairs)} training and {len(trainer.validation.queries)} validation dives of "
        f"{len(numbers)} dive numbers; {parameters / 1e6:.2f} M parameters, {weights}; "
        f"{trainer.config.epochs} epochs of {len(trainer.batches)} steps on {trainer.device}"
        + (f", {trainer.processes.count} processes" if trainer.processes.count > 1 else ""),
        file=sys.stderr,
    )
    if single := trainer.pairs.single_numbers:
        print(f"skipped for want of a partner: the only training dives of {', '.join(single)}", file=sys.stderr)
    if skipped := trainer.validation.skipped:
        names = ", ".join(sorted({record.dive_number for record in skipped}))
        print(f"skipped {len(skipped)} validation dives without an exemplar: {names}", file=sys.stderr)


def _command_to_resume(arguments: list[str], num_processes: int) -> str:
    again = [
        argument for argument in without_start_from(arguments) if argument not in ("--resume", "--overwrite", "--force")
    ]
    launcher = ["python"] if num_processes == 1 else ["torchrun", "--nproc-per-node", str(num_processes)]
    return shlex.join([*launcher, "-m", "mcore.train", *again, "--resume"])


def without_start_from(arguments: list[str]) -> list[str]:
    """Leave ``--start-from CHECKPOINT`` out of a command line, as a run that is resumed must."""
    left, names = [], ("--start-from", "--start_from")
    for argument, before in zip(arguments, ["", *arguments], strict=False):
        if argument.partition("=")[0] not in names and before not in names:
            left.append(argument)
    return left
