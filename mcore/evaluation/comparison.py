"""Comparison of runs with the first of them, on the dives that all of them scored. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcore.common.errors import UserError
from mcore.diving.label_difficulty import fitting_difficulty
from mcore.evaluation.assessment import ConformalIntervals, Figure, MetricRow, Outcome, assess
from mcore.evaluation.run_folders import Run


@dataclass(frozen=True)
class ComparedMetric:
    """One metric of all runs."""

    title: str
    higher_is_better: bool
    figures: tuple[Figure, ...]
    """Figure of each run, by its name."""
    differences: tuple[Figure, ...]
    """Each other run less the first, on the same resamples of dives."""


@dataclass(frozen=True)
class RunComparison:
    """Figures of several runs on the same dives."""

    runs: tuple[Run, ...]
    num_dives: int
    """Dives that all of them scored."""
    settings: Mapping[str, tuple[Any, ...]]
    """Settings that differ, by run; None: a run does not record it."""
    metrics: Mapping[str, ComparedMetric]
    """Metrics by their names in metrics.json."""


def compare_runs(runs: Sequence[Run], *, num_resamples: int = 1000, seed: int = 0) -> RunComparison:
    """Compare runs with the first one.

    Args:
        runs: at least two.
        num_resamples: resamples of each interval.
        seed: of the resampling; all runs are resampled alike.

    Raises:
        UserError: fewer than two runs, no dive in common, or labels that contradict each other.
    """
    if len(runs) < 2:
        raise UserError(f"{len(runs)} run to compare; give at least two")
    common = [dive for dive in runs[0].dives if all(dive in run.dives for run in runs[1:])]
    if not common:
        raise UserError(
            f"{' and '.join(run.name for run in runs)} have no dive in common: they were evaluated on other lists. "
            "Evaluate them on the same --data"
        )
    for run in runs[1:]:
        _check_labels(runs[0], run, common)
    tables = [{row.name: row for row in _differences_to(run, runs[0], common, num_resamples, seed)} for run in runs[1:]]
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    return RunComparison(
        runs=tuple(runs),
        num_dives=len(common),
        settings=different_settings(runs),
        metrics={name: _metric([table[name] for table in tables]) for name in shared},
    )


def different_settings(runs: Sequence[Run]) -> dict[str, tuple[Any, ...]]:
    """Find the settings in which runs differ, in the order of their files; None where a run has no such setting."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: tuple(run.settings.get(name) for run in runs) for name in names}
    known = {
        name: [value for run, value in zip(runs, each, strict=True) if run.records_setting(name)]
        for name, each in values.items()
    }
    return {name: each for name, each in values.items() if any(value != known[name][0] for value in known[name])}


def _check_labels(first: Run, other: Run, common: Sequence[str]) -> None:
    for dive in common:
        ours, theirs = first.dives[dive], other.dives[dive]
        if (ours.dive_number, ours.true_score) != (theirs.dive_number, theirs.true_score):
            raise UserError(
                f"{dive} is a {ours.dive_number} of {ours.true_score} points in {first.name}, a "
                f"{theirs.dive_number} of {theirs.true_score} in {other.name}: the runs do not speak of the same dives"
            )


def _differences_to(run: Run, first: Run, common: Sequence[str], num_resamples: int, seed: int) -> list[MetricRow]:
    """The metrics of a run beside those of the first, which stands in the baseline's place."""
    ours, theirs = ([each.dives[dive] for dive in common] for each in (run, first))
    # Sampled frames mean the same only if both runs sample alike.
    alike = all(a.true_transitions == b.true_transitions for a, b in zip(ours, theirs, strict=True))
    outcome = Outcome(
        scores=np.array([dive.predicted_score for dive in ours]),
        true_scores=np.array([dive.true_score for dive in ours]),
        baseline_scores=np.array([dive.predicted_score for dive in theirs]),
        dive_numbers=np.array([dive.dive_number for dive in ours]),
        difficulties=np.array(
            [fitting_difficulty(dive.dive_number, dive.difficulty, dive.true_score) for dive in ours]
        ),
        transitions=np.array([(dive.flight_frame, dive.entry_frame) for dive in ours]),
        true_transitions=np.array([(alike and dive.true_transitions) or (-1, -1) for dive in ours]),
        baseline_transitions=np.array([(dive.flight_frame, dive.entry_frame) for dive in theirs]),
        exemplar_std=np.zeros(len(ours)),
    )
    intervals = None
    if run.conformal_interval is not None and first.conformal_interval is not None:
        intervals = ConformalIntervals(run.conformal_interval, first.conformal_interval)
    return assess(outcome, intervals=intervals, num_resamples=num_resamples, seed=seed)


def _metric(rows: Sequence[MetricRow]) -> ComparedMetric:
    figures = (rows[0].baseline, *(row.model for row in rows))
    return ComparedMetric(rows[0].title, rows[0].higher_is_better, figures, tuple(row.difference for row in rows))
