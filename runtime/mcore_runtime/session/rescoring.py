"""A dive's stored frames through a scorer once more: the same bundle and backend give the same score, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from mcore.common.errors import UserError
from mcore.video import SampledClip
from mcore_runtime.scoring.scorer import Scorer, video_facts
from mcore_runtime.scoring.streaming import EncodedPrefix, was_begun_early

_AGAIN = "scored again"


def rescored(
    scorer: Scorer,
    record: Mapping[str, Any],
    clip: SampledClip,
    *,
    dive_number: str | None = None,
    any_exemplar: bool = False,
) -> dict[str, Any]:
    """Return a dive's record with a new result, to be saved in place of the old one.

    It has no ``time_to_score_ms``: nobody waited at the pool. A note says when and with what it was scored, and what
    it had before.

    Args:
        scorer: of the same clip size as the session's.
        record: ``LiveDive.to_json()``.
        clip: the dive's frames, from ``SessionStore.load_clip``.
        dive_number: a corrected one; None: the record's.
        any_exemplar: compare with all exemplars where there is none of this number.

    Raises:
        UserError: the dive is invalid or void, the bundle takes clips of another size, or has no exemplar.
        Exception: whatever a failing engine raises.
    """
    check_scorable(record)
    _check_size(scorer, clip)
    comparison = scorer.select(dive_number or record["dive_number"], any_exemplar=any_exemplar)
    facts = video_facts(clip, record.get("start_s"), record.get("end_s"))
    result = scorer.score_clip(clip, comparison, video=facts, head=_begun_as_before(scorer, record, clip))
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    note = (
        f"{_AGAIN} on {now[:16].replace('T', ' ')} UTC with bundle {result.backend.bundle_sha256[:12]} on "
        f"{result.backend.provider} ({result.backend.precision}); before: {_before(record)}"
    )
    return {
        **record,
        "status": "scored",
        "dive_number": comparison.text,
        "created": now,
        "time_to_score_ms": None,
        "result": result.to_json(),
        "reasons": [],
        "notes": [*(text for text in record.get("notes", ()) if not text.startswith(_AGAIN)), note],
    }


def check_scorable(record: Mapping[str, Any]) -> None:
    """Raise UserError where a dive must not be scored, whatever its frames."""
    number, status = record["number"], record["status"]
    if status == "invalid":
        reasons = "; ".join(record.get("reasons", ()))
        raise UserError(f"dive {number} is invalid ({reasons}): its clip is not whole, so no score would be honest")
    if status == "void":
        raise UserError(f"dive {number} is void; restore it first")


def compares_with_any(record: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether a dive was, or was to be, compared with exemplars of other numbers where there are none of its own."""
    result = record.get("result")
    settings = facts.get("settings")
    was = isinstance(result, Mapping) and result.get("same_dive_number") is False
    return was or (isinstance(settings, Mapping) and settings.get("any_exemplar") is True)


def _check_size(scorer: Scorer, clip: SampledClip) -> None:
    config = scorer.clip_config
    expected = (config.num_frames, config.resize_height, config.resize_width, 3)
    if clip.frames.shape != expected:
        raise UserError(
            f"the stored frames are {_by(clip.frames.shape)}, the bundle takes {_by(expected)} (frames x rows x "
            "columns); score the dive's video with mcore-score instead"
        )


def _begun_as_before(scorer: Scorer, record: Mapping[str, Any], clip: SampledClip) -> EncodedPrefix | None:
    """Compute the backbone in two parts where the old result was: only then is it the same bit for bit."""
    result = record.get("result")
    if scorer.split is None or not isinstance(result, Mapping) or not was_begun_early(result.get("timing_ms", {})):
        return None
    return scorer.begin(clip.frames[: scorer.split.prefix_frames])


def _before(record: Mapping[str, Any]) -> str:
    result = record.get("result")
    return f"{result['score']:.1f}" if isinstance(result, Mapping) else str(record["status"])


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape[:3]))
