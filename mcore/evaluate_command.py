"""Evaluate a checkpoint on dives it has not seen, beside yardsticks that never look at the dive.

Run it with ``python -m mcore.evaluate runs/first/best.pt --data manifest.jsonl --out runs/first/test``.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mcore.allocator import keep_freed_memory
from mcore.assessment import Figure, MetricRow, Outcome, assess
from mcore.checkpoint import Checkpoint, build_model, read_checkpoint
from mcore.clip_files import cache_folder, check_folder, decode_missing
from mcore.config import ClipConfig
from mcore.data.manifest import DiveRecord, read_manifest, select_split
from mcore.decoding import Decoding
from mcore.devices import choose_device
from mcore.errors import UserError
from mcore.files import write_text
from mcore.plots import scatter_plot
from mcore.scoring import Plan, Predictions, plan_scoring, predict
from mcore.yardsticks import constant_transitions, dive_number_means

ExemplarChoice = Literal["random", "nearest"]
PREDICTION_COLUMNS = (
    "path",
    "dive_number",
    "true_score",
    "predicted_score",
    "exemplar_spread",
    "dive_number_mean",
    "flight_frame",
    "entry_frame",
    "true_flight_frame",
    "true_entry_frame",
)
"""Columns of predictions.csv; frames are sampled frames, empty where they are not labelled."""


@dataclass(frozen=True)
class Options:
    """What to evaluate."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Checkpoint: ours or the published layout."""
    data: Path
    """List of dives (.jsonl or .csv) with the split and train, whose dives are the exemplars."""
    out: Path
    """Folder for metrics.json, predictions.csv and scatter.png."""
    split: Literal["val", "test"] = "test"
    """Dives to score; those of train are the exemplars."""
    num_exemplars: int | Literal["all"] = 10
    """Exemplars of each dive, fewer where its number has fewer; all takes every training dive of the number."""
    exemplars: ExemplarChoice = "random"
    """Which: random as published, or those that look most like the dive."""
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


@dataclass(frozen=True)
class Report:
    """An evaluation's figures."""

    rows: list[MetricRow]
    """Metrics of network and yardstick."""
    plan: Plan
    """Dives and exemplars."""
    predictions: Predictions
    """By dive."""
    checkpoint_epoch: int | None
    """Epochs behind the checkpoint; None where it does not say."""
    decoding: Decoding
    """How transitions were found."""

    def value(self, name: str) -> float | None:
        """The network's figure by its name, such as ``srcc``."""
        return next(row.model.value for row in self.rows if row.name == name)


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
    """Evaluate a checkpoint and write metrics.json, predictions.csv and scatter.png.

    Raises:
        UserError: the checkpoint, the data or the device cannot be used.
    """
    count = None if options.num_exemplars == "all" else options.num_exemplars
    if options.num_resamples < 1 or (count is not None and count < 1):
        raise UserError("--num-exemplars and --num-resamples must be at least 1")
    check_folder(options.out, "--out", "choose another --out DIR")
    cache_dir = cache_folder(options.data, options.cache, options.no_cache)
    checkpoint = read_checkpoint(options.checkpoint)
    model = build_model(checkpoint, options.checkpoint).to(choose_device(options.device))
    keep_freed_memory()
    decoding = options.decoding or _trained_decoding(checkpoint)
    records = read_manifest(options.data)
    training = select_split(records, "train")
    nearest = options.exemplars == "nearest"
    plan = plan_scoring(
        select_split(records, options.split),
        training,
        num_exemplars=None if nearest else count,
        seed=options.seed,
    )
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
    outcome = _outcome(plan, predictions, training, model.config.clip, cache_dir)
    rows = assess(outcome, num_resamples=options.num_resamples, seed=options.seed)
    epoch = checkpoint.extra.get("epoch")
    report = Report(rows, plan, predictions, epoch if isinstance(epoch, int) else None, decoding)
    _write(report, outcome, options)
    return report


