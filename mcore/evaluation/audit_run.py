"""Audit of a checkpoint on listed dives: pictures shown to the network, whole, with parts hidden, with faults moved."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mcore import metrics
from mcore.common.errors import UserError
from mcore.config import DEFAULT_DECODING, ClipConfig, Decoding
from mcore.data.cache import load_clip
from mcore.data.cache_folder import cache_folder, check_folder
from mcore.data.label_fit import label_transitions
from mcore.data.leaks import distinct, unseen
from mcore.data.manifest import DiveRecord, read_manifest, select_split
from mcore.data.redrawn import Drawing, Redrawing, ShownDive, find_drawings, redraw
from mcore.data.trained_dives import check_new, recorded_dives
from mcore.devices.device import choose_device
from mcore.evaluation.assessment import Figure
from mcore.evaluation.audit import (
    Hiding,
    Move,
    Ranking,
    Resampling,
    StageShare,
    hide_stages,
    measure_hidings,
    measure_moves,
    measure_observers,
    measure_shares,
    panel_noise,
)
from mcore.evaluation.clips import ClipBatch
from mcore.evaluation.config import MIN_DIVES, AuditOptions
from mcore.evaluation.run import trained_decoding
from mcore.evaluation.scoring import CLIPS_PER_BATCH, ScoringPlan, encode_dives, encode_records, plan_scoring
from mcore.evaluation.shortcuts import shortcut_scores
from mcore.network.checkpoint import build_model, read_checkpoint
from mcore.network.model import MCoRe, stage_deltas
from mcore.synthetic.faults import FAULT_STAGES
from mcore.synthetic.plan import DivePlan
from mcore.synthetic.render import Hideable
from mcore.synthetic.workers import render_all
from mcore.video import crop

Array = NDArray[np.float64]
Score = Callable[[Iterable[ShownDive], Sequence[int]], tuple[Array, Array]]
"""From pictures of dives and their rows in the plan to points (N,) and stage shares (N, 3)."""
Draw = Callable[[Sequence[Redrawing]], list[ShownDive]]
Pair = tuple[DiveRecord, ShownDive]
_HIDDEN: dict[Hideable, str] = {"diver": "diver not drawn", "splash": "splash not drawn"}


@dataclass(frozen=True)
class Audit:
    """Figures of an audit; lists that need drawings are empty where the dives were not drawn here."""

    num_dives: int
    whole: Figure
    """SRCC of the whole dives."""
    hidings: list[Hiding]
    moves: list[Move]
    num_moved: int
    """Dives whose faults were moved."""
    shares: list[StageShare]
    shortcuts: list[Ranking]
    observers: list[Ranking]
    panel_noise_award: float | None
    """Standard deviation of the panel's mean award around the fair one."""

    @property
    def failures(self) -> list[str]:
        """Return what was hidden at too small a cost."""
        return [each.hidden for each in self.hidings if not each.passes(self.whole)]


@dataclass(frozen=True, eq=False)
class Drawn:
    """How the dives of an audit were drawn."""

    drawings: list[Drawing]
    """Of the N dives."""
    plans: list[DivePlan]
    known: list[DivePlan]
    """Plans of training dives."""
    exemplar_points: Array
    """(N, 3) mean of ``stage_points`` over the exemplars of each dive."""
    draw: Draw


class NetworkScores:
    """Scores of pictures by a network, each dive against its own exemplars."""

    def __init__(
        self, model: MCoRe, plan: ScoringPlan, cache_dir: Path | None, decoding: Decoding = DEFAULT_DECODING
    ) -> None:
        self.model, self.plan, self.decoding = model.eval(), plan, decoding
        self.pool = encode_records(model, plan.pool, cache_dir=cache_dir, decoding=decoding).tokens
        self.pool_scores = np.array([record.score for record in plan.pool])

    def __call__(self, dives: Iterable[ShownDive], rows: Sequence[int]) -> tuple[Array, Array]:
        """Score dives, given with their rows in the plan: (N,) points and (N, 3) shares."""
        tokens = encode_dives(self.model, _batches(dives), len(rows), decoding=self.decoding).tokens
        scores, shares = [], []
        for token, row in zip(tokens, rows, strict=True):
            exemplars = self.plan.exemplars[row]
            with torch.no_grad():
                others = self.pool[torch.from_numpy(exemplars)]
                deltas = stage_deltas(self.model.token_deltas(token.expand_as(others), others)).double()  # (E, 3)
            share = deltas.mean(0).cpu().numpy()
            shares.append(share)
            scores.append(self.pool_scores[exemplars].mean() + share.sum())
        return np.array(scores), np.array(shares)


def audit(options: AuditOptions) -> Audit:
    """Audit a checkpoint.

    Raises:
        UserError: the checkpoint, the data or the device cannot be used.
    """
    check_folder(options.folder, "--out", "choose another --out DIR")
    cache_dir = cache_folder(options.data, options.cache, options.no_cache)
    checkpoint = read_checkpoint(options.checkpoint)
    model = build_model(checkpoint, options.checkpoint).to(choose_device(options.device))
    records = read_manifest(options.data)
    training = distinct(select_split(records, "train"))[0]
    fresh = unseen(select_split(records, options.split), training)
    labelled = [record for record in fresh if record.transition_frames is not None]
    trained = recorded_dives(checkpoint.extra, options.checkpoint)
    if (remark := check_new(trained, labelled, options.data, options.checkpoint)) is not None:
        print(f"note: {remark}", file=sys.stderr)
    if len(labelled) < MIN_DIVES:
        raise UserError(
            f"{len(labelled)} {options.split} dives of {options.data} have transition_frames; it takes {MIN_DIVES}"
        )
    rows = np.unique(np.linspace(0, len(labelled) - 1, options.num_dives).round().astype(int))
    plan = plan_scoring(
        [labelled[row] for row in rows], training, num_exemplars=options.num_exemplars, seed=options.seed
    )
    config = model.config.clip

    def shown(records: Sequence[DiveRecord]) -> Iterator[Pair]:
        for record in records:
            clip = load_clip(record, config, cache_dir)
            yield record, ShownDive(np.array(crop(clip.frames, config)), label_transitions(record, clip))

    return conduct(
        NetworkScores(model, plan, cache_dir, trained_decoding(checkpoint)),
        list(shown(plan.queries)),
        shown([record for record in training if record.transition_frames is not None]),
        None if options.no_drawing else _find_drawn(options, plan, training),
        config=config,
        num_moved=options.num_moved,
        resampling=Resampling(options.num_resamples, options.seed),
    )


