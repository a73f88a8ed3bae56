"""Whether a clip is like the dives that a bundle knows: a conformal p-value. Torch-free.

A clip is described by a few measures, such as how much moves in it. Dives that the network has not learned from say how
these spread over good dives. If a new dive comes from where those came from, it is refused with at most the stated
probability, whatever the measures are (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005,
section 2.2: full conformal prediction). The clip in question helps to standardise the measures, as each known dive
does: all are treated alike, so that none of the few dives has to be set aside for that.

N dives can promise no less than 1 in N + 1, on average over lists of N dives. Where that is more than wanted, a clip
has to be stranger still: than one dive in a hundred would be if strangeness fell off as fast as it does among the
strangest quarter. That promises nothing more, but refuses fewer good dives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

REFUSED = 0.01
"""Share of good dives that may be refused: one in a hundred. Takes 99 known dives."""
_ENDS_AND_MIDDLE = (5, 50, 95)
"""Percentiles that standardise a measure. What one dive in twenty exceeds is the unit: with quartiles for it, a measure
with a few far dives, such as the certainty of an entry, set a limit that no other measure came near. From 20 dives on,
the clip in question does not move the percentiles, however strange it is."""
_TAIL = 4
"""One dive in so many is in the tail of strangeness."""
_LEAST_UNIT = 1e-3
"""Least unit of a measure, as a share of its median: where most dives are the same, rounding is not strange."""
_TIE = 1e-6
"""Relative difference of strangeness below which two dives are equally strange: measures are float32."""
_ROUNDING = 1e-9

Side = Literal["high", "low", "both"]
"""Where a measure is strange: above all known dives, below them, or on both sides."""


@dataclass(frozen=True)
class Likeness:
    """Answer for one clip."""

    p_value: float
    """Share of the N known dives and this one that is as strange as this one or stranger: at least 1 / (N + 1)."""
    refused: float
    """Share of dives like the known ones that is refused at most: those whose ``p_value`` is no larger than this."""
    strangeness: float
    """Distance of its strangest measure from the median of the known dives: 1 is exceeded by one dive in twenty."""
    reasons: tuple[str, ...] = ()
    """What sets a refused clip apart; empty: it is like the known dives."""


@dataclass(frozen=True)
class KnownDives:
    """Measures of N dives that the network has not learned from."""

    measures: Mapping[str, tuple[float, ...]]
    """N values of each measure, in one order of the dives."""
    source: str
    """List of these dives."""
    split: str
    """Part of that list."""

    def __post_init__(self) -> None:
        lengths = {len(values) for values in self.measures.values()}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(f"measures of known dives have {sorted(lengths)} values; expected as many each, and some")

    @property
    def num_dives(self) -> int:
        """N."""
        return len(next(iter(self.measures.values())))

    @property
    def refused(self) -> float:
        """Share of dives like these that is refused at most: ``REFUSED``, or if N is too small for it, 1 / (N + 1)."""
        return max(REFUSED, 1 / (self.num_dives + 1))

    def compare(self, clip: Mapping[str, float], sides: Mapping[str, Side]) -> Likeness:
        """Say how strange a clip is among these dives: as strange as its strangest measure.

        Args:
            clip: its measures; one that is not there is left out, which can only make it less strange.
            sides: where each measure is strange.

        Returns:
            The answer, with names of measures for reasons, in the order of ``measures``.
        """
        names = [name for name in self.measures if name in clip]
        each = np.stack(
            [_strangeness(np.array([*self.measures[name], clip[name]]), sides[name]) for name in names], axis=1
        )  # (N + 1, M)
        strangest = each.max(axis=1)  # (N + 1,)
        p_value = float(np.mean(strangest >= (1 - _TIE) * strangest[-1]))
        if p_value > self.refused or strangest[-1] <= self._extrapolated(strangest[:-1]):
            return Likeness(p_value, self.refused, float(strangest[-1]))
        usual = np.sort(strangest)[::-1][int(self.refused * len(strangest) + _ROUNDING)]  # the strangest not refused
        reasons = tuple(name for name, strangeness in zip(names, each[-1], strict=True) if strangeness > usual)
        return Likeness(p_value, self.refused, float(strangest[-1]), reasons)

    def _extrapolated(self, strangest: NDArray[np.float64]) -> float:
        """Strangeness beyond which one dive in a hundred is expected, from that of each known one (N,), if N is small.

        The strangest quarter's mean distance from the rest is the scale of an exponential tail.
        """
        if self.refused == REFUSED:
            return 0.0  # as many dives say it themselves
        ordered = np.sort(strangest)[::-1]
        count = max(1, len(ordered) // _TAIL)
        start = ordered[min(count, len(ordered) - 1)]
        return float(start + (ordered[:count].mean() - start) * np.log(count / len(ordered) / REFUSED))


def describe_known_dives(known: KnownDives | None) -> str:
    """Say what a bundle refuses as unlike the dives that it knows; None: it cannot say."""
    if known is None:
        return (
            "this bundle cannot say whether a clip is like the dives that it knows: it has no measures of validation "
            "dives. Add them with: mcore-bundle exemplars BUNDLE --dives DIVES.jsonl --out NEW_BUNDLE"
        )
    few = f" (for 1 in {1 / REFUSED:.0f} more are needed)" if known.refused > REFUSED else ""
    return (
        f"clips unlike the {known.num_dives} {known.split} dives of {known.source} are refused, with at most 1 in "
        f"{1 / known.refused:.0f} dives like these{few}"
    )


def _strangeness(values: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
    """Distance of each value (N + 1,) from the median, in units of the end on its side; 0 on the usual side."""
    low, middle, high = np.percentile(values, _ENDS_AND_MIDDLE)
    least = _LEAST_UNIT * max(1.0, abs(float(middle)))
    above = np.maximum(values - middle, 0) / max(float(high - middle), least)
    below = np.maximum(middle - values, 0) / max(float(middle - low), least)
    sides: dict[Side, NDArray[np.float64]] = {"high": above, "low": below, "both": above + below}
    return sides[side]
