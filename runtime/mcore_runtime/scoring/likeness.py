"""Measures of a clip, by which a bundle says whether it is like the dives that it knows, and their words.

``mcore.common.likeness`` turns measures into an answer. What is measured: how much moves in the picture, how sure the
network is of each transition, how far each stage's tokens are from the nearest exemplar's, and how long the flight is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcore.common.conformal import MIN_DIVES
from mcore.common.likeness import KnownDives, Likeness, Side
from mcore.config import STAGES
from mcore_runtime.bundle.exemplars import ExemplarBank

_EVERY_PIXEL = 2
"""Motion is measured on every second row and column: enough, and a quarter of the time."""
_LEAST_MOTION = 0.01
"""Grey levels below which nothing moves, so that logarithms stay finite."""
_STILL = 0.25
"""Grey levels: a picture that changes by less stands still but for its noise."""
_DIGITS = 6
"""Significant digits of a measure in a bundle."""
_MAX_REASONS = 3
"""Most reasons that are said: what is no dive is strange in every way."""
_EVER = "every dive this bundle has seen"


SIDES: Mapping[str, Side] = {
    "log_motion": "both",
    "take-off_certainty": "low",
    "entry_certainty": "low",
    **{f"log_{stage}_distance": "high" for stage in STAGES},
    "log_flight_s": "both",
}
"""Measures, and where they are strange; what explains the others comes first."""


def measure(
    frames: NDArray[np.uint8],
    logits: NDArray[np.float32],
    transitions: NDArray[np.int64],
    tokens: NDArray[np.float32],
    bank: ExemplarBank,
    pts_seconds: NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """Measure a clip.

    Args:
        frames: (T, c, c, 3) uint8, RGB.
        logits: (T, 2) of the transitions.
        transitions: (2,) sampled frames.
        tokens: (3K, D).
        bank: all exemplars of the bundle.
        pts_seconds: (T,) presentation times; None: not known, and the flight's length is left out.

    Returns:
        Values by the names of ``SIDES``.
    """
    small = frames[:, ::_EVERY_PIXEL, ::_EVERY_PIXEL].astype(np.int16)
    motion = float(np.abs(np.diff(small, axis=0)).mean())  # grey levels from frame to frame
    shifted = logits.astype(np.float64) - logits.max(axis=0)  # (T, 2)
    certainty = -np.log(np.exp(shifted).sum(axis=0))  # (2,) log of the largest share
    distance = bank.stage_distances(tokens)  # (3,)
    found = {
        "log_motion": float(np.log(motion + _LEAST_MOTION)),
        "take-off_certainty": float(certainty[0]),
        "entry_certainty": float(certainty[1]),
        **{f"log_{stage}_distance": float(d) for stage, d in zip(STAGES, np.log(distance + 1e-9), strict=True)},
    }
    if pts_seconds is not None:
        period_s = float(pts_seconds[-1] - pts_seconds[0]) / max(1, len(pts_seconds) - 1)
        flight_s = float(pts_seconds[transitions[1]] - pts_seconds[transitions[0]])
        found["log_flight_s"] = float(np.log(flight_s + period_s + 1e-9))
    return found


def known_dives(measures: Sequence[Mapping[str, float]], source: str, split: str) -> KnownDives | None:
    """Record the measures of dives that the network has not learned from; None: they are too few.

    Args:
        measures: of each dive, as ``measure`` returns them.
        source: their list.
        split: part of it.
    """
    if len(measures) < MIN_DIVES:
        return None
    return KnownDives(
        {name: tuple(float(f"{each[name]:.{_DIGITS}g}") for each in measures) for name in SIDES}, source, split
    )


def judge(known: KnownDives, measures: Mapping[str, float]) -> Likeness:
    """Say whether a clip is like the known dives, with reasons in words.

    Args:
        known: of the bundle.
        measures: of the clip, as ``measure`` returns them.
    """
    found = known.compare(measures, SIDES)
    words = dict.fromkeys(_words(name, measures[name], known.measures[name]) for name in found.reasons)
    return replace(found, reasons=tuple(words)[:_MAX_REASONS])


def _words(name: str, value: float, known: Sequence[float]) -> str:
    """Say how a measure of a clip is strange."""
    is_high = value > np.median(known)
    match name:
        case "log_motion" if is_high:
            return f"more changes from frame to frame than in {_EVER}"
        case "log_motion":
            return "nothing moves in the clip" if value < np.log(_STILL) else f"less moves in the clip than in {_EVER}"
        case "take-off_certainty":
            return "no take-off found"
        case "entry_certainty":
            return "no entry found"
        case "log_flight_s":
            return f"its flight is {'longer' if is_high else 'shorter'} than that of {_EVER}"
        case _:
            stage = next(stage for stage in STAGES if stage in name)
            return f"its {stage} is unlike that of {_EVER}"
