"""Predicted times of a stream's next frames, if it goes on as steadily as it has so far.

Both ends of a dive's clip are known once it has been detected, or asked for, but the network's sampling grid needs the
number of frames between them; with a steady rate that is known as well, a second or so before the last of them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mcore.video.sampling import clip_window

_SLACK_PERIODS = 1e-3
"""A frame this little before a clip's end lies outside: it was to come at that very time."""


def frame_period(times: NDArray[np.float64]) -> float:
    """Return the time between two frames of a steady stream, seconds.

    Frames may be missing, and times may be early, late or rounded: 30 frames a second in milliseconds are 33, 33 and 34
    apart.

    Args:
        times: (N,) at least two, increasing.
    """
    return _line(times)[0]


def predicted_end(times: NDArray[np.float64], end_s: float) -> float:
    """Move the end of a clip by about half a period at most, to the middle between two frames that are to come.

    Which frames lie within the clip then does not depend on the last digit of a time, nor on a camera that is a few
    milliseconds late.

    Args:
        times: (N,) of the frames so far, increasing.
        end_s: the clip ends before the first frame at or after this time.

    Returns:
        The new end; ``end_s`` itself if it is past, or nothing is known of the rate.
    """
    if len(times) < 2 or end_s <= times[-1]:
        return end_s
    period_s, newest_s = _line(times)
    to_come = max(0, math.ceil((end_s - newest_s) / period_s - _SLACK_PERIODS) - 1)
    return newest_s + (to_come + 0.5) * period_s


def expected_times(times: NDArray[np.float64], end_s: float) -> NDArray[np.float64]:
    """Continue a clip to its end.

    Args:
        times: (N,) of the clip's frames so far, at least two, increasing.
        end_s: it ends before the first frame at or after this time.

    Returns:
        (M,) the times of all its frames: those that were there, and those that are expected.
    """
    period_s, newest_s = _line(times)
    to_come = newest_s + period_s * np.arange(1, max(1, math.ceil((end_s - newest_s) / period_s) + 1))
    all_times = np.concatenate([times, to_come[to_come > times[-1]]])
    whole: NDArray[np.float64] = all_times[clip_window(all_times, None, end_s)]
    return whole


def _line(times: NDArray[np.float64]) -> tuple[float, float]:
    """Fit the steady stream nearest to these times: its period, and when the newest frame should have come."""
    steps = np.diff(times)
    periods = np.maximum(np.rint(steps / np.median(steps)), 1)  # 2 where a frame is missing
    numbers = np.concatenate([[0.0], np.cumsum(periods)])
    centred = numbers - numbers.mean()
    period_s = float(centred @ (times - times[0]) / (centred @ centred))
    return period_s, float(times.mean() + period_s * centred[-1])
