"""A run of a training: from its options to the checkpoints, metrics and pictures in its folder."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mcore.common.errors import CheckpointError, UserError
from mcore.common.files import write_text
from mcore.common.signals import stop_on_signal
from mcore.config import to_dict
from mcore.data.cache_folder import check_folder, decode_missing
from mcore.data.label_fit import check_labels_fit
from mcore.data.trained_on import caution, describe_training
from mcore.devices.cpu import turn_malloc_trimming_off
from mcore.devices.device import choose_device
from mcore.devices.distributed import SINGLE_PROCESS, Processes, joined_processes
from mcore.devices.loader import LoaderError
from mcore.evaluation.plots import loss_curves
from mcore.evaluation.run_folders import CONFIG
from mcore.network.checkpoint import Checkpoint, read_checkpoint
from mcore.network.model import MCoRe
from mcore.network.pretrained import load_pretrained
from mcore.network.start_weights import StartWeights, load_start_weights
from mcore.training.compute import prepare_network
from mcore.training.config import TrainingOptions, training_from_dict
from mcore.training.lists import check_same_data, check_targets, faults_asked, find_trained_dives, load_data
from mcore.training.log import TrainLog
from mcore.training.trainer import BEST, LAST, Stopped, Trainer

CURVES = "losses.png"
RANDOM_WEIGHTS = "random weights"
RUN_FILES = (LAST, BEST, CONFIG, CURVES, "metrics.csv")


def train(options: TrainingOptions, checkpoint: Checkpoint | None = None, arguments: Sequence[str] = ()) -> bool:
    """Train in this process, or in all that ``torchrun`` started, and print what became of it.

    Args:
        options: the run.
        checkpoint: from ``read_resumable``, where a resumed run goes on.
        arguments: the command line as it was typed: a run that is stopped says how it goes on.

    Returns:
        Whether it came to the end; False where a signal stopped it, and it has saved itself.

    Raises:
        UserError: the data, the run's folder, its recipe or the device cannot be used; the losses diverged.
    """
    with joined_processes(options.device) as (processes, device):
        finished = _train(options, checkpoint, processes, device)
    if not finished and processes.is_first:
        command = command_to_resume(arguments, processes.world_size)
        print(f"stopped and saved {options.out / LAST}; go on with:\n{command}", file=sys.stderr)
    return finished


def command_to_resume(arguments: Sequence[str], world_size: int) -> str:
    """The command that goes on with a run, from the arguments that began it or went on with it before."""
    launcher = ["python"] if world_size == 1 else ["torchrun", "--nproc-per-node", str(world_size)]
    return shlex.join([*launcher, "-m", "mcore.train", *arguments_to_resume(arguments)])


def arguments_to_resume(arguments: Sequence[str]) -> list[str]:
    """The same command line with ``--resume``, and without what only begins a run."""
    start_flags = ("--start-from", "--start_from")
    again = [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if argument.partition("=")[0] not in (*start_flags, "--resume", "--overwrite", "--force")
        and before not in start_flags
    ]
    return [*again, "--resume"]


def _train(options: TrainingOptions, checkpoint: Checkpoint | None, processes: Processes, device: torch.device) -> bool:
    """Train; says whether it came to the end. The trainer ends here, before the processes part."""
    trainer = prepare(options, checkpoint, processes, device)
    with stop_on_signal(processes.is_first) as should_stop:
        try:
            run(trainer, options, should_stop)
        except Stopped:
            return False
        except UserError as error:
            if processes.world_size == 1:
                raise
            # Said here, where a signal does not kill: the launcher ends the others as soon as one has died.
            print(f"error: {error}", file=sys.stderr, flush=True)
            raise SystemExit(2) from error
    if processes.is_first:
        best = trainer.progress
        if best.best_epoch == 0:
            raise UserError(
                f"no epoch's scores of the validation dives were all finite numbers, so there is no {BEST}; train "
                "again with a lower --learning-rate"
            )
        srcc = "undefined" if best.best_srcc is None else f"{best.best_srcc:.4f}"
        size = (options.out / BEST).stat().st_size
        print(f"{options.out / BEST}: epoch {best.best_epoch}, validation SRCC {srcc}, {size / 1e6:.1f} MB")
    return True


def prepare(
    options: TrainingOptions,
    checkpoint: Checkpoint | None = None,
    processes: Processes = SINGLE_PROCESS,
    device: torch.device | None = None,
) -> Trainer:
    """Make a trainer at the point where its run begins or goes on; decodes the clips if they are to be cached.

    Args:
        options: the run.
        checkpoint: where a resumed run goes on.
        processes: those that train together.
        device: this process's; None chooses it.

    Raises:
        UserError: the data, the run's folder, its recipe or the device cannot be used.
    """
    turn_malloc_trimming_off()
    trainer, start_weights = processes.agree(lambda: _make_trainer(options, checkpoint, processes, device))
    processes.agree(lambda: _check_clips(trainer) if processes.is_first else None)
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


def _check_clips(trainer: Trainer) -> None:
    """Decode what is missing, and compare the labels with the clips, before the first step."""
    data, clip = trainer.data, trainer.model.config.clip
    lists = [([*data.train, *data.val], data.cache_dir)]
    if data.mix is not None:
        lists.append((list(data.mix.records), data.mix.cache_dir))
    for records, cache_dir in lists:
        if cache_dir is not None:
            decode_missing(records, clip, cache_dir, trainer.workers)
        check_labels_fit(records, clip, cache_dir, trainer.workers)


def run(trainer: Trainer, options: TrainingOptions, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Train to the last epoch, with progress on the terminal.

    Args:
        trainer: from ``prepare``.
        options: the same.
        should_stop: asked after each step.

    Raises:
        Stopped: ``should_stop`` said so; the run can be resumed.
        LoaderError: a worker process ended the run; the message says what was saved.
    """
    log = TrainLog(
        options.out,
        total_steps=trainer.total_steps,
        done_steps=trainer.done_steps,
        first_epoch=trainer.progress.epoch + 1,
        silent=not trainer.processes.is_first,
    )
    try:
        with log:
            trainer.run(log, should_stop=should_stop, save_every_steps=options.save_every_steps)
    except LoaderError as error:
        kept = f"{options.out / LAST} holds the run up to its last save: go on with --resume"
        raise LoaderError(f"{error}. {kept if (options.out / LAST).is_file() else 'Nothing was saved yet'}") from error
    if trainer.processes.is_first:
        loss_curves(options.out / CURVES, trainer.progress.history, options.out.name)


