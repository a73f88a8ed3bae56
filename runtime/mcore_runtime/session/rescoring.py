"""Scoring of a dive's stored frames once more: the same bundle and backend give the same score, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from mcore.common.errors import UserError
from mcore.video import SampledClip
from mcore_runtime.scoring.scorer import Scorer, video_facts
from mcore_runtime.scoring.streaming import EncodedPrefix
from mcore_runtime.session.dive import SCORED_AGAIN, DiveStatus, LiveDive


def rescore(
    scorer: Scorer,
    dive: LiveDive,
    clip: SampledClip,
    *,
    dive_number: str | None = None,
    difficulty: float | None = None,
    any_exemplar: bool = False,
    accept_unlike: bool = False,
) -> LiveDive:
    """Return a dive with a new result, to be saved in place of the old one.

    It has no ``time_to_score_ms``: nobody waited at the pool. A note says when and with what it was scored, and what
    it had before.

    Args:
        scorer: of the same clip size as the session's.
        dive: as it was.
        clip: the dive's frames, from ``SessionStore.load_clip``.
        dive_number: a corrected one; None: the dive's.
        difficulty: degree of difficulty; None: that of the exemplars, where they agree on one.
        any_exemplar: compare with all exemplars where there is none of this number.
        accept_unlike: count its score also where it is unlike the dives that the bundle knows, as that of a dive that
            was accepted before.

    Raises:
        UserError: the dive is invalid or void, the bundle takes clips of another size, or has no exemplar.
        Exception: whatever a failing backend raises.
    """
    check_scorable(dive)
    _check_size(scorer, clip)
    comparison = scorer.select(dive_number or dive.dive_number, any_exemplar=any_exemplar, difficulty=difficulty)
    facts = video_facts(clip, dive.start_s, dive.end_s)
    entry_s = None if dive.entry_s is None else dive.entry_s - dive.start_s
    prefix = _prefix(scorer, dive, clip)
    result = scorer.score_clip(clip, comparison, video=facts, prefix=prefix, entry_in_clip_s=entry_s)
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    note = (
        f"{SCORED_AGAIN} on {now[:16].replace('T', ' ')} UTC with bundle {result.backend.bundle_sha256[:12]} on "
        f"{result.backend.provider} ({result.backend.precision}); before: "
        f"{dive.status.value if dive.result is None else f'{dive.result.score:.1f}'}"
    )
    return replace(
        dive.judged(result, accept_unlike=accept_unlike or dive.is_accepted),
        dive_number=comparison.text,
        created=now,
        time_to_score_ms=None,
        notes=(*(text for text in dive.notes if not text.startswith(SCORED_AGAIN)), note),
    )


def check_scorable(dive: LiveDive) -> None:
    """Raise UserError where a dive must not be scored, whatever its frames."""
    if dive.status is DiveStatus.INVALID:
        reasons = "; ".join(dive.reasons)
        raise UserError(
            f"dive {dive.number} is invalid ({reasons}): its clip is not whole, so no score would be honest"
        )
    if dive.status is DiveStatus.VOID:
        raise UserError(f"dive {dive.number} is void; restore it first")


def compares_with_any(dive: LiveDive, facts: Mapping[str, Any]) -> bool:
    """Return whether a dive without exemplars of its number was, or was to be, compared with those of others."""
    settings = facts.get("settings")
    was = dive.result is not None and not dive.result.same_dive_number
    return was or (isinstance(settings, Mapping) and settings.get("any_exemplar") is True)


def _check_size(scorer: Scorer, clip: SampledClip) -> None:
    config = scorer.clip_config
    expected = (config.num_frames, config.resize_height, config.resize_width, 3)
    if clip.frames.shape != expected:
        raise UserError(
            f"the stored frames are {_shape_text(clip.frames.shape)}, the bundle takes {_shape_text(expected)} "
            "(frames x rows x columns); score the dive's video with mcore-score instead"
        )


def _prefix(scorer: Scorer, dive: LiveDive, clip: SampledClip) -> EncodedPrefix | None:
    """Compute the backbone in two parts where the old result was: only then is it the same bit for bit."""
    if scorer.streaming_backbone is None or not dive.had_head_start:
        return None
    return scorer.begin(clip.frames[: scorer.streaming_backbone.prefix_frames])


def _shape_text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape[:3]))
