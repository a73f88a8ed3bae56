"""Remarks for a reader of a score, where there is something unusual about it."""

from __future__ import annotations

from mcore.common.recognition import listed
from mcore.diving.physics import HIGHEST_BOARD_M, LONGEST_FLIGHT_S, LOWEST_BOARD_M, SHORTEST_FLIGHT_S
from mcore.video import SampledClip
from mcore_runtime.scoring.comparison import Comparison

_MAX_ENTRY_DIFFERENCE_S = 0.5
"""Network and detector see the same entry within this much, seconds: a detector is within 0.2."""


def comparison_notes(clip: SampledClip, comparison: Comparison, num_frames: int) -> tuple[str, ...]:
    """Say with what a dive was compared where that is unusual, and where its clip has fewer frames than are wanted."""
    notes = []
    if comparison.possible:
        notes.append(f"compared with exemplars of what it looks like: {listed(comparison.possible)}")
    elif not comparison.same_dive_number:
        beyond = " than the exemplars' range says" if comparison.conformal is None else ""
        notes.append(f"compared with exemplars of other dive numbers: the score is less certain{beyond}")
    if len(comparison.bank) == 1 and comparison.conformal is None:
        notes.append("compared with a single exemplar: the exemplar range is unknown")
    if clip.num_source_frames < num_frames:
        notes.append(
            f"the clip has {clip.num_source_frames} frames, the network looks at {num_frames}: frames were repeated"
        )
    return tuple(notes)


def limit_notes(predicted: float, score: float) -> tuple[str, ...]:
    """Say where the exemplars predict what no dive can get."""
    if predicted == score:
        return ()
    return (f"the exemplars predict {predicted:.1f} on average, which no such dive can get: {score:.1f} is the limit",)


def flight_notes(clip: SampledClip, flight: int, entry: int) -> tuple[str, ...]:
    """Say where a flight lasts longer or shorter than any: its time is not real, or its stages were not found."""
    # Each transition lies somewhere between its sampled frame and the one before.
    period_s = float(clip.pts_seconds[-1] - clip.pts_seconds[0]) / max(1, len(clip.pts_seconds) - 1)
    flight_s = float(clip.pts_seconds[entry] - clip.pts_seconds[flight])
    if flight_s - period_s > LONGEST_FLIGHT_S:
        beyond = f"longer than any from {HIGHEST_BOARD_M:g} m ({LONGEST_FLIGHT_S:.1f} s): the video is slow motion"
    elif flight_s + period_s < SHORTEST_FLIGHT_S:
        beyond = f"shorter than any from {LOWEST_BOARD_M:g} m ({SHORTEST_FLIGHT_S:.2f} s): the video runs too fast"
    else:
        return ()
    return (
        f"a flight of {flight_s:.2f} s is {beyond}, its frame rate is wrong, or the stages were not found; do not rely "
        "on the score",
    )


def entry_notes(found_s: float, detected_s: float | None) -> tuple[str, ...]:
    """Say where the network's entry is not the one that the detector saw: the two know nothing of each other."""
    off_s = 0.0 if detected_s is None else found_s - detected_s
    if abs(off_s) <= _MAX_ENTRY_DIFFERENCE_S:
        return ()
    side = "after" if off_s > 0 else "before"
    return (
        f"the network finds the entry {abs(off_s):.1f} s {side} the moment at which the detector saw it: its stages "
        "are wrong; do not rely on the score",
    )
