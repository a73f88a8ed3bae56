"""Evaluation of a checkpoint on listed dives: from its options to the files of its report."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from mcore.common.conformal import CONFORMAL_SPLIT
from mcore.common.errors import UserError
from mcore.config import DEFAULT_DECODING, ClipConfig, Decoding
from mcore.data.cache_folder import cache_folder, check_folder, decode_missing
from mcore.data.leaks import distinct, unseen
from mcore.data.manifest import DiveRecord, dive_names, read_manifest, select_split
from mcore.data.trained_dives import TrainedDives, check_new, recorded_dives
from mcore.devices.cpu import turn_malloc_trimming_off
from mcore.devices.device import choose_device
from mcore.diving.label_difficulty import fitting_difficulty
from mcore.evaluation.assessment import ConformalIntervals, Outcome, assess
from mcore.evaluation.baselines import constant_transitions, dive_number_means
from mcore.evaluation.config import EvaluationOptions
from mcore.evaluation.report import EvaluationSummary, Report, write_evaluation
from mcore.evaluation.scoring import Predictions, ScoringPlan, plan_scoring, predict
from mcore.network.checkpoint import Checkpoint, build_model, read_checkpoint
from mcore.network.model import MCoRe


def evaluate(options: EvaluationOptions) -> Report:
    """Evaluate a checkpoint and write metrics.json, predictions.csv, scatter.png and boundaries.png.

    The validation dives are scored in the same way: their errors give the conformal intervals of the test dives.

    Raises:
        UserError: the checkpoint, the data or the device cannot be used.
    """
    check_folder(options.folder, "--out", "choose another --out DIR")
    cache_dir = cache_folder(options.data, options.cache, options.no_cache)
    checkpoint = read_checkpoint(options.checkpoint)
    model = build_model(checkpoint, options.checkpoint).to(choose_device(options.device))
    turn_malloc_trimming_off()
    decoding = options.decoding or trained_decoding(checkpoint)
    trained = recorded_dives(checkpoint.extra, options.checkpoint)
    training, plan, num_dives = _plan(options, trained)
    if cache_dir is not None:
        decode_missing([*plan.queries, *plan.pool], model.config.clip, cache_dir, options.workers)
    predictions = _predict(options, model, plan, decoding, cache_dir)
    both = _outcome(plan, predictions, training, model.config.clip, cache_dir)
    outcome, intervals = both.rows(0, num_dives), ConformalIntervals.of(both.rows(num_dives, None))
    rows = assess(outcome, intervals=intervals, num_resamples=options.num_resamples, seed=options.seed)
    skipped = [record for record in plan.skipped if record.split == options.split]
    epoch = checkpoint.extra.get("epoch")
    summary = EvaluationSummary(
        checkpoint=str(options.checkpoint),
        checkpoint_sha256=hashlib.sha256(options.checkpoint.read_bytes()).hexdigest(),
        data=str(options.data),
        data_sha256=hashlib.sha256(options.data.read_bytes()).hexdigest(),
        split=options.split,
        num_exemplars=options.num_exemplars,
        exemplars=options.exemplars,
        decoding=decoding,
        seed=options.seed,
        num_resamples=options.num_resamples,
        interval_level=0.95,
        checkpoint_epoch=epoch if isinstance(epoch, int) else None,
        num_dives=num_dives,
        num_skipped=len(skipped),
        conformal_interval=None if intervals is None else intervals.model,
        metrics={row.name: row for row in rows},
        trained_on=trained.summary(),
    )
    dives = plan.queries[:num_dives]
    report = Report(summary, dives, dive_names(dives, options.data), skipped, outcome, intervals)
    write_evaluation(report, options.folder)
    return report


def trained_decoding(checkpoint: Checkpoint) -> Decoding:
    """The default, unless the network was trained without segmentation."""
    training = checkpoint.extra.get("training")
    return "thirds" if isinstance(training, dict) and training.get("stages") == "thirds" else DEFAULT_DECODING


def _plan(options: EvaluationOptions, trained: TrainedDives) -> tuple[list[DiveRecord], ScoringPlan, int]:
    """Training dives, and a plan of the dives to score, then of the validation dives; the first are so many."""
    records = read_manifest(options.data)
    training, repeated = distinct(select_split(records, "train"))
    scored = select_split(records, options.split)
    fresh = {id(record) for record in unseen(scored, training)}
    leaked = [record for record in scored if id(record) not in fresh]
    _warn_of_repeats(repeated, "training dives repeat others, and are no exemplars")
    _warn_of_repeats(leaked, f"{options.split} dives repeat training dives, which flatters the figures")
    validation = [record for record in records if record.split == CONFORMAL_SPLIT != options.split]
    measuring = unseen([record for record in [*scored, *validation] if record.split != "train"], training)
    if (remark := check_new(trained, measuring, options.data, options.checkpoint)) is not None:
        print(f"note: {remark}", file=sys.stderr)
    # The nearest exemplars are known only when all candidates of the number are encoded.
    every = options.exemplars == "nearest" or options.num_exemplars == "all"
    plan = plan_scoring(
        [*scored, *validation],
        training,
        num_exemplars=None if every else _count(options),
        seed=options.seed,
    )
    num_dives = sum(record.split == options.split for record in plan.queries)
    if not num_dives:
        raise UserError(f"none of {len(plan.skipped)} {options.split} dives has an exemplar of its number")
    return training, plan, num_dives


def _warn_of_repeats(dives: list[DiveRecord], what: str) -> None:
    if dives:
        where = dives[0].listed_at or dives[0].path
        print(f"warning: {len(dives)} {what}, such as {where}; mcore-data check names them", file=sys.stderr)


def _count(options: EvaluationOptions) -> int | None:
    return None if options.num_exemplars == "all" else options.num_exemplars


def _predict(
    options: EvaluationOptions, model: MCoRe, plan: ScoringPlan, decoding: Decoding, cache_dir: Path | None
) -> Predictions:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        encoding = progress.add_task("encoding clips", total=plan.num_batches())
        return predict(
            model,
            plan,
            cache_dir=cache_dir,
            workers=options.workers,
            after_batch=lambda: progress.advance(encoding),
            decoding=decoding,
            num_nearest=_count(options) if options.exemplars == "nearest" else None,
        )


def _outcome(
    plan: ScoringPlan,
    predictions: Predictions,
    training: list[DiveRecord],
    config: ClipConfig,
    cache_dir: Path | None,
) -> Outcome:
    constant = None
    if any(record.transition_frames is not None for record in training):
        constant = np.tile(constant_transitions(training, config, cache_dir), (len(plan.queries), 1))  # (N, 2)
    return Outcome(
        scores=predictions.scores,
        true_scores=np.array([record.score for record in plan.queries]),
        baseline_scores=dive_number_means(plan.queries, training),
        dive_numbers=np.array([record.dive_number for record in plan.queries]),
        difficulties=np.array(
            [fitting_difficulty(each.dive_number, each.difficulty, each.score) for each in plan.queries]
        ),
        transitions=predictions.transitions,
        true_transitions=predictions.true_transitions,
        baseline_transitions=constant,
        exemplar_std=predictions.exemplar_std,
    )
