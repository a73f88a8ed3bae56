"""A clip to a record: what the engine's thread does with a dive. Later scores: ``mcore_runtime.session.rescoring``."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timezone

from mcore.video import SampledClip
from mcore_runtime.live.dives import CutDive, LiveDive
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.scorer import Scorer, video_facts


def new_record(number: int, cut: CutDive, dive_number: str | None) -> LiveDive:
    """Describe a dive that has just been cut: still to be scored, or not to be."""
    return LiveDive(
        number=number,
        status="invalid" if cut.faults or cut.clip is None else "scoring",
        dive_number=dive_number,
        found_by=cut.found_by,
        created=now(),
        source=cut.source,
        start_s=cut.start_s,
        end_s=cut.end_s,
        takeoff_s=cut.takeoff_s,
        entry_s=cut.entry_s,
        time_to_score_ms=None,
        dropped=cut.dropped,
        reasons=cut.faults,
        notes=cut.notes,
        recording_start_s=cut.video_start_s,
    )


def scored(scorer: Scorer, dive: LiveDive, cut: CutDive) -> LiveDive:
    """Score a dive for the first time.

    Raises:
        Exception: whatever the engine raises.
    """
    assert cut.clip is not None
    result = _score(scorer, cut.clip, dive.dive_number, cut)
    took_ms = (time.monotonic() - cut.arrived_s) * 1e3
    return replace(dive, status="scored", result=result, time_to_score_ms=took_ms, created=now())


def _score(scorer: Scorer, clip: SampledClip, dive_number: str | None, cut: CutDive) -> DiveScore:
    """Score a clip against the exemplars of its dive number, or against all: a competition is never stopped."""
    comparison = scorer.select(dive_number, any_exemplar=True)
    facts, head = video_facts(clip, cut.start_s, cut.end_s), None if cut.head is None else cut.head.take()
    result = scorer.score_clip(clip, comparison, video=facts, head=head)
    if dive_number is None or comparison.same_dive_number:
        return result
    return replace(result, notes=(f"the bundle has no exemplars of {dive_number}", *result.notes))


def failed(dive: LiveDive, error: Exception) -> LiveDive:
    """Keep a dive that the engine could not score."""
    return replace(dive, status="failed", reasons=(f"{type(error).__name__}: {error}",), created=now())


def now() -> str:
    """The time, ISO 8601, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