def _trained_decoding(checkpoint: Checkpoint) -> Decoding:
    """Published, unless the network was trained without segmentation."""
    training = checkpoint.extra.get("training")
    return "thirds" if isinstance(training, dict) and training.get("stages") == "thirds" else "published"


def print_report(report: Report, options: Options) -> None:
    """Print the table of an evaluation; 80 columns hold it."""
    plan = report.plan
    epoch = "" if report.checkpoint_epoch is None else f", epoch {report.checkpoint_epoch}"
    table = Table(title=f"{options.checkpoint.name}{epoch}: {len(plan.queries)} {options.split} dives")
    table.add_column("↑ higher, ↓ lower is better", no_wrap=True)
    table.add_column("network [95 %]", justify="right", no_wrap=True)
    table.add_column("yardstick [95 %]", justify="right", no_wrap=True)
    for row in report.rows:
        arrow = "↑" if row.higher_is_better else "↓"
        table.add_row(f"{row.title} {arrow}", _with_interval(row.model), _with_interval(row.yardstick))
    Console().print(table)
    if (options.exemplars, report.decoding) != ("random", "published"):
        print(f"exemplars: {options.exemplars}; transitions: {report.decoding}")
    print("yardsticks: mean training score of the dive number; median training transitions")
    print(f"network minus yardstick, SRCC: {_with_interval(report.rows[0].difference)}")
    if plan.skipped:
        names = ", ".join(sorted({record.dive_number for record in plan.skipped}))
        print(f"skipped {len(plan.skipped)} dives of numbers without a training dive: {names}")
    for name in ("metrics.json", "predictions.csv", "scatter.png"):
        print(options.out / name)


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
    )


def _write(report: Report, outcome: Outcome, options: Options) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    summary = {
        "checkpoint": str(options.checkpoint),
        "checkpoint_sha256": hashlib.sha256(options.checkpoint.read_bytes()).hexdigest(),
        "checkpoint_epoch": report.checkpoint_epoch,
        "data": str(options.data),
        "data_sha256": hashlib.sha256(options.data.read_bytes()).hexdigest(),
        "split": options.split,
        "num_dives": len(report.plan.queries),
        "num_skipped": len(report.plan.skipped),
        "num_exemplars": options.num_exemplars,
        "exemplars": options.exemplars,
        "decoding": report.decoding,
        "seed": options.seed,
        "num_resamples": options.num_resamples,
        "interval_level": 0.95,
        "metrics": {row.name: dataclasses.asdict(row) for row in report.rows},
    }
    write_text(options.out / "metrics.json", json.dumps(summary, indent=2) + "\n")
    _write_predictions(report, outcome, options.out / "predictions.csv")
    queries = report.plan.queries
    srcc = report.rows[0]
    scatter_plot(
        options.out / "scatter.png",
        outcome.scores,
        outcome.true_scores,
        report.predictions.spread,
        [record.dive_number for record in queries],
        f"{len(queries)} {options.split} dives, SRCC {_number(srcc.model.value)} "
        f"(dive-number mean {_number(srcc.yardstick.value)})",
    )


def _write_predictions(report: Report, outcome: Outcome, path: Path) -> None:
    """One line a dive; transitions on the sampled frames, empty where they are not labelled."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(PREDICTION_COLUMNS)
        for i, record in enumerate(report.plan.queries):
            true = ["" if frame < 0 else int(frame) for frame in outcome.true_transitions[i]]
            points = (outcome.scores[i], report.predictions.spread[i], outcome.yardstick_scores[i])
            texts = [f"{value:.4f}" for value in points]
            frames = [*outcome.transitions[i].tolist(), *true]
            writer.writerow([record.path, record.dive_number, record.score, *texts, *frames])


def _number(value: float | None) -> str:
    """Three digits after the point for shares, fewer for points."""
    if value is None:
        return "undefined"
    return f"{value:.{3 if abs(value) < 1 else 2 if abs(value) < 10 else 1}f}"


def _with_interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return _number(figure.value)
    return f"{_number(figure.value)} [{_number(figure.low)}, {_number(figure.high)}]"
