"""Jobs of the scorer's thread: a dive's first score, and another one from the frames that were kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from mcore.video import SampledClip
from mcore_runtime.live.cut_dive import CutDive
from mcore_runtime.live.events import DiveFailed, DiveRescored, DiveScored, RescoreFailed
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.scorer import Scorer, video_facts
from mcore_runtime.session.dive import LiveDive, utc_now
from mcore_runtime.session.rescoring import rescore


@dataclass(frozen=True, eq=False)
class ScoreJob:
    """Score a dive that was just cut."""

    number: int
    dive_number: str | None
    """As it is announced; None: unknown."""
    difficulty: float | None
    """As the start list says it; None: it does not."""
    cut: CutDive

    def run(self, scorer: Scorer) -> DiveScored:
        """Score it; raises whatever the backend raises."""
        result = score_cut(scorer, self.cut, self.dive_number, self.difficulty)
        took_ms = (time.monotonic() - self.cut.arrived_s) * 1e3
        return DiveScored(self.number, result, took_ms, utc_now(), self.cut)

    def failed(self, error: Exception) -> DiveFailed:
        """The dive is kept without a score."""
        return DiveFailed(self.number, _reason(error), utc_now(), self.cut)


@dataclass(frozen=True, eq=False)
class RescoreJob:
    """Score a dive again."""

    dive: LiveDive
    difficulty: float | None
    """As the start list says it; None: it does not."""
    clip: SampledClip

    def run(self, scorer: Scorer) -> DiveRescored:
        """Score it; raises whatever the backend raises."""
        return DiveRescored(rescore(scorer, self.dive, self.clip, difficulty=self.difficulty, any_exemplar=True))

    def failed(self, error: Exception) -> RescoreFailed:
        """The dive keeps what it had."""
        return RescoreFailed(self.dive.number, _reason(error))


def score_cut(scorer: Scorer, cut: CutDive, dive_number: str | None, difficulty: float | None = None) -> DiveScore:
    """Score a clip against the exemplars of its dive number, or against all: a competition is never stopped."""
    assert cut.clip is not None
    comparison = scorer.select(dive_number, any_exemplar=True, difficulty=difficulty)
    facts, prefix = video_facts(cut.clip, cut.start_s, cut.end_s), None if cut.prefix is None else cut.prefix.take()
    entry_s = None if cut.entry_s is None else cut.entry_s - cut.start_s
    result = scorer.score_clip(cut.clip, comparison, video=facts, prefix=prefix, entry_in_clip_s=entry_s)
    if dive_number is None or comparison.same_dive_number:
        return result
    return replace(result, notes=(f"the bundle has no exemplars of {dive_number}", *result.notes))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