def conduct(
    score: Score,
    dives: Sequence[Pair],
    training: Iterable[Pair],
    drawn: Drawn | None,
    *,
    config: ClipConfig,
    num_moved: int,
    resampling: Resampling,
) -> Audit:
    """Make every measurement that the dives allow.

    Args:
        score: the network, or anything else that scores pictures.
        dives: N dives with their pictures.
        training: dives to learn shortcuts from.
        drawn: how the dives were drawn; None: they were not drawn here.
        config: sampling contract, for new drawings.
        num_moved: dives whose faults are moved, at most.
        resampling: of the intervals.
    """
    everyone = range(len(dives))
    true = np.array([record.score for record, _ in dives])
    scores, shares = score([dive for _, dive in dives], everyone)
    painted = [hide_stages(dive) for _, dive in dives]
    hidden = {name: score([each[name] for each in painted], everyone)[0] for name in painted[0]}
    guesses = shortcut_scores(dives, training)
    shortcuts = [Ranking(name, resampling.figure(metrics.srcc, guess, true)) for name, guess in guesses.items()]
    moves: list[Move] = []
    if drawn is not None:
        jobs = [Redrawing(drawing, config, hidden=what) for what in _HIDDEN for drawing in drawn.drawings]
        redrawn = score(drawn.draw(jobs), [*everyone] * len(_HIDDEN))[0].reshape(len(_HIDDEN), -1)  # (parts, N)
        hidden |= dict(zip(_HIDDEN.values(), redrawn, strict=True))
        moved = np.unique(np.linspace(0, len(dives) - 1, num_moved).round().astype(int)).tolist()
        moves = _moves(score, drawn, moved, config, resampling)
    return Audit(
        num_dives=len(dives),
        whole=resampling.figure(metrics.srcc, scores, true),
        hidings=measure_hidings(scores, hidden, true, resampling),
        moves=moves,
        num_moved=min(num_moved, len(dives)) if moves else 0,
        shares=[] if drawn is None else measure_shares(shares, _drawn_shares(drawn), resampling),
        shortcuts=shortcuts,
        observers=[] if drawn is None else measure_observers(drawn.plans, drawn.known, true, resampling),
        panel_noise_award=None if drawn is None else panel_noise(drawn.plans, [record for record, _ in dives]),
    )


def _moves(score: Score, drawn: Drawn, rows: list[int], config: ClipConfig, resampling: Resampling) -> list[Move]:
    ends = [(fault, severity) for fault in FAULT_STAGES for severity in (0.0, 1.0)]
    jobs = [Redrawing(drawn.drawings[row], config, severities=(end,)) for end in ends for row in rows]
    shown = drawn.draw(jobs)
    scores = score(shown, rows * len(ends))[0].reshape(-1, 2, len(rows))  # (faults, severities, dives)
    found, pictures, plans = {}, {}, {}
    for index, (fault, (without, gross)) in enumerate(zip(FAULT_STAGES, scores, strict=True)):
        found[fault] = gross - without
        good, bad = (shown[first : first + len(rows)] for first in (2 * index * len(rows), (2 * index + 1) * len(rows)))
        pictures[fault] = float(np.mean([_difference(a, b) for a, b in zip(good, bad, strict=True)]))
        plans[fault] = [
            (drawn.drawings[row].plan({fault: 0.0}), drawn.drawings[row].plan({fault: 1.0})) for row in rows
        ]
    return measure_moves(found, pictures, plans, resampling)


def _difference(a: ShownDive, b: ShownDive) -> float:
    """Mean absolute difference of the pictures, grey levels."""
    return float(np.abs(a.frames.astype(np.int16) - b.frames).mean())


def _drawn_shares(drawn: Drawn) -> Array:
    return np.array([plan.stage_points for plan in drawn.plans]) - drawn.exemplar_points


def _find_drawn(options: AuditOptions, plan: ScoringPlan, training: Sequence[DiveRecord]) -> Drawn | None:
    queries, pool, known = (find_drawings(options.data, group) for group in (plan.queries, plan.pool, training))
    if queries is None or pool is None or known is None:
        return None
    points = np.array([each.stage_points for _, each in pool])
    return Drawn(
        drawings=[drawing for drawing, _ in queries],
        plans=[each for _, each in queries],
        known=[each for _, each in known],
        exemplar_points=np.array([points[rows].mean(0) for rows in plan.exemplars]),
        draw=lambda jobs: render_all(redraw, jobs, options.workers),
    )


def _batches(dives: Iterable[ShownDive]) -> Iterator[ClipBatch]:
    waiting = list(dives)
    for first in range(0, len(waiting), CLIPS_PER_BATCH):
        batch = waiting[first : first + CLIPS_PER_BATCH]
        frames = np.stack([dive.frames for dive in batch])
        yield ClipBatch(torch.from_numpy(frames), torch.tensor([dive.transitions for dive in batch]))
