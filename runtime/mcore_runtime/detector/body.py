"""Proof that one body fell: a path over height and time may be put together from several people, a flight may not.

Who jumps from the pool's edge makes a parabola with a diver who waits above, or with somebody who walks by. But a body
in flight also moves evenly along, is nowhere twice, and leaves the place that it fell from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcore.diving.physics import GRAVITY_M_S2
from mcore_runtime.detector.config import BodyConfig
from mcore_runtime.detector.history import MOVES, EvidenceHistory, PathMatch


def is_one_body(
    history: EvidenceHistory,
    path: PathMatch,
    stretch_s: tuple[float, float],
    columns_per_row: float,
    config: BodyConfig,
) -> bool:
    """Return whether what moves on a path is one body of a diver's size.

    Args:
        history: what moved during the flight and a little longer.
        path: of the fall.
        stretch_s: from when to when a body shows on it, seconds on the stream's clock.
        columns_per_row: how many columns are as wide as a row is high.
        config: sizes of a body, and how much of it has to be seen.
    """
    begin_s, end_s = stretch_s
    since_s = np.arange(0.0, end_s - path.apex_s - config.splash_s, config.step_s)
    if len(since_s) < config.min_samples:
        return False
    rows = np.arange(history.moving.shape[1])
    columns_per_m = path.rows_per_m * columns_per_row
    off_m = (
        rows / path.rows_per_m - (path.apex_row / path.rows_per_m + GRAVITY_M_S2 / 2 * since_s**2)[:, None]
    )  # (samples, h)
    on_path, off_path = _motion_on_and_off_path(
        history, path.apex_s, since_s, begin_s - path.apex_s + config.standing_s, config
    )
    alone = np.maximum(on_path - off_path, 0.0)  # (samples, h, w)
    core = (np.abs(off_m) <= config.core_height_m).astype(np.float32)  # (samples, h)
    full_px = config.full_core_m2 * path.rows_per_m * columns_per_m
    half_width = max(1, round(config.core_width_m * columns_per_m))
    shown, shown_on_path, shown_off_path = (
        np.minimum(_box_filtered(np.einsum("sh,shw->sw", core, moves), half_width) / full_px, 1.0)
        for moves in (alone, on_path, off_path)
    )
    columns = _straight_columns(shown, since_s * columns_per_m, config)
    if columns is None:
        return False
    samples, upper = np.arange(len(since_s)), len(since_s) // 2
    body = shown[samples, columns]
    empty = (shown_on_path - shown_off_path)[samples, columns][:upper].mean()
    distance_m = np.abs(np.arange(alone.shape[2]) - columns[:, None]) / columns_per_m
    wide = (distance_m <= config.outline_width_m).astype(np.float32)  # (samples, w)
    outline = np.einsum("shw,sw->sh", alone, wide) * (np.abs(off_m) <= config.outline_height_m)
    area_m2, height_std_m = _area_and_height(outline / columns_per_m, off_m, path.rows_per_m)
    return bool(
        min(body[:upper].mean(), body[upper:].mean()) >= config.min_half_evidence
        and area_m2 * empty >= config.min_left_m2
        and height_std_m <= config.max_height_std_m
    )


def _area_and_height(
    width_m: NDArray[np.float64], off_m: NDArray[np.float64], rows_per_m: float
) -> tuple[float, float]:
    """Medians of the area of an outline and of its height's standard deviation; inputs (samples, h)."""
    sums = np.maximum(width_m.sum(axis=1), 1e-3)
    middle_m = (width_m * off_m).sum(axis=1) / sums
    variance = (width_m * (off_m - middle_m[:, None]) ** 2).sum(axis=1) / sums
    return float(np.median(sums)) / rows_per_m, float(np.median(np.sqrt(variance)))


def _motion_on_and_off_path(
    history: EvidenceHistory, apex_s: float, since_s: NDArray[np.float64], begin_s: float, config: BodyConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Motion on the path at each sample of a fall, and while the body is elsewhere: both (samples, h, w), 0 to 1.

    Elsewhere is lower, later; and earlier higher, or lower on the way up. Before ``begin_s`` it stood.
    """
    # A body that moves apart_m lower from t on is there at later_s: g/2 (later_s^2 - t^2) = apart_m.
    apart = 2 * config.apart_m / GRAVITY_M_S2
    later_s = np.sqrt(since_s**2 + apart)
    higher = since_s**2 >= apart
    earlier_s = np.where(higher, np.sqrt(np.maximum(since_s**2 - apart, 0.0)), -later_s)
    slots, later, earlier = (history.slots(apex_s + at_s) for at_s in (since_s, later_s, earlier_s))
    on_path, moves_later, moves_earlier = (
        history.moving[k].astype(np.float32) / np.float32(MOVES) for k in (slots, later, earlier)
    )
    moves_earlier[earlier_s < begin_s] = 0.0
    # Who waited long is part of the background and leaves a ghost, which seems to move: a change that remains is one.
    seen, left, newest = (history.green[k].astype(np.int16) for k in (slots, later, history.newest))
    moves_later *= 1 - _difference(seen, left, config) * (1 - _difference(left, newest, config))
    return on_path, np.maximum(moves_later, moves_earlier)


def _difference(first: NDArray[np.int16], second: NDArray[np.int16], config: BodyConfig) -> NDArray[np.float32]:
    return np.asarray(np.minimum(np.abs(first - second) / config.changed_levels, 1.0), np.float32)


def _straight_columns(
    shown: NDArray[np.float32], since_px: NDArray[np.float64], config: BodyConfig
) -> NDArray[np.int64] | None:
    """Columns of the even movement along the pool that has most evidence: (samples,); None where all leave the picture.

    Args:
        shown: (samples, w) evidence of a body in each column.
        since_px: (samples,) columns that one metre a second has gone.
        config: speeds to try.
    """
    samples, width = shown.shape
    fastest, step = config.max_along_m_per_s, config.along_step_m_per_s
    along_m_per_s = np.arange(-fastest, fastest + 0.01, step)  # (speeds,)
    columns = np.arange(width) + np.round(along_m_per_s[:, None] * since_px)[..., None]  # (speeds, samples, w)
    inside = (columns >= 0) & (columns < width)
    columns = np.clip(columns, 0, width - 1).astype(np.int64)
    total = np.where(inside, shown[np.arange(samples)[:, None], columns], 0.0).mean(axis=1)
    total[inside.mean(axis=1) < config.min_inside_share] = -1.0
    speed, first = np.unravel_index(int(total.argmax()), total.shape)
    return np.asarray(columns[speed, :, first]) if total[speed, first] >= 0 else None


def _box_filtered(profiles: NDArray[np.float32], half_width: int) -> NDArray[np.float32]:
    """Sum of each column and its neighbours: (samples, w)."""
    padded = np.pad(np.cumsum(profiles, axis=1), ((0, 0), (half_width + 1, half_width)), mode="edge")
    padded[:, : half_width + 1] = 0.0
    return np.asarray(padded[:, 2 * half_width + 1 :] - padded[:, : -2 * half_width - 1])
