"""A training that can be stopped, saved and taken up again at the same numbers.

Everything that decides the next number is in ``last.pt``: weights, optimiser, epoch, step, partial losses and
torch's random state; data order, pairs and augmentation are functions of (seed, epoch, item) and need none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mcore.common.errors import CheckpointError
from mcore.config import DEFAULT_DECODING, to_dict
from mcore.data.manifest import DiveRecord
from mcore.data.trained_dives import TrainedDives, in_checkpoint
from mcore.devices.distributed import SINGLE_PROCESS, Processes
from mcore.devices.loader import check_shared_memory
from mcore.evaluation.assessment import split_figures
from mcore.evaluation.clips import frame_bytes
from mcore.evaluation.scoring import (
    CLIPS_PER_BATCH,
    Predictions,
    ScoringPlan,
    collapsed_difference,
    plan_scoring,
    predict,
)
from mcore.network.checkpoint import Checkpoint, save_checkpoint
from mcore.network.model import MCoRe
from mcore.network.start_weights import StartWeights
from mcore.training.config import ComputeConfig, TrainingConfig
from mcore.training.log import VALIDATION_COLUMNS, Row, TrainLog
from mcore.training.loop import (
    LossMeter,
    TrainingStep,
    estimate_batch_norm,
    learning_rate_factor,
    make_optimizer,
    scale_last_layer,
    train_one_epoch,
)
from mcore.training.pairs import EpochBatches, Mix, PairDataset, pair_loader

LAST, BEST = "last.pt", "best.pt"
ESTIMATION_STEPS = 16
"""Batches of pairs from which batch-norm statistics are estimated."""


class Stopped(Exception):
    """The training was asked to stop and has saved itself."""


@dataclass(frozen=True)
class TrainingData:
    """Dives to learn from, and where they are listed."""

    train: list[DiveRecord]
    """Queries and exemplars."""
    val: list[DiveRecord]
    """Dives that choose the best checkpoint."""
    source: dict[str, str]
    """``manifest`` (absolute path), ``manifest_relative`` (from the run's folder), ``sha256`` of the list, and
    ``train_sha256`` of what training takes from it."""
    cache_dir: Path | None
    """Folder of decoded clips; None decodes every time."""
    trained: TrainedDives | None = None
    """Training dives to record in checkpoints, those of earlier trainings included; None: another process records."""
    mix: Mix | None = None
    """Dives of another list to learn from too."""

    @property
    def all_train(self) -> list[DiveRecord]:
        """Dives of both lists that are learned from."""
        return [*self.train, *(() if self.mix is None else self.mix.records)]


@dataclass
class Progress:
    """Progress of a training, in plain numbers."""

    epoch: int = 0
    """Finished epochs."""
    meter: LossMeter = field(default_factory=LossMeter)
    """Losses and steps of the unfinished epoch."""
    best_srcc: float | None = None
    """Best validation SRCC so far; None before the first one that is defined."""
    best_epoch: int = 0
    """Epoch of ``best.pt``, from 1; 0 before the first."""
    history: list[Row] = field(default_factory=list)
    """A row for each finished epoch."""


class Trainer:
    """Trains a network in a run's folder."""

    def __init__(
        self,
        model: MCoRe,
        config: TrainingConfig,
        data: TrainingData,
        run_dir: Path,
        workers: int = 0,
        *,
        compute: ComputeConfig | None = None,
        processes: Processes = SINGLE_PROCESS,
    ) -> None:
        """Prepare; ``start`` or ``resume`` comes next.

        Args:
            model: network, on its device.
            config: recipe.
            data: dives.
            run_dir: folder of checkpoints and metrics.
            workers: processes that read clips; 0 reads in this one.
            compute: how it is computed; None plainly.
            processes: those that train together; the first one writes.

        Raises:
            UserError: dives without transitions or partners, or no validation dive with an exemplar.
        """
        self.model, self.config, self.data, self.run_dir = model, config, data, run_dir
        self.workers, self.compute, self.processes = workers, compute or ComputeConfig(), processes
        self.device = next(model.parameters()).device
        self.pairs = PairDataset(
            data.train,
            model.config.clip,
            seed=config.seed,
            flip_probability=config.flip_probability,
            faults=model.config.faults,
            cache_dir=data.cache_dir,
            mix=data.mix,
        )
        self.batches = EpochBatches(len(self.pairs), config.batch_size, config.seed, processes)
        check_shared_memory(CLIPS_PER_BATCH * frame_bytes(model.config.clip), workers)  # of the validations
        self.loader = pair_loader(self.pairs, self.batches, workers)
        self.validation: ScoringPlan = plan_scoring(
            data.val, data.train, num_exemplars=config.num_exemplars, seed=config.seed, shared=True
        )
        self.optimizer = make_optimizer(model, config)
        self.progress = Progress()
        self.start_from: dict[str, str] | None = None

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.config.epochs * len(self.batches)

    @property
    def done_steps(self) -> int:
        """Optimiser steps made."""
        return self.progress.epoch * len(self.batches) + self.progress.meter.num_steps

    def describe(self) -> dict[str, Any]:
        """Return all that decides the run's numbers: recipe, way of computing, dives and start weights."""
        return {
            "training": to_dict(self.config),
            "compute": {**to_dict(self.compute), "world_size": self.processes.world_size, "device": self.device.type},
            "data": self.data.source,
            **({} if self.start_from is None else {"start_from": self.start_from}),
        }

    def start(self, start_weights: StartWeights | None = None) -> None:
        """Prepare a network for its first step: scale an untrained last layer and, if asked for, estimate batch-norm.

        Args:
            start_weights: what the network was given from another checkpoint; None: nothing.
        """
        if start_weights is None or not start_weights.has_last_layer:
            scale_last_layer(self.model, self.config)
        if start_weights is not None:
            self.start_from = start_weights.source
        if self.config.batch_norm == "estimated":
            # Whole batches in this process and in all others alike, so that all begin with the same statistics.
            order = EpochBatches(len(self.pairs), self.config.batch_size, self.config.seed)
            estimate_batch_norm(self.model, islice(pair_loader(self.pairs, order), ESTIMATION_STEPS))
        if not self.processes.is_first:  # the others start from the same weights, but drop out other units
            self._seed_own_stream()
        self._begin()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take up the training that a ``last.pt`` holds.

        Raises:
            CheckpointError: it is not a training's.
        """
        try:
            state = checkpoint.extra["state"]
            self.model.load_state_dict(checkpoint.state_dict)
            self.optimizer.load_state_dict(state["optimizer"])
            self.start_from = checkpoint.extra.get("start_from")
            progress = dict(state["progress"])
            self.progress = Progress(**{**progress, "meter": LossMeter(**progress["meter"])})
            self._restore_random_state(state)
            self._begin()
            self.step.scaler.load_state_dict(state.get("scaler", {}))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{self.run_dir / LAST} cannot be resumed: {error}") from error

    def _begin(self) -> None:
        with self.processes.lost_peer_errors():
            self.step = TrainingStep(self.model, self.optimizer, self.config, self.compute, self.processes)

    def run(self, log: TrainLog, *, should_stop: Callable[[], bool], save_every_steps: int = 0) -> None:
        """Train to the last epoch.

        Args:
            log: shown and written to.
            should_stop: asked after each step and each batch of a validation; one process that is told to stop
                stops all, but not within a validation, where they do not keep step.
            save_every_steps: steps between saves within an epoch; 0 saves at the ends of epochs only.

        Raises:
            Stopped: ``should_stop`` said so; ``last.pt`` holds everything up to the last step.
            UserError: the losses are no longer numbers, or another process has ended.
        """
        log.write_csv(self.progress.history)
        with self.processes.lost_peer_errors():
            while self.progress.epoch < self.config.epochs:
                self._train_epoch(log, lambda: self.processes.any(should_stop()), save_every_steps)
                row, improved = self._finish_epoch(log, should_stop)
                if improved:
                    self._save(BEST, row)
                self._save(LAST, row)
                log.epoch(self.progress.history, self.config.epochs)
                if self.processes.any(should_stop()) and self.progress.epoch < self.config.epochs:
                    raise Stopped

    def _train_epoch(self, log: TrainLog, should_stop: Callable[[], bool], save_every_steps: int) -> None:
        progress = self.progress
        self.batches.epoch, self.batches.first_step = progress.epoch, progress.meter.num_steps
        first_step = progress.epoch * len(self.batches)

        def after_step() -> bool:
            log.step(progress.epoch, self.config.epochs, progress.meter.means())
            if should_stop():
                return True
            if save_every_steps and progress.meter.num_steps % save_every_steps == 0:
                self._save(LAST)
            return False

        finished = train_one_epoch(
            self.step,
            self.loader,
            progress.meter,
            pairs_in_step=self.batches.pairs_in_step,
            learning_rate_factor=lambda step: self._learning_rate_factor(first_step + step),
            after_step=after_step,
        )
        if not finished:
            self._save_and_stop()

    def _finish_epoch(self, log: TrainLog, should_stop: Callable[[], bool]) -> tuple[Row, bool]:
        """Validate if it is time to, write the epoch down; says whether it is the best so far."""
        progress, config = self.progress, self.config
        number = progress.epoch + 1
        last_step = number * len(self.batches) - 1
        row: Row = {
            "epoch": number,
            "learning_rate": config.learning_rate * self._learning_rate_factor(last_step),
            **{f"loss_{name}": value for name, value in progress.meter.means().items()},
            **dict.fromkeys(validation_figures(None, self.validation)),
        }
        improved = False
        if number % config.validate_every == 0 or number == config.epochs:
            predictions = self._validate(log, should_stop)
            row.update(validation_figures(predictions, self.validation))
            if (difference := collapsed_difference(predictions, self.validation)) is not None:
                log.warn(
                    f"the network predicts {difference:+.3f} points for every validation dive, whatever it sees: its "
                    "regression has collapsed to a constant, and more epochs seldom bring it back. Start again with a "
                    "lower --learning-rate"
                )
            srcc, are_numbers = row["val_srcc"], bool(np.isfinite(predictions.scores).all())
            if not are_numbers:
                log.warn("not all scores of the validation dives are finite numbers: this epoch is never the best one")
            # The first epoch is the best until another has an SRCC: there is none where all scores are the same.
            improved = are_numbers and (
                progress.best_epoch == 0
                or (srcc is not None and (progress.best_srcc is None or srcc > progress.best_srcc))
            )
        if improved:
            progress.best_srcc, progress.best_epoch = row["val_srcc"], number
        progress.history.append(row)
        progress.epoch, progress.meter = number, LossMeter()
        return row, improved

    def _validate(self, log: TrainLog, should_stop: Callable[[], bool]) -> Predictions:
        def after_batch() -> None:
            log.validation_batch()
            if self.processes.world_size == 1 and should_stop():
                self._save_and_stop()

        log.validating(self.validation.num_batches(self.processes))
        return predict(
            self.model,
            self.validation,
            cache_dir=self.data.cache_dir,
            workers=self.workers,
            after_batch=after_batch,
            decoding="thirds" if self.config.stages == "thirds" else DEFAULT_DECODING,
            processes=self.processes,
        )

    def _learning_rate_factor(self, step: int) -> float:
        return learning_rate_factor(self.config, step, self.total_steps)

    def _save_and_stop(self) -> None:
        self._save(LAST)
        raise Stopped

    def _save(self, name: str, row: Mapping[str, Any] | None = None) -> None:
        """Write a checkpoint; ``last.pt`` with all that resuming needs, for which all processes must call this."""
        extra: dict[str, object] = {
            "epoch": self.progress.epoch,
            "metrics": dict(row or (self.progress.history[-1] if self.progress.history else {})),
            **self.describe(),
            **({} if self.data.trained is None else in_checkpoint(self.data.trained)),
        }
        if name == LAST:
            extra["state"] = {
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.step.scaler.state_dict(),
                "progress": asdict(self.progress),
                "random": self.processes.gather(self._random_state()),
            }
        if self.processes.is_first:
            save_checkpoint(self.run_dir / name, self.model, extra=extra)

    def _random_state(self) -> list[torch.Tensor]:
        """This process's: the CPU's, and the GPU's where it trains on one."""
        on_gpu = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return [torch.get_rng_state(), *on_gpu]

    def _restore_random_state(self, state: Mapping[str, Any]) -> None:
        """Go on where this process stopped; other numbers of processes begin new streams."""
        if "random" not in state:  # written before several processes could train
            all_gpus = state["cuda_rng"]
            kept = [[state["torch_rng"], *all_gpus[self.device.index or 0 :][:1]]]
        else:
            kept = state["random"]
        if len(kept) != self.processes.world_size:
            self._seed_own_stream()
            return
        on_cpu, *on_gpu = kept[self.processes.rank]
        torch.set_rng_state(on_cpu)
        if on_gpu and self.device.type == "cuda":
            torch.cuda.set_rng_state(on_gpu[0], self.device)

    def _seed_own_stream(self) -> None:
        entropy = (self.config.seed, self.processes.rank, self.processes.world_size, self.done_steps)
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


def validation_figures(predictions: Predictions | None, plan: ScoringPlan) -> Row:
    """Figures of a validation by their CSV names; None stands for a validation that was not made."""
    if predictions is None:
        return dict.fromkeys(VALIDATION_COLUMNS)
    true = np.array([record.score for record in plan.queries])
    figures = split_figures(predictions.scores, true, predictions.transitions, predictions.true_transitions)
    return {column: figures[name] for column, name in VALIDATION_COLUMNS.items()}
