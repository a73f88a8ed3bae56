"""What validation dives say of a bundle's scores: intervals, which dives are known, which shares can be trusted.

They are neither learned from nor exemplars. Nothing here needs torch. What is promised is said in
``mcore.common.conformal``, ``mcore.common.likeness`` and ``mcore.data.stage_shares``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mcore.common.conformal import CONFORMAL_SPLIT, MIN_DIVES, ConformalInterval, conformal_interval
from mcore.common.likeness import KnownDives, describe_known_dives
from mcore.common.recognition import Recogniser, describe
from mcore.config import EXEMPLARS_PER_NUMBER, STAGES, ClipConfig
from mcore.data.leaks import unseen
from mcore.data.manifest import DiveRecord, Split, read_manifest
from mcore.data.stage_shares import StageShares, compare_shares, describe_shares
from mcore.data.trained_dives import TrainedDives, check_new
from mcore_export.exemplars.dive_scores import Comparer, SameAndOtherNumbers, Scores, score_same_and_other_numbers
from mcore_export.log import Log
from mcore_runtime.backends import open_backend
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.records import ConformalIntervals, GraphSet, Precision
from mcore_runtime.scoring.likeness import known_dives

_NOT_KNOWN = (float("nan"),) * len(STAGES)


@dataclass(frozen=True)
class Calibration:
    """What validation dives say of one precision's scores."""

    conformal: ConformalIntervals
    known_dives: KnownDives | None
    """None: too few of the dives could be read."""
    stage_shares: StageShares | None
    """None: the points of the stages are not known of enough dives."""
    recogniser: Recogniser | None = None
    """Calibrated; None as for ``known_dives``, or there was none to calibrate."""


def interval_dives(dives: Path, split: Split, trained: TrainedDives, network: Path, log: Log) -> list[DiveRecord]:
    """Find the validation dives of the exemplars' list, which set the intervals; cheap, so do it before exporting.

    Args:
        dives: list of dives that the exemplars are chosen from.
        split: part of it that they are chosen from.
        trained: what the network was trained on.
        network: its checkpoint or bundle.
        log: gets a line where there will be no intervals, or something is to be said about the list.

    Returns:
        The dives; empty where there are too few.

    Raises:
        UserError: the network was trained on some of them.
    """
    listed = read_manifest(dives, on_bad_line=lambda fault: None)  # named when the exemplars are chosen
    records = [record for record in listed if record.split == CONFORMAL_SPLIT]
    if split != CONFORMAL_SPLIT:
        held_out = unseen(records, [record for record in listed if record.split == split])
        if repeated := len(records) - len(held_out):
            log(f"left out of the intervals: {repeated} {CONFORMAL_SPLIT} dives that are {split} dives too")
        records = held_out
    if split == CONFORMAL_SPLIT or len(records) < MIN_DIVES:
        why = "they are the exemplars" if split == CONFORMAL_SPLIT else f"at least {MIN_DIVES} are needed"
        log(f"no conformal interval: {dives.name} has {len(records)} {CONFORMAL_SPLIT} dives, and {why}")
        return []
    if (remark := check_new(trained, records, dives, network)) is not None:
        log(f"note: {remark}")
    return records


