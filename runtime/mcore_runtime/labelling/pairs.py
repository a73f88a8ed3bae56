"""Clips of two cameras' sessions that show the same dive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from mcore_runtime.labelling.clips import LabelSession, SessionClip
from mcore_runtime.meet.follow import name_words


def pair_views(first: LabelSession, second: LabelSession) -> dict[str, SessionClip]:
    """Find the second camera's clip of each dive.

    Two clips are of the same dive where both sessions know the same athlete, round and dive number for it, from the
    meet or the start list. Clocks are not asked: those of two machines may differ by more than the time between dives.

    Args:
        first: of one camera.
        second: of the other one.

    Returns:
        Clips of the second camera, by the names of the first one's; clips that nothing or several fit are left out.
    """
    ours, theirs = _by_entry(first), _by_entry(second)
    return {clip.name: theirs[entry] for entry, clip in ours.items() if entry in theirs}


def _by_entry(session: LabelSession) -> dict[Hashable, SessionClip]:
    """Clips by what was announced; a dive that was repeated is there twice, and left out."""
    found: dict[Hashable, list[SessionClip]] = defaultdict(list)
    for clip in session.clips:
        if clip.view.athlete and (entry := clip.view.entry) is not None:
            found[name_words(clip.view.athlete), entry.round, clip.view.dive_number].append(clip)
    return {entry: clips[0] for entry, clips in found.items() if len(clips) == 1}
