"""One dive's section of a report: what the template shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mcore.common.errors import UserError
from mcore.diving import NEWEST, Edition
from mcore.diving.label_difficulty import describe_difficulty
from mcore.video import SampledClip
from mcore_runtime.bundle.exemplar_pictures import ExemplarPictures
from mcore_runtime.meet.record import JudgesResult
from mcore_runtime.report.exemplar_comparison import MomentPair, compare_with_closest, pairs_by_stage
from mcore_runtime.report.filmstrip import Picture, clip_strip, scored_frames
from mcore_runtime.scoring.batch import DiveOutcome
from mcore_runtime.scoring.result import DiveScore


@dataclass(frozen=True)
class DiveSection:
    """Part of a report about one dive."""

    anchor: str
    """The section's id on the page."""
    heading: str
    """Heading of the section: the athlete or the file."""
    origin: str
    """Origin of the dive, in small letters."""
    result: DiveScore | None
    """None: it has no score, or none that is worth to be shown, and ``status`` stands in its place."""
    pictures: Sequence[Picture]
    why_no_pictures: str = ""
    comparison: Sequence[Sequence[MomentPair]] = ()
    """Of each stage, moments of the dive and its closest exemplar; empty: there are no pictures of one of them."""
    who: str = ""
    """Before the description of the dive; empty: nobody is named."""
    status: str = "scored"
    true_score: float | None = None
    """Score of the judges, points; None: not known, or there is a penalty in it."""
    judges: JudgesResult | None = None
    """What the judges gave, with their awards; None: not known, or in no detail."""
    reasons: Sequence[str] = ()
    notes: Sequence[str] = ()
    history: Sequence[Sequence[str]] = ()
    """Rows of a table of earlier results; empty: this is its first."""
    is_live: bool = False
    """It was cut from a stream, not read from a file."""
    edition: Edition = NEWEST
    """Of the rules, with which difficulties are said."""

    @property
    def facts(self) -> str:
        """Athlete, dive number in words, and difficulty with the edition of the rules."""
        words = [self.who]
        if self.result is not None:
            words.append(self.result.description or "")
            if self.result.difficulty is not None:
                words.append(describe_difficulty(self.result.dive_number, self.result.difficulty, self.edition))
        return " · ".join(filter(None, words))

    @property
    def interval(self) -> str:
        """The conformal interval and the exemplars' range, or the range alone."""
        if self.result is None:
            return ""
        text, ends = self.result.interval_text, self.result.exemplar_range
        if self.result.interval_level is None or ends is None:
            return text
        return f"{text}; exemplars say {ends[0]:.1f} to {ends[1]:.1f}"

    @property
    def stage_seconds(self) -> tuple[float, ...]:
        """Duration of each stage; empty without a result."""
        if self.result is None:
            return ()
        flight, entry = self.result.transitions_s
        ends = (0.0, flight, entry, max(self.result.video.duration_s, entry))
        return tuple(max(end - begin, 0.0) for begin, end in pairwise(ends))

    @property
    def small_print(self) -> str:
        """Facts of the video, and the time of each part of the network."""
        if self.result is None:
            return ""
        video, backend, ms = self.result.video, self.result.backend, self.result.timing_ms
        how = "received" if self.is_live else "read"
        is_part = not self.is_live and (video.start_s, video.end_s) != (None, None)
        return (
            f"{video.width} x {video.height}, {video.num_source_frames} frames in {video.duration_s:.2f} s"
            f"{' (part of the file)' if is_part else ''}, {how} by {video.reader}. "
            f"Computed in {ms['total']:.0f} ms on {backend.provider} ({backend.precision}): "
            f"decoding {ms['decode_preprocess']:.0f}, backbone {ms['backbone']:.0f}, "
            f"segmenter {ms['segmenter']:.0f}, comparison {ms['regressor']:.0f} ms."
        )


def section_of_file(
    anchor: str,
    outcome: DiveOutcome,
    result: DiveScore,
    num_frames: int,
    exemplars: ExemplarPictures | None,
    edition: Edition = NEWEST,
) -> DiveSection:
    """Return the section of a scored dive of a file; its video is read once more for the pictures.

    Args:
        anchor: the section's id on the page.
        outcome: the dive, for what the judges gave.
        result: its score.
        num_frames: T, frames that the network sampled.
        exemplars: pictures of the bundle's exemplars; None: it has none.
        edition: of the rules.
    """
    try:
        frames: SampledClip | str = scored_frames(result, num_frames)
    except (UserError, OSError) as error:
        frames = str(error)
    pictures, reason = strip_or_reason(frames, result.transitions)
    return DiveSection(
        anchor=anchor,
        heading=result.dive_number or (f"Looks like {result.looks_like}" if result.looks_like else "unknown dive"),
        origin=" · ".join(filter(None, (Path(result.video.source).name, outcome.request.part))),
        result=result,
        pictures=pictures,
        why_no_pictures=reason,
        comparison=comparison_of(result, frames, exemplars),
        status=outcome.status,
        reasons=result.why_unlike,
        true_score=outcome.request.true_score,
        edition=edition,
        notes=result.notes,
    )


def strip_or_reason(frames: SampledClip | str, transitions: Sequence[int]) -> tuple[Sequence[Picture], str]:
    """Return the film strip of frames; or none of it, and the reason that stands in their place."""
    return ((), frames) if isinstance(frames, str) else (clip_strip(frames, transitions), "")


def comparison_of(
    result: DiveScore, frames: SampledClip | str, exemplars: ExemplarPictures | None
) -> Sequence[Sequence[MomentPair]]:
    """Return a few moments of each stage beside the closest exemplar's; empty: there are no pictures of one of them."""
    if isinstance(frames, str):
        return ()
    return pairs_by_stage(compare_with_closest(result, frames, exemplars))
