"""A detector on random pools: untrimmed clips on whose seeds nothing was chosen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mcore.synthetic.untrimmed import STREAM, UntrimmedClip, render_clip
from mcore_bench.cases.watching import match, watch
from mcore_bench.result import Column, Table, Value
from mcore_runtime.detector import Detector

FIRST_SEED = 2_000_000
"""Clips from here on are for measuring; those before are for learning and choosing."""


@dataclass(frozen=True)
class _Counts:
    """What a detector made of one clip."""

    dives: int
    found: int
    alarms: int
    takeoff_errors_s: tuple[float, ...]
    entry_errors_s: tuple[float, ...]
    replays: int
    named: int
    minutes: float


_Groups = dict[tuple[str, str, float | None], list[_Counts]]
"""Clips by kind, camera and height."""


def random_pools_tables(clips: int, seed: int, makers: Mapping[str, Callable[[float], Detector]]) -> list[Table]:
    """Watch random pools, and count by kind of clip, camera and height: a table for each detector.

    The pictures are grey; there are as many a second as the clip's camera takes.

    Args:
        clips: how many.
        seed: of the first, counted from ``FIRST_SEED``.
        makers: each gives a fresh detector for a picture's width over its height.
    """
    groups: dict[str, _Groups] = {name: defaultdict(list) for name in makers}
    for number in range(clips):
        clip = render_clip(FIRST_SEED + seed + number, form=STREAM)
        key = (clip.kind, clip.camera if clip.dives and clip.camera else "", clip.height_m)
        for name, make in makers.items():
            groups[name][key].append(_count(clip, make))
    return [_table(name, counted) for name, counted in groups.items()]


def _table(name: str, groups: _Groups) -> Table:
    ordered = sorted(groups.items(), key=lambda item: (*item[0][:2], item[0][2] or 0.0))
    rows = tuple((*key, *_row(counts)) for key, counts in ordered)
    total = [counts for group in groups.values() for counts in group]
    dives, found = sum(c.dives for c in total), sum(c.found for c in total)
    alarms, minutes = sum(c.alarms for c in total), sum(c.minutes for c in total)
    note = (
        f"found {found} of {dives} dives in real time, {100 * found / max(1, dives):.1f} %; {alarms} false alarms in "
        f"{minutes:.0f} minutes, {100 * alarms / max(1, dives):.1f} for 100 dives; named {sum(c.named for c in total)} "
        f"of {sum(c.replays for c in total)} dives in slow motion"
    )
    columns = (
        Column("clip"), Column("camera"), Column("board, m", "g"), *(Column(h, "d") for h in
        ("clips", "dives", "found", "false alarms", "slow motion", "named")),
        *(Column(h, ".0f") for h in ("take-off ms, median", "entry ms, median")),
    )  # fmt: skip
    return Table(f"dives found in random pools: {name} detector", columns, rows, note)


def _count(clip: UntrimmedClip, make: Callable[[float], Detector]) -> _Counts:
    pictures = (np.stack([grey] * 3, axis=-1) for grey in clip.pictures)
    seen = watch(zip(pictures, clip.times_s.tolist(), strict=True), make(16 / 9))
    live, replays = [d for d in clip.dives if d.is_live], [d for d in clip.dives if not d.is_live]
    pairs, alarms = match(live, [dive for dive in seen.dives if not dive.slow_motion])
    named, _ = match(replays, [dive for dive in seen.dives if dive.slow_motion])
    return _Counts(
        dives=len(live),
        found=len(pairs),
        alarms=len(alarms),
        takeoff_errors_s=tuple(abs(dive.takeoff_s - true.takeoff_s) for true, dive in pairs),
        entry_errors_s=tuple(abs(dive.entry_s - true.entry_s) for true, dive in pairs),
        replays=len(replays),
        named=len(named),
        minutes=float(clip.times_s[-1]) / 60,
    )


def _row(counts: list[_Counts]) -> tuple[Value, ...]:
    errors = [[e for c in counts for e in c.takeoff_errors_s], [e for c in counts for e in c.entry_errors_s]]
    medians = [float(np.median(e)) * 1e3 if e else None for e in errors]
    sums = [sum(getattr(c, name) for c in counts) for name in ("dives", "found", "alarms", "replays", "named")]
    return (len(counts), *sums, *medians)
