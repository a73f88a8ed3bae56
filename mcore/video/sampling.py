"""Sampling of the frames that the network sees: the published rule, and its counterpart for variable frame rate.

The published rule counts frames (docs/reference/network.md, section 1). It was made for frames extracted at a
constant rate; where the time between frames varies, the same grid is laid over time instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcore.common.errors import UserError

_CONSTANT_RATE_TOLERANCE = 0.5
"""Largest deviation from an even spacing, in frame periods: up to here no frame leaves its place in the order."""

_WINDOW_SLACK_S = 1e-3
"""A frame this little before a clip's start or end counts as being there: Matroska rounds times to milliseconds."""

_TIME_SLACK_PERIODS = 1e-6
"""Frames this little (in mean frame periods) after a grid point count as shown: rounding of float seconds."""


def clip_window(pts_seconds: ArrayLike, start_s: float | None, end_s: float | None) -> slice:
    """Find the frames of a clip among those of its source.

    Args:
        pts_seconds: (N,) presentation times of the source, never decreasing.
        start_s: the clip begins with the first frame at or after this time; None: with the first.
        end_s: the clip ends before the first frame at or after this time; None: with the last.

    Returns:
        The frames; fewer than two are no clip.
    """
    pts_seconds = np.asarray(pts_seconds, np.float64)
    first = 0 if start_s is None else int(np.searchsorted(pts_seconds, start_s - _WINDOW_SLACK_S))
    stop = len(pts_seconds) if end_s is None else int(np.searchsorted(pts_seconds, end_s - _WINDOW_SLACK_S))
    return slice(first, stop)


def shown_seconds(pts_seconds: NDArray[np.float64]) -> float:
    """Return the duration of a clip of at least two frames: to the end of its last, shown for the mean frame period."""
    count = len(pts_seconds)
    return float(pts_seconds[-1] - pts_seconds[0]) * count / (count - 1)


def sample_indices(num_source_frames: int, num_frames: int) -> NDArray[np.int64]:
    """Pick frames by the published rule: ``linspace(0, N - 1, T)``, truncated.

    Args:
        num_source_frames: frames of the clip, N >= 1.
        num_frames: frames to sample, T >= 1; frames repeat where N < T.

    Returns:
        (T,) int64, never decreasing, from 0 to N - 1 (for T = 1 only 0).

    Example:
        >>> sample_indices(7, 4).tolist()
        [0, 2, 4, 6]
    """
    if num_source_frames < 1 or num_frames < 1:
        raise UserError(f"cannot sample {num_frames} frames from {num_source_frames}; both must be at least 1")
    return np.linspace(0, num_source_frames - 1, num_frames).astype(np.int64)


def has_constant_rate(pts_seconds: NDArray[np.float64]) -> bool:
    """Return whether frames are evenly spaced, up to what containers round away.

    The even spacing is the one from first to last frame; a clip counts as constant while every frame lies within
    half a period of its place. Matroska's rounding to milliseconds passes at any rate up to 500 frames a second.

    Args:
        pts_seconds: (N,) float64, never decreasing.
    """
    count = len(pts_seconds)
    if count < 3:
        return True
    even = np.linspace(pts_seconds[0], pts_seconds[-1], count)
    period_s = (pts_seconds[-1] - pts_seconds[0]) / (count - 1)
    return bool(np.abs(pts_seconds - even).max() <= _CONSTANT_RATE_TOLERANCE * period_s)


def sample_indices_by_time(pts_seconds: NDArray[np.float64], num_frames: int) -> NDArray[np.int64]:
    """Pick frames of a clip whose presentation times are known.

    At a constant rate this is ``sample_indices``. At a variable rate the grid of T points is even in time, from
    first to last frame, and each point takes the last frame shown at or before it: what the published rule would
    pick after a conversion to a constant rate.

    Args:
        pts_seconds: (N,) float64 presentation times, never decreasing.
        num_frames: frames to sample, T >= 1.

    Returns:
        (T,) int64, never decreasing, from 0 to N - 1 (for T = 1 only 0).
    """
    pts_seconds = np.asarray(pts_seconds, np.float64)
    count = len(pts_seconds)
    if count < 1 or num_frames < 1:
        raise UserError(f"cannot sample {num_frames} frames from {count}; both must be at least 1")
    if not np.isfinite(pts_seconds).all() or (np.diff(pts_seconds) < 0).any():
        raise UserError("presentation times must be finite and must not decrease")
    if has_constant_rate(pts_seconds):
        return sample_indices(count, num_frames)
    grid = np.linspace(pts_seconds[0], pts_seconds[-1], num_frames)
    slack_s = _TIME_SLACK_PERIODS * (pts_seconds[-1] - pts_seconds[0]) / (count - 1)
    indices: NDArray[np.int64] = np.searchsorted(pts_seconds, grid + slack_s, side="right") - 1
    return indices


def sampled_transitions(transition_frames: Sequence[int], indices: ArrayLike) -> tuple[int, int]:
    """Carry two stage transitions from source frames to sampled frames.

    Args:
        transition_frames: first source frame of the flight and of the entry, in frames of the clip.
        indices: (T,) source frame of each sampled frame, as sampled.

    Returns:
        For each transition the first sampled frame, 0..T-1, that shows its stage.

    Raises:
        UserError: not two frames of the clip in order.
    """
    sampled = np.asarray(indices, np.int64)  # (T,)
    first, second = transition_frames
    if not 0 <= first <= second <= sampled[-1]:
        raise UserError(
            f"transitions at source frames {first} and {second} do not fit the clip, whose frames are "
            f"0..{sampled[-1]}; give the first frame of the flight and of the entry, in this order"
        )
    t1, t2 = np.searchsorted(sampled, [first, second], side="left").tolist()
    return t1, t2
