"""Whether one body fell: a path over height and time may be put together from several people, a flight may not.

Who jumps from the pool's edge makes a parabola with a diver who waits above, or with somebody who walks by. But a body
in flight also moves evenly along, is nowhere twice, and leaves the place that it fell from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.detector.camera import GRAVITY
from mcore_runtime.detector.history import MOVES, EvidenceHistory, PathMatch

_STEP_S = 0.04
_FEWEST = 8
_SPLASH_S = 0.15
"""What lies later than this before the end of the path may be the splash."""
_STANDING_S = 0.2
"""A path shows from this long before the take-off, while the body still stands close to it."""
_APART_M = 1.3
"""A body that has fallen this far has left its place: there nothing of it moves any more."""
_CORE_M, _REACH_M = 0.45, 1.5
"""Above and below the path: where a body surely is, and where its outline is looked for."""
_NARROW_M, _WIDE_M = 0.35, 0.7
"""The same to the left and to the right."""
_ALONG = np.arange(-3.0, 3.01, 0.25)
"""Speeds along the pool, metres a second; divers take 1 to 2, to clear the board."""
_IN_PICTURE = 0.8
"""Share of the fall that is inside the picture."""
_CHANGED = 24.0
"""Grey levels by which a pixel surely differs from itself."""
_FULL_M2 = 0.15
"""This much of its core shows a body."""
_LEAST_HALF = 0.75
"""Evidence that each half of the fall has by itself. On seeds that no figure comes from, dives had 0.85 and more; where
two people make a parabola, one half often has less."""
_LEAST_LEFT_M2 = 0.22
"""The body's area times the share of the upper half that is empty before and after it: dives had 0.25 and more, towels
of people who stay 0.09 and 0.21."""
_MOST_SPREAD_M = 0.48
"""Standard deviation of the body's height. More means that the scale is wrong, so that it was no free fall: somebody of
1.7 m who stands has 0.49, dives had up to 0.45, people at a wrong scale up to 0.75."""


def is_one_body(
    history: EvidenceHistory, path: PathMatch, stretch_s: tuple[float, float], columns_per_row: float
) -> bool:
    """Say whether what moves on a path is one body of a diver's size.

    Args:
        history: what moved during the flight and a little longer.
        path: of the fall.
        stretch_s: from when to when a body shows on it, seconds on the stream's clock.
        columns_per_row: how many columns are as wide as a row is high.
    """
    begin_s, end_s = stretch_s
    since_s = np.arange(0.0, end_s - path.apex_s - _SPLASH_S, _STEP_S)
    if len(since_s) < _FEWEST:
        return False
    rows = np.arange(history.moving.shape[1])
    columns_per_m = path.rows_per_m * columns_per_row
    off_m = rows / path.rows_per_m - (path.apex_row / path.rows_per_m + GRAVITY / 2 * since_s**2)[:, None]
    now, other = _now_and_otherwise(history, path.apex_s, since_s, begin_s - path.apex_s + _STANDING_S)
    alone = np.maximum(now - other, 0.0)  # (samples, h, w)
    core = (np.abs(off_m) <= _CORE_M).astype(np.float32)  # (samples, h)
    full_px = _FULL_M2 * path.rows_per_m * columns_per_m
    half_width = max(1, round(_NARROW_M * columns_per_m))
    shown, shown_now, shown_other = (
        np.minimum(_boxed(np.einsum("sh,shw->sw", core, moves), half_width) / full_px, 1.0)
        for moves in (alone, now, other)
    )
    columns = _straight_columns(shown, since_s * columns_per_m)
    if columns is None:
        return False
    samples, upper = np.arange(len(since_s)), len(since_s) // 2
    body = shown[samples, columns]
    empty = (shown_now - shown_other)[samples, columns][:upper].mean()
    beside_m = np.abs(np.arange(alone.shape[2]) - columns[:, None]) / columns_per_m
    outline = np.einsum("shw,sw->sh", alone, (beside_m <= _WIDE_M).astype(np.float32)) * (np.abs(off_m) <= _REACH_M)
    area_m2, spread_m = _area_and_spread(outline / columns_per_m, off_m, path.rows_per_m)
    return bool(
        min(body[:upper].mean(), body[upper:].mean()) >= _LEAST_HALF
        and area_m2 * empty >= _LEAST_LEFT_M2
        and spread_m <= _MOST_SPREAD_M
    )


def _area_and_spread(
    width_m: NDArray[np.float64], off_m: NDArray[np.float64], rows_per_m: float
) -> tuple[float, float]:
    """Medians of the area of an outline and of its height's standard deviation; inputs (samples, h)."""
    sums = np.maximum(width_m.sum(axis=1), 1e-3)
    middle_m = (width_m * off_m).sum(axis=1) / sums
    variance = (width_m * (off_m - middle_m[:, None]) ** 2).sum(axis=1) / sums
    return float(np.median(sums)) / rows_per_m, float(np.median(np.sqrt(variance)))


