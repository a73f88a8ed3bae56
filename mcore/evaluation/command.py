"""Evaluate a checkpoint on dives it has not seen, beside yardsticks that never look at the dive.

Run it with ``python -m mcore.evaluate runs/first/best.pt --data manifest.jsonl --out runs/first/test``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mcore.common.conformal import CALIBRATION_SPLIT, LEAST_DIVES
from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.data.clip_files import cache_folder, check_folder, decode_missing
from mcore.data.manifest import DiveRecord, dive_names, read_manifest, select_split
from mcore.devices.allocator import keep_freed_memory
from mcore.devices.device import choose_device
from mcore.evaluation.assessment import Calibrations, Outcome, assess
from mcore.evaluation.baselines import constant_transitions, dive_number_means
from mcore.evaluation.files import EVALUATION_FILES, Report, with_interval, write_evaluation
from mcore.evaluation.scoring import Plan, Predictions, plan_scoring, predict
from mcore.network.checkpoint import Checkpoint, build_model, read_checkpoint
from mcore.network.decoding import Decoding

ExemplarChoice = Literal["random", "shared", "nearest"]


@dataclass(frozen=True)
class Options:
    """What to evaluate."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Checkpoint: ours or the published layout."""
    data: Path
    """List of dives (.jsonl or .csv) with the split and train, whose dives are the exemplars."""
    out: Path | None = None
    """Folder for metrics.json, predictions.csv, scatter.png and boundaries.png; default: one named after the split,
    beside the checkpoint."""
    split: Literal["val", "test"] = "test"
    """Dives to score; those of train are the exemplars."""
    num_exemplars: int | Literal["all"] = 10
    """Exemplars of each dive, fewer where its number has fewer; all takes every training dive of the number."""
    exemplars: ExemplarChoice = "random"
    """Which: random as published; shared, the same for all dives of a number, which are those that mcore-export stores
    for the same number and seed; or nearest, those that look most like the dive."""
    decoding: Decoding | None = None
    """How transitions are found: published (each in its half of the clip, the default), ordered (the most probable
    pair of the whole clip), or thirds (not at all; the default for a network trained with --stages thirds)."""
    num_resamples: int = 1000
    """Resamples of each interval."""
    seed: int = 0
    """Decides exemplars and resamples."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    workers: int = 0
    """Processes that read clips."""
    cache: Path | None = None
    """Folder of decoded clips; default: .clips beside the list of dives."""
    no_cache: bool = False
    """Decode the videos and keep nothing."""

    @property
    def folder(self) -> Path:
        """Where the files go."""
        return self.out or self.checkpoint.parent / self.split


def run_arguments(argv: Sequence[str] | None) -> int:
    """Evaluate as the command line says; returns the exit code."""
    options = tyro.cli(
        Options,
        args=argv,
        prog="python -m mcore.evaluate",
        description=__doc__,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    report = evaluate_checkpoint(options)
    print_report(report, options)
    return 0


def evaluate_checkpoint(options: Options) -> Report:
    """Evaluate a checkpoint and write metrics.json, predictions.csv, scatter.png and boundaries.png.

    The validation dives are scored in the same way, and calibrate the intervals around the scores of the test dives.

    Raises:
        UserError: the checkpoint, the data or the device cannot be used.
    """
    count = None if options.num_exemplars == "all" else options.num_exemplars
    if options.num_resamples < 1 or (count is not None and count < 1):
        raise UserError("--num-exemplars and --num-resamples must be at least 1")
    check_folder(options.folder, "--out", "choose another --out DIR")
    cache_dir = cache_folder(options.data, options.cache, options.no_cache)
    checkpoint = read_checkpoint(options.checkpoint)
    model = build_model(checkpoint, options.checkpoint).to(choose_device(options.device))
    keep_freed_memory()
    decoding = options.decoding or _trained_decoding(checkpoint)
    records = read_manifest(options.data)
    training = select_split(records, "train")
    nearest = options.exemplars == "nearest"
    others = [record for record in records if record.split == CALIBRATION_SPLIT != options.split]
    plan = plan_scoring(
        [*select_split(records, options.split), *others],
        training,
        num_exemplars=None if nearest else count,
        seed=options.seed,
        shared=options.exemplars == "shared",
    )
    num_dives = sum(record.split == options.split for record in plan.queries)
    if not num_dives:
        raise UserError(f"none of {len(plan.skipped)} {options.split} dives has an exemplar of its number")
    if cache_dir is not None:
        decode_missing([*plan.queries, *plan.pool], model.config.clip, cache_dir, options.workers)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        encoding = progress.add_task("encoding clips", total=plan.num_batches())
        predictions = predict(
            model,
            plan,
            cache_dir=cache_dir,
            workers=options.workers,
            after_batch=lambda: progress.advance(encoding),
            decoding=decoding,
            nearest=count if nearest else None,
        )
    both = _outcome(plan, predictions, training, model.config.clip, cache_dir)
    outcome, calibrations = both.rows(0, num_dives), Calibrations.of(both.rows(num_dives, None))
    epoch = checkpoint.extra.get("epoch")
    report = Report(
        rows=assess(outcome, calibrations=calibrations, num_resamples=options.num_resamples, seed=options.seed),
        dives=plan.queries[:num_dives],
        names=dive_names(plan.queries[:num_dives], options.data),
        skipped=[record for record in plan.skipped if record.split == options.split],
        outcome=outcome,
        calibrations=calibrations,
        checkpoint_epoch=epoch if isinstance(epoch, int) else None,
        decoding=decoding,
    )
    write_evaluation(report, options.folder, options.split, _settings(options, decoding))
    return report


def _trained_decoding(checkpoint: Checkpoint) -> Decoding:
    """Published, unless the network was trained without segmentation."""
    training = checkpoint.extra.get("training")
    return "thirds" if isinstance(training, dict) and training.get("stages") == "thirds" else "published"


def _settings(options: Options, decoding: Decoding) -> dict[str, Any]:
    """What was evaluated, and how, for metrics.json."""
    return {
        "checkpoint": str(options.checkpoint),
        "checkpoint_sha256": hashlib.sha256(options.checkpoint.read_bytes()).hexdigest(),
        "data": str(options.data),
        "data_sha256": hashlib.sha256(options.data.read_bytes()).hexdigest(),
        "split": options.split,
        "num_exemplars": options.num_exemplars,
        "exemplars": options.exemplars,
        "decoding": decoding,
        "seed": options.seed,
        "num_resamples": options.num_resamples,
        "interval_level": 0.95,
    }


def print_report(report: Report, options: Options) -> None:
    """Print the table of an evaluation; 80 columns hold it."""
    epoch = "" if report.checkpoint_epoch is None else f", epoch {report.checkpoint_epoch}"
    table = Table(title=f"{options.checkpoint.name}{epoch}: {len(report.dives)} {options.split} dives")
    table.add_column("↑ higher, ↓ lower is better", no_wrap=True)
    table.add_column("network [95 %]", justify="right", no_wrap=True)
    table.add_column("yardstick [95 %]", justify="right", no_wrap=True)
    for row in report.rows:
        arrow = "↑" if row.higher_is_better else "↓"
        table.add_row(f"{row.title} {arrow}", with_interval(row.model), with_interval(row.yardstick))
    Console().print(table)
    if (options.exemplars, report.decoding) != ("random", "published"):
        print(f"exemplars: {options.exemplars}; transitions: {report.decoding}")
    print("yardsticks: mean training score of the dive number; median training transitions")
    if report.calibrations is not None:
        print(f"intervals: calibrated on {report.calibrations.model.num_dives} {CALIBRATION_SPLIT} dives")
    elif options.split != CALIBRATION_SPLIT:
        print(f"no calibrated interval: that takes {LEAST_DIVES} {CALIBRATION_SPLIT} dives")
    print(f"network minus yardstick, SRCC: {with_interval(report.rows[0].difference)}")
    if report.skipped:
        names = ", ".join(sorted({record.dive_number for record in report.skipped}))
        print(f"skipped {len(report.skipped)} dives of numbers without a training dive: {names}")
    for name in EVALUATION_FILES:
        if (options.folder / name).exists():
            print(options.folder / name)


def _outcome(
    plan: Plan, predictions: Predictions, training: list[DiveRecord], config: ClipConfig, cache_dir: Path | None
) -> Outcome:
    labelled = any(record.transition_frames is not None for record in training)
    return Outcome(
        scores=predictions.scores,
        true_scores=np.array([record.score for record in plan.queries]),
        yardstick_scores=dive_number_means(plan.queries, training),
        difficulties=np.array([record.difficulty or np.nan for record in plan.queries]),
        transitions=predictions.transitions,
        true_transitions=predictions.true_transitions,
        yardstick_transitions=constant_transitions(training, config, cache_dir) if labelled else None,
        spread=predictions.spread,
    )
