"""A detector on random pools: untrimmed clips on whose seeds nothing was chosen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from mcore.synthetic.untrimmed import STREAM, UntrimmedClip, render_clip
from mcore_bench.cases.watching import watch
from mcore_bench.result import Row, Table, make_table
from mcore_runtime.detector import Detector, stay

FIRST_SEED = 2_000_000
"""Clips from here on are for measuring; those before are for learning and choosing."""


class _Counts(NamedTuple):
    """What a detector made of a clip, or of several."""

    clips: int
    dives: int
    found: int
    alarms: int
    replays: int
    named: int


class _Watched(NamedTuple):
    counts: _Counts
    takeoff_errors_s: list[float]
    entry_errors_s: list[float]
    minutes: float


def random_pools_tables(clips: int, seed: int, makers: Mapping[str, Callable[[float], Detector]]) -> list[Table]:
    """Watch random pools, and count by kind of clip, camera and height: a table for each detector.

    The pictures are grey; there are as many a second as the clip's camera takes.

    Args:
        clips: how many.
        seed: of the first, counted from ``FIRST_SEED``.
        makers: each gives a fresh detector for a picture's width over its height.
    """
    groups: dict[str, dict[Row, list[_Watched]]] = {name: defaultdict(list) for name in makers}
    for number in range(clips):
        clip = render_clip(FIRST_SEED + seed + number, form=STREAM)
        key = (str(clip.kind), str(clip.camera or "") if clip.dives else "", clip.height_m)
        for name, make in makers.items():
            groups[name][key].append(_watch(clip, make(16 / 9)))
    return [_table(name, counted) for name, counted in groups.items()]


def _watch(clip: UntrimmedClip, detector: Detector) -> _Watched:
    times_s = clip.times_s.tolist()
    after_s = stay(times_s[-1], times_s[-1] / max(1, len(times_s) - 1))  # as in mcore-run
    shown = chain(zip(clip.pictures, times_s, strict=True), ((clip.pictures[-1], time_s) for time_s in after_s))
    seen = watch(((np.stack([grey] * 3, axis=-1), time_s) for grey, time_s in shown), detector)
    live, replays = [dive for dive in clip.dives if dive.is_live], [dive for dive in clip.dives if not dive.is_live]
    pairs, alarms = seen.match(live)
    named, _ = seen.match(replays, slow_motion=True)
    return _Watched(
        _Counts(1, len(live), len(pairs), len(alarms), len(replays), len(named)),
        [abs(dive.takeoff_s - true.takeoff_s) for true, dive in pairs],
        [abs(dive.entry_s - true.entry_s) for true, dive in pairs],
        float(clip.times_s[-1]) / 60,
    )


def _total(watched: Sequence[_Watched]) -> _Counts:
    return _Counts(*(sum(column) for column in zip(*(each.counts for each in watched), strict=True)))


def _table(name: str, groups: Mapping[Row, list[_Watched]]) -> Table:
    ordered = sorted(groups.items(), key=lambda item: (*item[0][:2], item[0][2] or 0.0))
    rows = tuple((*key, *_total(watched), *_medians_ms(watched)) for key, watched in ordered)
    everything = [each for group in groups.values() for each in group]
    total, minutes = _total(everything), sum(each.minutes for each in everything)
    note = (
        f"found {total.found} of {total.dives} dives in real time, {100 * total.found / max(1, total.dives):.1f} %; "
        f"{total.alarms} false alarms in {minutes:.0f} minutes, {100 * total.alarms / max(1, total.dives):.1f} for 100 "
        f"dives; named {total.named} of {total.replays} dives in slow motion"
    )
    columns = {"clip": "", "camera": "", "board, m": "g",
               **dict.fromkeys(("clips", "dives", "found", "false alarms", "slow motion", "named"), "d"),
               "take-off ms, median": ".0f", "entry ms, median": ".0f"}  # fmt: skip
    return make_table(f"dives found in random pools: {name} detector", columns, rows, note)


def _medians_ms(watched: Sequence[_Watched]) -> list[float | None]:
    takeoff_s = [error for each in watched for error in each.takeoff_errors_s]
    entry_s = [error for each in watched for error in each.entry_errors_s]
    return [float(np.median(errors_s)) * 1e3 if errors_s else None for errors_s in (takeoff_s, entry_s)]