def _now_and_otherwise(
    history: EvidenceHistory, apex_s: float, since_s: NDArray[np.float64], begin_s: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What moves at each sample of a fall, and what moves when the body is elsewhere: both (samples, h, w), 0 to 1.

    Elsewhere is lower, later; and earlier higher, or lower on the way up. Before ``begin_s`` it stood.
    """
    apart = 2 * _APART_M / GRAVITY
    later_s = np.sqrt(since_s**2 + apart)
    higher = since_s**2 >= apart
    earlier_s = np.where(higher, np.sqrt(np.maximum(since_s**2 - apart, 0.0)), -later_s)
    slots, later, earlier = (history.slots(apex_s + at_s) for at_s in (since_s, later_s, earlier_s))
    now, moves_later, moves_earlier = (
        history.moving[k].astype(np.float32) / np.float32(MOVES) for k in (slots, later, earlier)
    )
    moves_earlier[earlier_s < begin_s] = 0.0
    # Who waited long is part of the background and leaves a ghost, which seems to move: a change that remains is one.
    seen, left, newest = (history.green[k].astype(np.int16) for k in (slots, later, history.newest))
    moves_later *= 1 - _difference(seen, left) * (1 - _difference(left, newest))
    return now, np.maximum(moves_later, moves_earlier)


def _difference(first: NDArray[np.int16], second: NDArray[np.int16]) -> NDArray[np.float32]:
    return np.asarray(np.minimum(np.abs(first - second) / _CHANGED, 1.0), np.float32)


def _straight_columns(shown: NDArray[np.float32], since_px: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Columns of the even movement along the pool that has most evidence: (samples,); None where all leave the picture.

    Args:
        shown: (samples, w) evidence of a body in each column.
        since_px: (samples,) columns that one metre a second has gone.
    """
    samples, width = shown.shape
    columns = np.arange(width) + np.round(_ALONG[:, None] * since_px)[..., None]  # (speeds, samples, w)
    inside = (columns >= 0) & (columns < width)
    columns = np.clip(columns, 0, width - 1).astype(np.int64)
    total = np.where(inside, shown[np.arange(samples)[:, None], columns], 0.0).mean(axis=1)
    total[inside.mean(axis=1) < _IN_PICTURE] = -1.0
    speed, first = np.unravel_index(int(total.argmax()), total.shape)
    return np.asarray(columns[speed, :, first]) if total[speed, first] >= 0 else None


def _boxed(profiles: NDArray[np.float32], half_width: int) -> NDArray[np.float32]:
    """Sum of each column and its neighbours: (samples, w)."""
    padded = np.pad(np.cumsum(profiles, axis=1), ((0, 0), (half_width + 1, half_width)), mode="edge")
    padded[:, : half_width + 1] = 0.0
    return np.asarray(padded[:, 2 * half_width + 1 :] - padded[:, : -2 * half_width - 1])
