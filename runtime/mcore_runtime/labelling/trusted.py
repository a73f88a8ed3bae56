"""Labels without anybody looking: dives whose awards came from the meet, and whose moments two parts agree on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from mcore.common.errors import UserError
from mcore_runtime.labelling.clips import LabelSession, SessionClip, makes_points, propose
from mcore_runtime.labelling.label import Checked, Label, check
from mcore_runtime.labelling.store import LabelStore
from mcore_runtime.session import DiveStatus


def distrust(clip: SessionClip, proposed: Label, checked: Checked) -> str | None:
    """Say why a clip needs a person's eyes; None: it does not.

    Args:
        clip: of a session.
        proposed: what the session says of it.
        checked: the same, by the rules.
    """
    dive, judges = clip.view.dive, clip.view.judges
    recognition = None if dive.result is None else dive.result.recognition
    if dive.status is not DiveStatus.SCORED or dive.result is None:
        return f"its status is {dive.status}"
    if dive.result.why_unlike:
        return "unlike the known dives"
    if judges is None:
        return "no awards from the meet"
    if not judges.is_comparable:
        return "a penalty"
    if dive.dive_number is None:
        return "dive number not announced"
    if judges.doubts or not makes_points(judges.awards, proposed.difficulty, judges.points):
        return "awards and points do not fit"
    if recognition is not None and recognition.is_doubted:
        return "dive number doubted"
    if not clip.moments_agree:
        return "network and detector disagree about take-off or entry"
    if checked.record is None or checked.warnings:
        return "against the rules"
    return None


def label_trusted(store: LabelStore, sessions: Iterable[LabelSession]) -> Counter[str]:
    """Label the dives that can be trusted and have no label yet; returns how many were left out, by reason."""
    left_out = Counter[str]()
    for session in sessions:
        left_out.update(session.left_out)
        for clip in session.clips:
            if (saved := store.newest(clip.name)).version:
                if saved.label is not None and saved.label.verdict != "dive":
                    left_out["labelled by a person, and not as a dive"] += 1
                continue
            try:
                times_s = clip.frames(pictures=False).times_s
            except UserError:
                left_out["unreadable video"] += 1
                continue
            label = replace(propose(clip, times_s), verdict="dive", by_rule=True)
            checked = check(label, clip.facts(len(times_s)), clip.edition)
            if (reason := distrust(clip, label, checked)) is not None:
                left_out[reason] += 1
                continue
            store.save(session.name, clip.name, 0, label, checked.record)
    return left_out
