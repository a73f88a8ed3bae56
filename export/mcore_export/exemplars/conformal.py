"""Conformal intervals of a bundle's scores, from dives that are neither learned from nor exemplars.

Nothing here needs torch. ``mcore.common.conformal`` says what the intervals promise.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from mcore.common.conformal import CONFORMAL_SPLIT, MIN_DIVES, ConformalInterval, conformal_interval
from mcore.config import ClipConfig
from mcore.data.leaks import unseen
from mcore.data.manifest import Split, read_manifest
from mcore_export.exemplars.dive_scores import score_same_and_other_numbers
from mcore_export.log import Log
from mcore_runtime.backends import open_backend
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.records import ConformalIntervals, GraphSet, Precision


def fit_intervals(
    variants: Mapping[Precision, GraphSet],
    banks: Mapping[Precision, ExemplarBank],
    clip_config: ClipConfig,
    dives: Path,
    split: Split,
    log: Log,
) -> dict[Precision, ConformalIntervals]:
    """Score the validation dives of the exemplars' list with every precision, as the runtime will score others.

    Args:
        variants: the exported graphs.
        banks: their exemplars.
        clip_config: the network's input contract.
        dives: list of dives that the exemplars were chosen from.
        split: part of it that they were chosen from.
        log: gets a line for each precision, or one that says why there is none.

    Returns:
        By precision; empty where the list has too few validation dives.
    """
    listed = read_manifest(dives)
    records = [record for record in listed if record.split == CONFORMAL_SPLIT]
    if split != CONFORMAL_SPLIT:
        held_out = unseen(records, [record for record in listed if record.split == split])
        if repeated := len(records) - len(held_out):
            log(f"left out of the intervals: {repeated} {CONFORMAL_SPLIT} dives that are {split} dives too")
        records = held_out
    if split == CONFORMAL_SPLIT or len(records) < MIN_DIVES:
        why = "they are the exemplars" if split == CONFORMAL_SPLIT else f"at least {MIN_DIVES} are needed"
        log(f"no conformal interval: {dives.name} has {len(records)} {CONFORMAL_SPLIT} dives, and {why}")
        return {}
    began = time.perf_counter()
    with ExitStack() as stack:
        backends = {
            name: stack.enter_context(closing(open_backend(graphs, "onnxruntime"))) for name, graphs in variants.items()
        }
        scores = score_same_and_other_numbers(backends, banks, clip_config, records, "fitting intervals", log)
    took, found = time.perf_counter() - began, {}
    for name, both in scores.items():
        measured = conformal_interval(both.same_number.predicted, both.same_number.true)
        wider = at_least_as_wide(conformal_interval(both.other_numbers.predicted, both.other_numbers.true), measured)
        found[name] = ConformalIntervals(measured, wider, dives.name, CONFORMAL_SPLIT)
        known, unknown = (_describe(part) for part in (found[name].same_number, found[name].other_numbers))
        log(f"{'intervals':20}  {name}  {took:5.1f} s  {known}; without exemplars of the number {unknown}")
    return found


def at_least_as_wide(others: ConformalInterval | None, same: ConformalInterval | None) -> ConformalInterval | None:
    """Return the interval for dives without exemplars of their number, never narrower than that for the others.

    With few dive numbers it can come out narrower by chance; who knows less must not seem surer.
    """
    if others is None or same is None or others.half_width_points >= same.half_width_points:
        return others
    return replace(others, half_width_points=same.half_width_points)


def _describe(conformal: ConformalInterval | None) -> str:
    if conformal is None:
        return "unknown"
    return (
        f"{100 * conformal.level:.0f} % within {conformal.half_width_points:.1f} points ({conformal.num_dives} dives)"
    )
