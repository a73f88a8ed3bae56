"""Measures of a clip, by which a bundle says whether it is like the dives that it knows, and their words.

``mcore.common.likeness`` turns measures into an answer. What is measured: how much moves in the picture, how sure the
network is of each transition, how far each stage's tokens are from the nearest exemplar's, and how long the flight is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
_DIGITS = 6
"""Significant digits of a measure in a bundle."""


@dataclass(frozen=True)
class _Measure:
    """Where a measure is strange, and what to say then."""

    side: Side
    too_high: str
    too_low: str = ""


_MEASURES: Mapping[str, _Measure] = {
    "log_motion": _Measure("both", "the whole picture changes from frame to frame", "nothing moves in the clip"),
    "take-off_certainty": _Measure("low", "", "no take-off found"),
    "entry_certainty": _Measure("low", "", "no entry found"),
    **{
        f"log_{stage}_distance": _Measure("high", f"its {stage} is unlike that of every dive this bundle has seen")
        for stage in STAGES
    },
    "log_flight_s": _Measure("both", "its flight lasts too long", "its flight is too short"),
}
SIDES: Mapping[str, Side] = {name: measure.side for name, measure in _MEASURES.items()}


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
    by_stage = (len(STAGES), -1)
    apart = bank.tokens.reshape(len(bank), *by_stage) - tokens.reshape(by_stage)  # (E, 3, K * D)
    distance = np.sqrt(np.square(apart, dtype=np.float64).mean(axis=-1)).min(axis=0)  # (3,)
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
    return replace(found, reasons=tuple(dict.fromkeys(_words(known, measures, name) for name in found.reasons)))


def _words(known: KnownDives, measures: Mapping[str, float], name: str) -> str:
    is_high = measures[name] > np.median(known.measures[name])
    return _MEASURES[name].too_high if is_high else _MEASURES[name].too_low