def read_resumable(run_dir: Path) -> Checkpoint:
    """Read the checkpoint that a run in this folder goes on from.

    Raises:
        UserError: there is none, or it holds no training.
    """
    if not (run_dir / LAST).is_file():
        raise UserError(f"nothing to resume in {run_dir}: no {LAST}; start without --resume")
    checkpoint = read_checkpoint(run_dir / LAST)
    if "training" not in checkpoint.extra or "state" not in checkpoint.extra:
        raise CheckpointError(f"{run_dir / LAST} holds a network, but no training to go on with")
    return checkpoint


def _make_trainer(
    options: TrainingOptions, checkpoint: Checkpoint | None, processes: Processes, device: torch.device | None
) -> tuple[Trainer, StartWeights | None]:
    device = device or choose_device(options.device)
    check_folder(options.out, "--out", "choose another --out DIR")
    _check_kept_runs(options)
    data = load_data(options)
    options = replace(options, model=replace(options.model, faults=faults_asked(options, data)))
    if checkpoint is not None and processes.is_first:
        check_same_data(options, data, checkpoint)
    if checkpoint is not None:
        _check_same_recipe(options, checkpoint)
    if processes.is_first:
        check_targets(options, data)
        data = replace(data, trained=find_trained_dives(options, data, checkpoint))
    options.compute.check(options.training, processes.world_size, device.type)
    torch.manual_seed(options.training.seed)
    model = MCoRe(options.model)
    weights, start_weights = RANDOM_WEIGHTS, None
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


def _check_kept_runs(options: TrainingOptions) -> None:
    """Delete no run that was not meant, nor the weights that the new one starts from."""
    found = [name for name in RUN_FILES if (options.out / name).exists()]
    if found and not options.resume and not options.overwrite:
        raise UserError(
            f"{options.out} already holds a run ({', '.join(found)}); go on with it by --resume, replace it by "
            "--overwrite, or choose another --out"
        )
    start = options.start_from
    if start is not None and start.resolve() in [(options.out / name).resolve() for name in (LAST, BEST)]:
        raise UserError(f"--overwrite would delete {start}, which --start-from names; choose another --out")


def _check_same_recipe(options: TrainingOptions, checkpoint: Checkpoint) -> None:
    """A resumed run keeps its recipe; only a constant schedule may become longer."""
    training = training_from_dict(checkpoint.extra["training"])
    if training.schedule == "constant":
        training = replace(training, epochs=options.training.epochs)
    for name, given, kept in (("training", options.training, training), ("model", options.model, checkpoint.config)):
        if given != kept:
            changed = [key for key, value in vars(given).items() if value != getattr(kept, key)]
            raise UserError(
                f"--resume keeps the run's own {name} settings, but {', '.join(changed)} would change; "
                "leave the flags out, or start a new run in another --out"
            )


def _clear(run_dir: Path) -> None:
    """Make the run's folder, without what an earlier run wrote there."""
    run_dir.mkdir(parents=True, exist_ok=True)
    for name in RUN_FILES:
        (run_dir / name).unlink(missing_ok=True)
    shutil.rmtree(run_dir / "tensorboard", ignore_errors=True)


def _announce(trainer: Trainer, weights: str) -> None:
    """Say what is trained on what, and what is left out."""
    numbers = {record.dive_number for record in trainer.pairs.records}
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    print(
        f"{len(trainer.pairs.records)} training and {len(trainer.validation.queries)} validation dives of "
        f"{len(numbers)} dive numbers; {parameters / 1e6:.2f} M parameters, {weights}; "
        f"{trainer.config.epochs} epochs of {len(trainer.batches)} steps on {trainer.device}"
        + (
            f", each with {trainer.pairs.num_mixed} pairs of the {len(trainer.pairs.mixed)} dives that are mixed in"
            if trainer.pairs.mixed
            else ""
        )
        + (f", {trainer.processes.world_size} processes" if trainer.processes.world_size > 1 else ""),
        file=sys.stderr,
    )
    if weights == RANDOM_WEIGHTS and trainer.config.batch_norm == "frozen":
        print(
            "warning: random weights, and batch-norm frozen at mean 0 and variance 1, which normalises nothing. Give "
            "ImageNet weights (--pretrained auto, or a file) or another training's (--start-from CHECKPOINT), or take "
            "--batch-norm estimated",
            file=sys.stderr,
        )
    summary = None if trainer.data.trained is None else trainer.data.trained.summary()
    if summary is not None and summary.not_stated:
        print(
            f"note: {caution(summary) or describe_training(summary)}. The column origin (real or rendered) of the list "
            "states it",
            file=sys.stderr,
        )
    if single := trainer.pairs.single_numbers:
        print(f"skipped for want of a partner: the only training dives of {', '.join(single)}", file=sys.stderr)
    if skipped := trainer.validation.skipped:
        names = ", ".join(sorted({record.dive_number for record in skipped}))
        print(f"skipped {len(skipped)} validation dives without an exemplar: {names}", file=sys.stderr)