def fit_intervals(
    variants: Mapping[Precision, GraphSet],
    banks: Mapping[Precision, ExemplarBank],
    recognisers: Mapping[Precision, Recogniser | None],
    exemplars: Sequence[DiveRecord],
    clip_config: ClipConfig,
    records: Sequence[DiveRecord],
    dives: Path,
    log: Log,
) -> dict[Precision, Calibration]:
    """Score and measure validation dives with every precision, as the runtime will score others.

    Args:
        variants: the exported graphs.
        banks: their exemplars.
        recognisers: what tells dive numbers apart, not calibrated yet; a precision that has none is left out, or None.
        exemplars: the labels of these.
        clip_config: the network's input contract.
        records: from ``interval_dives``.
        dives: their list.
        log: gets a line for each precision.

    Returns:
        By precision; empty where there are no dives.
    """
    if not records:
        return {}
    began = time.perf_counter()
    with ExitStack() as stack:
        backends = {
            name: stack.enter_context(closing(open_backend(graphs, "onnxruntime"))) for name, graphs in variants.items()
        }
        comparers = {name: Comparer(backend, banks[name], EXEMPLARS_PER_NUMBER) for name, backend in backends.items()}
        scores = score_same_and_other_numbers(comparers, clip_config, records, "fitting intervals", log)
        calibrated = {name: _calibrate(recognisers.get(name), scores[name], comparers[name]) for name in scores}
    took, found = time.perf_counter() - began, {}
    for name, both in scores.items():
        measured, others = (
            conformal_interval(part.predicted, part.true, difficulties=part.difficulties)
            for part in (both.same_number, both.other_numbers)
        )
        recogniser, among = calibrated[name]
        intervals = ConformalIntervals(
            measured, at_least_as_wide(others, measured), dives.name, CONFORMAL_SPLIT, at_least_as_wide(among, measured)
        )
        known, unknown = (_describe(part) for part in (intervals.same_number, intervals.other_numbers))
        log(f"{'intervals':20}  {name}  {took:5.1f} s  {known}; without exemplars of the number {unknown}")
        known_measures = known_dives(both.measures, dives.name, CONFORMAL_SPLIT)
        shares = _fit_shares(both, exemplars, dives.name)
        found[name] = Calibration(intervals, known_measures, shares, recogniser)
        log(f"{'known dives':20}  {name}           {describe_known_dives(known_measures)}")
        log(f"{'stage shares':20}  {name}           {describe_shares(shares)}")
    return found


def _fit_shares(scores: SameAndOtherNumbers, exemplars: Sequence[DiveRecord], source: str) -> StageShares | None:
    """Compare the shares of dives, against exemplars of their number, with the points that their stages were worth."""
    points = np.array([exemplar.stage_points or _NOT_KNOWN for exemplar in exemplars])  # (E, 3)
    numbers = np.array([exemplar.dive_number for exemplar in exemplars])
    found, drawn = [], []
    for dive in scores.dives:
        if dive.same_number is None:
            continue
        average = points[numbers == dive.record.dive_number].mean(axis=0)
        relative = np.subtract(dive.record.stage_points or _NOT_KNOWN, average)
        if np.isfinite(relative).all():
            found.append(dive.same_number.stage_shares)
            drawn.append(relative)
    return compare_shares(found, drawn, source, CONFORMAL_SPLIT) if len(found) >= MIN_DIVES else None


def _calibrate(
    recogniser: Recogniser | None, both: SameAndOtherNumbers, comparer: Comparer
) -> tuple[Recogniser | None, ConformalInterval | None]:
    """Calibrate what tells dive numbers apart, and find the interval of dives whose number is unknown."""
    numbers = [dive.record.dive_number for dive in both.dives]
    if recogniser is None or len(numbers) < MIN_DIVES:
        return None, None
    measures = np.stack([describe(dive.features, np.array(dive.transitions)) for dive in both.dives])
    calibrated, among = recogniser.calibrated(measures, numbers), Scores()
    for place, (dive, each) in enumerate(zip(both.dives, measures, strict=True)):
        likely = calibrated.without(place).recognise(each).numbers[0]
        found = comparer.compare(dive.tokens, comparer.bank.dive_numbers == likely)
        if found is not None:
            among.add(float(found.predicted.mean()), dive.record, dive.transitions)
    return calibrated, conformal_interval(among.predicted, among.true, difficulties=among.difficulties)


def at_least_as_wide(others: ConformalInterval | None, same: ConformalInterval | None) -> ConformalInterval | None:
    """Return the interval for dives without exemplars of their number, never narrower than that for the others.

    With few dive numbers it can come out narrower by chance; who knows less must not seem surer.
    """
    if others is None or same is None:
        return others
    per_difficulty = others.half_width_per_difficulty, same.half_width_per_difficulty
    return replace(
        others,
        half_width_points=max(others.half_width_points, same.half_width_points),
        half_width_per_difficulty=None if None in per_difficulty else max(filter(None, per_difficulty), default=0.0),
    )


def _describe(conformal: ConformalInterval | None) -> str:
    if conformal is None:
        return "unknown"
    per_difficulty = conformal.half_width_per_difficulty
    known = "" if per_difficulty is None else f", or {per_difficulty:.2f} times the difficulty"
    return (
        f"{100 * conformal.level:.0f} % within {conformal.half_width_points:.1f} points{known} "
        f"({conformal.num_dives} dives)"
    )
